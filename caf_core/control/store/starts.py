"""Where the user wants the next start of a calibration to begin, kept in the checkpoint until it does."""

import json
import time

import peewee
from attrs import frozen

from caf_core.calibration.states import State
from caf_core.control.store.store import CheckpointStore, StoredCalibration
from caf_core.json_text import exact_json

OWN = "constants of {}"
"""The key of a fingerprint of what a user's own calibration has left."""

_KEY = "start of {}"
"""The key among the settings of a checkpoint, of a calibration's name."""


@frozen
class WantedStart:
    """A start that somebody chose."""

    state: State
    iteration: int


def keep_start(store: CheckpointStore, calibration: str, start: WantedStart) -> None:
    """Write down where the next start begins, in place of what was chosen before."""
    value = exact_json([start.state, start.iteration])
    with store.batch():
        store.models.Setting.replace(key=_KEY.format(calibration), value=value).execute()


def kept_start(store: CheckpointStore, calibration: str) -> WantedStart | None:
    """Where the next start begins; ``None`` if nobody chose that."""
    table = store.models.Setting
    row = table.get_or_none(table.key == _KEY.format(calibration))
    if row is None:
        return None
    state, iteration = json.loads(row.value)
    return WantedStart(State(state), int(iteration))


def forget_start(store: CheckpointStore, calibration: str) -> None:
    """Drop what was chosen: the start has begun there, or something else counts now."""
    table = store.models.Setting
    with store.batch():
        table.delete().where(table.key == _KEY.format(calibration)).execute()


def last_iteration(store: CheckpointStore, calibration: str) -> int:
    """The last iteration to which a calibration has come, whatever its row was set to since."""
    row, table = store.calibration(calibration), store.models.Iteration
    last = table.select(peewee.fn.max(table.number)).where(table.calibration == calibration).scalar()
    return max(row.iteration if row is not None else 0, last or 0)


def note(store: CheckpointStore, stored: StoredCalibration, reason: str) -> None:
    """Add a row of history without a move."""
    with store.batch():
        store.models.Transition.insert(
            calibration=stored.name,
            iteration=stored.iteration,
            old=str(stored.state),
            new=str(stored.state),
            time=time.time(),
            reason=reason,
        ).execute()


def result_of(store: CheckpointStore, calibration: str, iteration: int) -> str:
    """What the algorithms of an iteration that ended answered together; empty if it has not ended."""
    table = store.models.Iteration
    row = table.get_or_none((table.calibration == calibration) & (table.number == iteration))
    return "" if row is None else str(row.result)
