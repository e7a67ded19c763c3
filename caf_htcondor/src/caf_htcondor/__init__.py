"""Execute caf jobs on HTCondor."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from caf_core.plugins.markers import hookimpl

if TYPE_CHECKING:
    from caf_htcondor.backend import HTCondor

__all__ = ["HTCondor"]


@hookimpl
def caf_register_backends(register: Callable[[str, str], None]) -> None:
    """Bring the backend ``htcondor``; its class is imported when it is asked for."""
    register("htcondor", "caf_htcondor.backend:HTCondor")


def __getattr__(name: str) -> Any:
    if name == "HTCondor":
        from caf_htcondor.backend import HTCondor

        return HTCondor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
