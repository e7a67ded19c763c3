"""Execute caf jobs on this machine, from one resident process."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from caf_core.plugins.markers import hookimpl

if TYPE_CHECKING:
    from caf_local.backend import Local

__all__ = ["Local"]


@hookimpl
def caf_register_backends(register: Callable[[str, str], None]) -> None:
    """Bring the backend ``local``; its class is imported when it is asked for."""
    register("local", "caf_local.backend:Local")


def __getattr__(name: str) -> Any:
    if name == "Local":
        from caf_local.backend import Local

        return Local
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
