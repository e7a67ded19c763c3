"""Execute caf jobs on Slurm."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from caf_core.plugins.markers import hookimpl

if TYPE_CHECKING:
    from caf_slurm.backend import Slurm

__all__ = ["Slurm"]


@hookimpl
def caf_register_backends(register: Callable[[str, str], None]) -> None:
    """Bring the backend ``slurm``; its class is imported when it is asked for."""
    register("slurm", "caf_slurm.backend:Slurm")


def __getattr__(name: str) -> Any:
    if name == "Slurm":
        from caf_slurm.backend import Slurm

        return Slurm
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
