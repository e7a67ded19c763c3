"""What a submission asks of HTCondor, in its units: from ``Resources`` and the arguments of the backend."""

import math
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from attrs import frozen

from caf_core.errors import ConfigurationError
from caf_core.jobs.task import Resources

DEFAULT_MEMORY_MB = 4096
"""What is asked for when neither the job nor its arguments say [MB]."""

RESERVE = 120
"""HTCondor ends a task so much later than the task ends by itself, whose record says more [s]."""

_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", re.I)
_UNITS = {"k": 1.0 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0**2}


@frozen
class Request:
    """What each task of a submission gets.

    Args:
        cpus: Processors.
        memory_mb: Memory [MB].
        disk_mb: Disk [MB]; ``None`` for what the site gives.
        seconds: When HTCondor ends it [s]; ``None`` for no limit.
    """

    cpus: int
    memory_mb: int
    disk_mb: int | None = None
    seconds: int | None = None


def request(resources: Resources, args: Mapping[str, Any]) -> Request:
    """What is asked for: an argument wins over a smaller resource, and a resource that has grown wins too.

    Raises:
        ConfigurationError: If an argument is no amount.
    """
    memory = _larger(amount_mb("request_memory", args.get("request_memory")), resources.memory_mb)
    disk = _larger(amount_mb("request_disk", args.get("request_disk")), resources.disk_mb)
    walltime = resources.walltime
    seconds = _larger(args.get("max_runtime"), None if walltime is None else seconds_of(walltime))
    return Request(
        cpus=max(args.get("request_cpus") or 1, resources.cpus),
        memory_mb=memory or DEFAULT_MEMORY_MB,
        disk_mb=disk,
        seconds=seconds,
    )


def seconds_of(walltime: timedelta) -> int:
    """When HTCondor should end a task that has this time limit [s]."""
    return math.ceil(walltime.total_seconds()) + RESERVE


def amount_mb(name: str, value: float | str | None) -> int | None:
    """An amount of memory or disk [MB, that is 2**20 bytes]; a number is one already, a text may have a unit.

    Raises:
        ConfigurationError: If it is not an amount.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        return math.ceil(value)
    match = _AMOUNT.fullmatch(value)
    if match is None:
        raise ConfigurationError(
            f'{name} of HTCondor is {value!r}; give a number of MB, or a text such as "4 GB" '
            f"(an expression goes into extra_lines)."
        )
    return max(1, math.ceil(float(match[1]) * _UNITS[match[2].lower() or "m"]))


def _larger(first: float | None, second: float | None) -> int | None:
    given = [value for value in (first, second) if value is not None]
    return math.ceil(max(given)) if given else None
