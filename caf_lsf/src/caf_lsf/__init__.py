"""Execute caf jobs on LSF: IBM LSF 10.1, Volclava, OpenLava."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from caf_core.plugins.markers import hookimpl

if TYPE_CHECKING:
    from caf_lsf.backend import LSF

__all__ = ["LSF"]


@hookimpl
def caf_register_backends(register: Callable[[str, str], None]) -> None:
    """Bring the backend ``lsf``; its class is imported when it is asked for."""
    register("lsf", "caf_lsf.backend:LSF")


def __getattr__(name: str) -> Any:
    if name == "LSF":
        from caf_lsf.backend import LSF

        return LSF
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
