"""Setting a calibration's row by hand (``caf status update``): the one writer beside the controller."""

import time
from pathlib import Path

from caf_core.calibration.states import CHECKPOINTS, State
from caf_core.control.lease import Lease
from caf_core.control.reading.overview import PRIVATE
from caf_core.control.store import FILE_NAME
from caf_core.control.store.opening import no_checkpoint, told_errors
from caf_core.control.store.store import CheckpointStore, StoredCalibration
from caf_core.errors import ConfigurationError

COLUMNS = ("state", "checkpoint", "iteration")
STATES = (*sorted(CHECKPOINTS), str(State.FAILED))
"""What a state can be set to: a calibration can go on from these, and from no other."""


def overrule(
    directory: Path, calibration: str, column: str, value: str, *, take_over: bool = False
) -> tuple[str, str]:
    """Change one column of a calibration's row, with a row of history.

    Args:
        directory: The output directory.
        calibration: Which calibration.
        column: ``state``, ``checkpoint`` or ``iteration``.
        value: The new value.
        take_over: Whether a controller on another host is declared dead.
    Returns:
        The value before and after.
    Raises:
        CheckpointError: If a controller drives the directory, or there is no checkpoint.
        ConfigurationError: If there is no such calibration or column, or the value cannot be.
    """
    if not (directory / FILE_NAME).exists():
        raise no_checkpoint(directory)
    if column not in COLUMNS:
        raise ConfigurationError(f"there is no column {column!r} to update; there are: {', '.join(COLUMNS)}.")
    (directory / PRIVATE).mkdir(exist_ok=True)
    lease = Lease(directory / PRIVATE, take_over=take_over)
    try:
        store = CheckpointStore(directory)
        try:
            with told_errors(directory):
                return _change(store, directory, calibration, column, value)
        finally:
            store.close()
    finally:
        lease.release()


def _change(store: CheckpointStore, directory: Path, name: str, column: str, value: str) -> tuple[str, str]:
    stored = store.calibration(name)
    if stored is None:
        names = [row.name for row in store.models.Calibration.select(store.models.Calibration.name)]
        raise ConfigurationError(
            f"there is no calibration {name!r} in {directory}; there is: {', '.join(names) or 'none'}."
        )
    reason = f"{column} set to {value} by caf status update"
    if column == "iteration":
        _check_iteration(stored, value)
        store.place(name, stored.state, int(value), reason)
        return str(stored.iteration), value
    state = _state(value, column)
    _check_output(directory, stored, state)
    if column == "state":
        store.place(name, state, stored.iteration, reason)
        return str(stored.state), value
    store.update(name, checkpoint=str(state))
    with store.batch():
        store.models.Transition.insert(
            calibration=name,
            iteration=stored.iteration,
            old=str(stored.state),
            new=str(stored.state),
            time=time.time(),
            reason=reason,
        ).execute()
    return str(stored.checkpoint), value


def _state(value: str, column: str) -> State:
    allowed = STATES if column == "state" else tuple(sorted(CHECKPOINTS))
    if value not in allowed:
        raise ConfigurationError(
            f"the {column} of a calibration cannot be set to {value!r}; it can to: {', '.join(allowed)}."
        )
    return State(value)


def _check_iteration(stored: StoredCalibration, value: str) -> None:
    if not value.isdecimal() or int(value) > stored.iteration:
        raise ConfigurationError(
            f"the iteration of {stored.name!r} cannot be set to {value!r}; it has come to "
            f"{stored.iteration}, so it can be set to 0 to {stored.iteration}."
        )


def _check_output(directory: Path, stored: StoredCalibration, state: State) -> None:
    """What a state promises has to be there."""
    folder = directory / stored.name
    if state is State.COLLECTOR_COMPLETED:
        needed = folder / str(stored.iteration) / "collector_output" / "index.json"
    elif state is State.COMPLETED:
        needed = folder / "outputdb"
    else:
        return
    if not needed.exists():
        raise ConfigurationError(
            f"{stored.name!r} cannot be {state} in iteration {stored.iteration}, because {needed} is not "
            "there; set it to init instead."
        )
