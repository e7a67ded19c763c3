"""The standard ways to turn runs into intervals of validity for caf."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from caf_core.plugins.markers import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    from caf_strategies.sequential_boundaries import SequentialBoundaries as SequentialBoundaries
    from caf_strategies.sequential_run_by_run import SequentialRunByRun as SequentialRunByRun
    from caf_strategies.simple_run_by_run import SimpleRunByRun as SimpleRunByRun
    from caf_strategies.single_iov import SingleIOV as SingleIOV

_HOME = {
    "SequentialBoundaries": "caf_strategies.sequential_boundaries",
    "SequentialRunByRun": "caf_strategies.sequential_run_by_run",
    "SimpleRunByRun": "caf_strategies.simple_run_by_run",
    "SingleIOV": "caf_strategies.single_iov",
}

__all__ = ["SequentialBoundaries", "SequentialRunByRun", "SimpleRunByRun", "SingleIOV"]


@hookimpl
def caf_register_strategies(register: "Callable[[str, Any], None]") -> None:
    """The four strategies; their modules are imported when one is asked for."""
    for name, module in _HOME.items():
        register(name, f"{module}:{name}")


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'caf_strategies' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
