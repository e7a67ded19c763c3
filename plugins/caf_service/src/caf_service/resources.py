"""What a worker needs, as a calibration asks for it among the arguments of its backend."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from attrs import evolve

from caf_core.errors import ConfigurationError
from caf_core.jobs.task import Resources
from caf_core.jobs.units import size_mb, time_span

NAMES = ("cpus", "memory", "walltime", "disk")
"""What ``backend_args`` of a calibration may hold beside the backend's own arguments."""


def split(args: Mapping[str, Any], usual: Resources) -> tuple[Resources, dict[str, Any]]:
    """What is asked for, and the arguments that are the backend's own.

    Args:
        args: All arguments of a calibration.
        usual: What holds where nothing is asked for.
    Raises:
        ConfigurationError: If a number, size or time cannot be read.
    """
    own = {name: value for name, value in args.items() if name not in NAMES}
    asked = {name: value for name, value in args.items() if name in NAMES}
    found = usual
    if "cpus" in asked:
        if type(asked["cpus"]) is not int or asked["cpus"] < 1:
            raise ConfigurationError(f"cpus is {asked['cpus']!r}; it is a whole number from 1 on.")
        found = evolve(found, cpus=asked["cpus"])
    try:
        if "memory" in asked:
            found = evolve(found, memory_mb=size_mb(str(asked["memory"])))
        if "disk" in asked:
            found = evolve(found, disk_mb=size_mb(str(asked["disk"])))
        if "walltime" in asked:
            found = evolve(found, walltime=time_span(str(asked["walltime"])))
    except OverflowError as error:
        raise ConfigurationError("an amount of memory or disk, or a time, is too large to be one.") from error
    if found.walltime is not None and found.walltime <= timedelta(0):
        raise ConfigurationError(f"walltime is {asked['walltime']!r}; it is longer than that.")
    return found, own
