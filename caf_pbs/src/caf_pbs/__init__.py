"""Execute caf jobs on OpenPBS, PBS Professional and Torque."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from caf_core.plugins.markers import hookimpl

if TYPE_CHECKING:
    from caf_pbs.backend import PBS

__all__ = ["PBS"]


@hookimpl
def caf_register_backends(register: Callable[[str, str], None]) -> None:
    """Bring the backend ``pbs``; its class is imported when it is asked for."""
    register("pbs", "caf_pbs.backend:PBS")


def __getattr__(name: str) -> Any:
    if name == "PBS":
        from caf_pbs.backend import PBS

        return PBS
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
