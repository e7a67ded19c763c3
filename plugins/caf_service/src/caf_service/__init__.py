"""Iterative calibrations with resident workers: plans, the service, its agent, workers and client.

This is the plugin's entry module: it imports its parts when they are first used, because every ``caf``
command imports it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from caf_core.plugins.markers import hookimpl

if TYPE_CHECKING:
    import click

    from caf_service.agent import Agent as Agent
    from caf_service.calibration import ServiceCalibration as ServiceCalibration
    from caf_service.client import Client as Client
    from caf_service.plan import Phase as Phase
    from caf_service.plan import Plan as Plan
    from caf_service.plan import Position as Position
    from caf_service.plan import Request as Request
    from caf_service.plan import Results as Results
    from caf_service.plan import Slice as Slice
    from caf_service.plan import Stage as Stage
    from caf_service.plan import Update as Update
    from caf_service.plan import Work as Work
    from caf_service.settings import REQUIRED as REQUIRED
    from caf_service.settings import Setting as Setting

_HOMES = {
    "Agent": "agent",
    "Client": "client",
    "ServiceCalibration": "calibration",
    "Phase": "plan",
    "Plan": "plan",
    "Position": "plan",
    "REQUIRED": "settings",
    "Request": "plan",
    "Results": "plan",
    "Setting": "settings",
    "Slice": "plan",
    "Stage": "plan",
    "Update": "plan",
    "Work": "plan",
}
"""Building block -> its module; the block above tells type checkers the same."""

__all__ = sorted(_HOMES)


@hookimpl
def caf_register_commands(cli: "click.Group") -> None:
    """Bring ``caf service``, ``caf agent``, ``caf worker`` and ``caf calibrations``."""
    from caf_service.cli.commands import add_to

    add_to(cli)


def __getattr__(name: str) -> Any:
    """Import a building block when it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
