"""What the processes that execute collectors and algorithms import before they have anything to do."""

from caf_core.calibration.own_code import own_folders
from caf_core.control.resolved import Resolved
from caf_core.jobs.task import Call
from caf_core.plugins.registry import Registry

EXECUTION = "caf_core.calibration.execution"
PLAN = "caf_core.calibration.plan_task"
SETTINGS = "caf_core.calibration.calibration"
"""Modules beside the script, which travel with a collector or an algorithm, describe calibrations as well."""


def basic_preloads(registry: Registry) -> tuple[str, ...]:
    """What every collector and every algorithm needs."""
    return tuple(
        dict.fromkeys((EXECUTION, PLAN, SETTINGS, *(type(codec).__module__ for codec in registry.codecs())))
    )


def preloads(registry: Registry, one: Resolved) -> tuple[str, ...]:
    """What all algorithms and collectors of a calibration want imported: one set, so that one process serves
    them all."""
    modules = {
        *(name for part in one.algorithms for name in part.algorithm.preload),
        *(name for part in one.collections for name in part.collection.all_preload),
    }
    return tuple(dict.fromkeys((*basic_preloads(registry), *sorted(modules))))


def script_path() -> tuple[str, ...]:
    """Where the user's modules are found, as in this process: beside the script, and where the script told
    Python to look."""
    return tuple(own_folders())


def sample(registry: Registry, one: Resolved) -> Call:
    """A call such as the collectors and algorithms of a calibration make, as far as imports go."""
    return Call(f"{EXECUTION}:collect", preload=preloads(registry, one), path=script_path())
