"""The Pandora calorimeter calibration for caf.

This is the plugin's entry module: it imports its parts when they are first used, because every ``caf``
command imports it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from caf_core.plugins.markers import hookimpl

if TYPE_CHECKING:
    from caf_core.plugins.hooks import Register
    from caf_pandora.constants import Constants as Constants
    from caf_pandora.constants import read_constants as read_constants
    from caf_pandora.driver import Calibration as Calibration
    from caf_pandora.driver import calibrate as calibrate
    from caf_pandora.inputs import Inputs as Inputs
    from caf_pandora.inputs import Share as Share
    from caf_pandora.outcome import Outcome as Outcome
    from caf_pandora.outcome import Setup as Setup
    from caf_pandora.phases import PHASES as PHASES
    from caf_pandora.phases import STAGES as STAGES
    from caf_pandora.phases import Phase as Phase
    from caf_pandora.phases import schedule as schedule
    from caf_pandora.settings import Settings as Settings
    from caf_pandora.steering import Address as Address
    from caf_pandora.steering import Steering as Steering
    from caf_pandora.step_files import Kit as Kit
    from caf_pandora.step_files import step_files as step_files
    from caf_pandora.worker import command_reconstruction as command_reconstruction
    from caf_pandora.worker import reconstruct_share as reconstruct_share

_HOMES = {
    "Address": "steering",
    "Calibration": "driver",
    "Constants": "constants",
    "Inputs": "inputs",
    "Kit": "step_files",
    "Outcome": "outcome",
    "PHASES": "phases",
    "Phase": "phases",
    "STAGES": "phases",
    "Settings": "settings",
    "Setup": "outcome",
    "Share": "inputs",
    "Steering": "steering",
    "calibrate": "driver",
    "command_reconstruction": "worker",
    "read_constants": "constants",
    "reconstruct_share": "worker",
    "schedule": "phases",
    "step_files": "step_files",
}
"""Building block -> its module; the block above tells type checkers the same."""

__all__ = sorted(_HOMES)


@hookimpl
def caf_register_plans(register: "Register[object]") -> None:
    """Bring the plans ``pandora`` and ``pandora-standin``."""
    register("pandora", "caf_pandora.plan:PLAN")
    register("pandora-standin", "caf_pandora.plan:STAND_IN")


def __getattr__(name: str) -> Any:
    """Import a building block when it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
