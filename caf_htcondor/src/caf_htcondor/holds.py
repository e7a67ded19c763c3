"""Why HTCondor holds or removes a job, and what that means for a task.

The codes are those of ``HoldReasonCode`` in the manual:
https://htcondor.readthedocs.io/en/latest/classad-attributes/job-classad-attributes.html
"""

import re

from caf_core.jobs.ledger import FailureKind

SOMEBODY_WILL_RELEASE = frozenset({1, 15, 16})
"""Held by a person, submitted on hold, or until its input is spooled: waited for."""

_CREDENTIALS = frozenset({4})
_NOT_AS_WRITTEN = frozenset({6, 7, 8, 9, 10, 12, 13, 14, 35})
"""A file, a folder or an image that the job names is not there or cannot be used."""
_DISK = frozenset({32, 33})
_WALLTIME = frozenset({46, 47})
_OUT_OF_RESOURCES = 34
_FULL = frozenset({28, 122})
"""The errors of a file system that is full and of a quota that is used up; they come as the subcode."""

# Policies are often told as their expression, so the names of attributes count as words.
_MEMORY_WORDS = re.compile(r"memory|\boom\b|\brss\b|residentsetsize", re.I)
_TIME_WORDS = re.compile(
    r"wall.?(clock.?)?time|run.?time|duration|time.?limit|cpu.?time|too long|jobstartdate|currentstartdate",
    re.I,
)
_DISK_WORDS = re.compile(r"disk|\bscratch|\bquota|no space", re.I)
_CREDENTIAL_WORDS = re.compile(
    r"\b(credential|proxy|kerberos|token)\w*\b.*\b(expired|missing|invalid|not found)", re.I
)


def failure_of_hold(code: int, subcode: int, reason: str) -> FailureKind | None:
    """The failure that a hold means.

    Args:
        code: ``HoldReasonCode``.
        subcode: ``HoldReasonSubCode``.
        reason: ``HoldReason``.
    Returns:
        ``None`` if the job is only waiting for somebody to release it.
    """
    if code in SOMEBODY_WILL_RELEASE:
        return None
    if code in _CREDENTIALS or _CREDENTIAL_WORDS.search(reason):
        return FailureKind.CREDENTIALS
    if code in _DISK or (code in _NOT_AS_WRITTEN and subcode in _FULL):
        return FailureKind.DISK
    if code in _NOT_AS_WRITTEN:
        return FailureKind.SUBMISSION
    if code in _WALLTIME:
        return FailureKind.WALLTIME
    if code == _OUT_OF_RESOURCES:
        return FailureKind.DISK if _DISK_WORDS.search(reason) else FailureKind.OUT_OF_MEMORY
    # Everything else is a policy, of the job, of the machine or of the site: only its words tell.
    return failure_in_words(reason) or FailureKind.HELD


def failure_in_words(reason: str) -> FailureKind | None:
    """The failure that a policy's own words speak of."""
    if _MEMORY_WORDS.search(reason):
        return FailureKind.OUT_OF_MEMORY
    if _TIME_WORDS.search(reason):
        return FailureKind.WALLTIME
    if _DISK_WORDS.search(reason):
        return FailureKind.DISK
    return None


def failure_of_removal(reason: str) -> FailureKind:
    """The failure that a removed job means: a person's ``condor_rm``, or a policy that says what for."""
    if "condor_rm" in reason:
        return FailureKind.CANCELLED
    return failure_in_words(reason) or FailureKind.CANCELLED


def hold_in_words(code: int, subcode: int, reason: str) -> str:
    """A hold for people, with what they can do about it."""
    said = f"held: {reason or 'HTCondor gave no reason'} (code {code}/{subcode})"
    if code in (6, 13, 14):
        return f"{said}; if the nodes do not see this folder, set transfer = true"
    return said
