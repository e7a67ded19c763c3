"""What is true about a task, from everything that is known of it: one pure function, ``judge``.

Absent and unknown are never an ending. A task has ended when its exit record says so; without a record it is
lost only after the grace period, when the records were read afresh since. A scheduler that does not answer
therefore fails nobody, and neither does a file system.
"""

from collections.abc import Mapping
from signal import SIGKILL
from typing import Any

from attrs import frozen

from caf_core.jobs.backend import Report, SchedulerState
from caf_core.jobs.ledger import FailureKind, TaskState

FIRST_OF_NODE = 125
"""Exit codes from here on tell of the node: ours for a supervisor that failed (``caf_core.jobs.pack``), the
shell's for a program that is missing or cannot be executed, and those of signals.
"""


@frozen
class Evidence:
    """All that is known about the current attempt of one task; times are seconds since the epoch.

    Args:
        attempt: The attempt that counts.
        state: What was true so far.
        record: An exit record, of whichever attempt.
        report: The scheduler's last word on the task, if it ever said one.
        gone_since: When the scheduler, asked and answering, first said that the task ended or did not list it
            (and has not taken it back).
        held_since: When it was first found held.
        scanned_at: When the last complete reading of the records began.
        grace: How long a record may take to become visible [s].
        held_for: How long a task may be held [s].
        cancelling: Whether the user asked for its end.
        asks: Whether there is a scheduler that may know more than the record.
    """

    attempt: int
    state: TaskState
    record: Mapping[str, Any] | None = None
    report: Report | None = None
    gone_since: float | None = None
    held_since: float | None = None
    scanned_at: float | None = None
    grace: float = 60.0
    held_for: float = float("inf")
    cancelling: bool = False
    asks: bool = True


@frozen
class Verdict:
    """What is true about a task.

    Args:
        state: Its state.
        failure: Why it failed, if it did.
        reason: The same for people.
        scan_from: When a fresh reading of the records would settle the matter, if one is needed.
        remove: Whether the scheduler still holds the task and must be told to drop it.
        ask: Whether the scheduler is to be asked soon, because the record alone does not tell.
    """

    state: TaskState
    failure: FailureKind | None = None
    reason: str = ""
    scan_from: float | None = None
    remove: bool = False
    ask: bool = False


def judge(evidence: Evidence, now: float) -> Verdict:
    """What follows from the evidence.

    Args:
        evidence: What is known.
        now: The time of judgement [s since the epoch].
    """
    record = evidence.record
    if record is not None and record.get("attempt") == evidence.attempt:
        if evidence.asks and not evidence.cancelling and is_unexplained(record):
            return _explained(record, evidence, now)
        return _from_record(record, evidence)
    if evidence.gone_since is not None:
        return _gone(evidence)
    report = evidence.report
    if report is None:
        return Verdict(evidence.state)
    match report.state:
        case SchedulerState.QUEUED:
            return Verdict(TaskState.SUBMITTED, reason=report.reason)
        case SchedulerState.RUNNING | SchedulerState.SUSPENDED:
            return Verdict(TaskState.RUNNING, reason=report.reason)
        case SchedulerState.HELD:
            return _held(evidence, report, now)
        case _:
            return Verdict(evidence.state, reason=report.reason)


def _from_record(record: Mapping[str, Any], evidence: Evidence) -> Verdict:
    """The record is the task's own word; the scheduler may only say more precisely why it failed."""
    exit_code, signal = record.get("exit_code"), record.get("signal")
    kind = known_kind(record.get("failure"))
    if kind is None and exit_code == 0 and not signal:
        return Verdict(TaskState.COMPLETED)
    reason = str(record.get("message") or "")
    reported = known_kind(evidence.report.failure) if evidence.report else None
    if reported is FailureKind.EXIT_CODE:
        reported = None  # this explains nothing
    if evidence.cancelling:
        kind = FailureKind.CANCELLED
    elif kind is FailureKind.CANCELLED and reported is None:
        # Not by the user: a clean stop of an earlier process, an administrator, a site that wants its node.
        kind, reason = FailureKind.NODE_LOST, "ended from outside while it executed"
    elif reported and kind in (None, FailureKind.EXIT_CODE, FailureKind.CANCELLED):
        kind = reported
        reason = (evidence.report.reason if evidence.report else "") or reason
    if not reason:
        reason = f"killed by signal {signal}" if signal else f"exit code {exit_code}"
    if kind in (None, FailureKind.EXIT_CODE) and was_killed(record):
        # What kills itself this way cannot be told from what somebody else killed; attempts are counted.
        kind, reason = FailureKind.NODE_LOST, f"{reason}, and nobody says why"
    return Verdict(TaskState.FAILED, kind or FailureKind.EXIT_CODE, reason)


def _explained(record: Mapping[str, Any], evidence: Evidence, now: float) -> Verdict:
    """The record tells that the task was ended, but not why: the scheduler is waited for. It may also execute
    the task again under the same id.
    """
    report = evidence.report
    ended = report is not None and report.state is SchedulerState.ENDED
    if evidence.gone_since is not None or ended:
        return _from_record(record, evidence)
    if report is None:
        return Verdict(evidence.state, ask=True)
    match report.state:
        case SchedulerState.QUEUED:
            return Verdict(TaskState.SUBMITTED, reason=report.reason or "queued again by the scheduler")
        case SchedulerState.HELD:
            return _held(evidence, report, now)
        case _:
            return Verdict(evidence.state, reason=report.reason, ask=True)


def _gone(evidence: Evidence) -> Verdict:
    """The scheduler has done with it and there is no record yet."""
    assert evidence.gone_since is not None  # noqa: S101 - judge() asked before
    report = evidence.report
    due = evidence.gone_since + evidence.grace
    if evidence.scanned_at is None or evidence.scanned_at < due:
        return Verdict(evidence.state, scan_from=due)
    if evidence.cancelling:
        return Verdict(TaskState.FAILED, FailureKind.CANCELLED, "cancelled")
    kind = (known_kind(report.failure) if report else None) or _kind_of_ending(report)
    words = (report.reason if report else "") or "the scheduler no longer knows the task"
    return Verdict(TaskState.FAILED, kind, f"{words}; no exit record within {evidence.grace:g} s")


def _kind_of_ending(report: Report | None) -> FailureKind:
    """Why a task has no record of which its scheduler says only how it ended.

    The supervisor ends with 0, or with its own high code if it could not work on this node. What is below
    comes from before it: from lines at the head of the job's script, which would do the same again.
    """
    before = report is not None and report.exit_code is not None and 0 < report.exit_code < FIRST_OF_NODE
    return FailureKind.EXIT_CODE if before else FailureKind.NODE_LOST


def _held(evidence: Evidence, report: Report, now: float) -> Verdict:
    """A hold that is a failure by itself ends the attempt; any other waits for somebody to release it."""
    kind = known_kind(report.failure)
    if kind is None and (evidence.held_since is None or now - evidence.held_since < evidence.held_for):
        return Verdict(TaskState.SUBMITTED, reason=report.reason or "held by the scheduler")
    if evidence.cancelling:
        kind = FailureKind.CANCELLED
    return Verdict(
        TaskState.FAILED, kind or FailureKind.HELD, report.reason or "held by the scheduler", remove=True
    )


def is_unexplained(record: Mapping[str, Any]) -> bool:
    """Whether a record tells that a task was ended, but not why: only the scheduler may know."""
    if record.get("failure") == FailureKind.CANCELLED:
        return True
    return was_killed(record) and record.get("failure") == FailureKind.EXIT_CODE


def was_killed(record: Mapping[str, Any]) -> bool:
    """Whether SIGKILL ended a task, or a command of its shell."""
    return record.get("signal") == SIGKILL or record.get("exit_code") == 128 + SIGKILL


def known_kind(word: object) -> FailureKind | None:
    """The failure kind of a record's or report's word; a word from a newer version counts as
    ``exit_code``.
    """
    if not word:
        return None
    try:
        return FailureKind(str(word))
    except ValueError:
        return FailureKind.EXIT_CODE
