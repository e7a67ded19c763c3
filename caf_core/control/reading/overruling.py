"""Setting a calibration's row by hand (``caf status update``): the one writer beside the controller."""

from pathlib import Path

from attrs import frozen

from caf_core.calibration.states import CHECKPOINTS, State
from caf_core.control.relocating import owned_store
from caf_core.control.store.starts import WantedStart, forget_start, keep_start, last_iteration, note
from caf_core.control.store.store import CheckpointStore, StoredCalibration
from caf_core.errors import ConfigurationError

COLUMNS = ("state", "checkpoint", "iteration")
STATES = (*sorted(CHECKPOINTS), str(State.FAILED))
"""What a state can be set to: a calibration can go on from these, and from no other."""


@frozen
class Overruled:
    """What was changed.

    Args:
        before: The value of the column before.
        after: Its value now.
        start: Where the next start begins.
    """

    before: str
    after: str
    start: WantedStart


def overrule(
    directory: Path, calibration: str, column: str, value: str, *, take_over: bool = False
) -> Overruled:
    """Change one column of a calibration's row, with a row of history, and let the next start begin there.

    Args:
        directory: The output directory.
        calibration: Which calibration.
        column: ``state``, ``checkpoint`` or ``iteration``.
        value: The new value.
        take_over: Whether a controller on another host is declared dead.
    Raises:
        CheckpointError: If a controller drives the directory, or there is no checkpoint.
        ConfigurationError: If there is no such calibration or column, or nothing can begin there.
    """
    if column not in COLUMNS:
        raise ConfigurationError(f"there is no column {column!r} to update; there are: {', '.join(COLUMNS)}.")
    with owned_store(directory, take_over=take_over) as store:
        change = _Change(store, directory, _stored(store, directory, calibration))
        columns = dict(zip(COLUMNS, (change.state, change.checkpoint, change.iteration), strict=True))
        with store.batch():
            return columns[column](value)


def _stored(store: CheckpointStore, directory: Path, name: str) -> StoredCalibration:
    stored = store.calibration(name)
    if stored is None:
        names = [row.name for row in store.models.Calibration.select(store.models.Calibration.name)]
        raise ConfigurationError(
            f"there is no calibration {name!r} in {directory}; there is: {', '.join(names) or 'none'}."
        )
    return stored


class _Change:
    """A change of one calibration's row.

    Args:
        store: The checkpoint.
        directory: The output directory.
        stored: The calibration.
    """

    def __init__(self, store: CheckpointStore, directory: Path, stored: StoredCalibration) -> None:
        self._store = store
        self._folder = directory / stored.name
        self._stored = stored
        self._reached = last_iteration(store, stored.name)

    def state(self, value: str) -> Overruled:
        """Set the state; the next start begins in it, or at the checkpoint if it is ``failed``."""
        state, stored = _state(value, "state", STATES), self._stored
        iteration = self._check_output(state)
        self._store.place(stored.name, state, iteration, self._reason("state", value))
        if state is State.FAILED:
            forget_start(self._store, stored.name)
            return Overruled(stored.state, value, WantedStart(stored.checkpoint, iteration))
        return self._begin(stored.state, value, state, iteration)

    def checkpoint(self, value: str) -> Overruled:
        """Set the checkpoint; the next start begins there, whatever the state is."""
        state, stored = _state(value, "checkpoint", tuple(sorted(CHECKPOINTS))), self._stored
        iteration = self._check_output(state)
        note(self._store, stored, self._reason("checkpoint", value))
        self._store.update(stored.name, checkpoint=str(state), iteration=iteration)
        return self._begin(stored.checkpoint, value, state, iteration)

    def iteration(self, value: str) -> Overruled:
        """Set the iteration; the next start begins with its algorithms, or with its collectors if their
        output was not kept."""
        stored = self._stored
        if not value.isdecimal() or int(value) > self._reached:
            possible = f"a number from 0 to {self._reached}" if self._reached else "0 only"
            raise ConfigurationError(
                f"the iteration of {stored.name!r} cannot be set to {value!r}; it has come to "
                f"{self._reached}, so it can be set to {possible}."
            )
        number = int(value)
        state = State.COLLECTOR_COMPLETED if self._index(number).exists() else State.INIT
        self._store.place(stored.name, state, number, self._reason("iteration", value))
        return self._begin(str(stored.iteration), value, state, number)

    def _begin(self, before: str, after: str, state: State, iteration: int) -> Overruled:
        start = WantedStart(state, iteration)
        keep_start(self._store, self._stored.name, start)
        return Overruled(str(before), after, start)

    def _check_output(self, state: State) -> int:
        """What a state promises has to be there.

        Returns:
            The iteration for which it is.
        """
        stored = self._stored
        if state is State.COLLECTOR_COMPLETED:
            iteration, needed = stored.iteration, self._index(stored.iteration)
            there = needed.exists()
        elif state is State.COMPLETED:
            # The constants are those of the last iteration, whatever it was set to since.
            iteration, needed = self._reached, self._folder / "outputdb"
            there = (needed / "database.txt").exists()
        else:
            return stored.iteration
        if not there:
            raise ConfigurationError(
                f"{stored.name!r} cannot be {state} in iteration {iteration}, because {needed} is not "
                "there; set it to init instead."
            )
        return iteration

    def _index(self, iteration: int) -> Path:
        return self._folder / str(iteration) / "collector_output" / "index.json"

    def _reason(self, column: str, value: str) -> str:
        return f"{column} set to {value} by caf status update"


def _state(value: str, column: str, allowed: tuple[str, ...]) -> State:
    if value not in allowed:
        raise ConfigurationError(
            f"the {column} of a calibration cannot be set to {value!r}; it can to: {', '.join(allowed)}."
        )
    return State(value)
