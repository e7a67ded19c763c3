"""What one pool is like."""

import re

from attrs import frozen

_VERSION = re.compile(r"\$CondorVersion: (\d+)\.(\d+)\.(\d+)")
_LIMIT = re.compile(r"^(MAX_JOBS_\w+) = (\d+)\s*$", re.M)
_NO_LIMIT = 2**31 - 1


@frozen
class Site:
    """What the commands told of a pool.

    Args:
        version: The version of the commands; empty if it was not told.
        jobs_per_submission: Largest number of jobs in one submission (``MAX_JOBS_PER_SUBMISSION``).
        jobs_per_owner: Largest number of jobs of one user in the queue (``MAX_JOBS_PER_OWNER``).
        jobs_in_all: Largest number of jobs in the queue (``MAX_JOBS_SUBMITTED``).
    """

    version: tuple[int, ...] = ()
    jobs_per_submission: int | None = None
    jobs_per_owner: int | None = None
    jobs_in_all: int | None = None


def site_of(version: str, limits: str) -> Site:
    """Read the answers of ``condor_version`` and ``condor_config_val -dump``; what is missing is left out."""
    told = _VERSION.search(version)
    found = {name: int(value) for name, value in _LIMIT.findall(limits) if 0 < int(value) < _NO_LIMIT}
    return Site(
        tuple(map(int, told.groups())) if told else (),
        found.get("MAX_JOBS_PER_SUBMISSION"),
        found.get("MAX_JOBS_PER_OWNER"),
        found.get("MAX_JOBS_SUBMITTED"),
    )
