"""What operators read in the log: a line for all that happens to calibrations, once it is in the database."""

import logging
from collections.abc import Iterable, Sequence

from caf_service.events import BeginStep, Died, Effect, End, Event, MakeUpdate, Resubmit, Resubmitted, Updated
from caf_service.snapshot import Snapshot, State
from caf_service.store.records import Setup
from caf_service.texts import plain

log = logging.getLogger("caf.service")

_ENDS = {State.FINISHED: "has finished", State.FAILED: "has failed", State.KILLED: "was ended"}
_SHOWN = 20


def tell_creation(calibration: int, setup: Setup, snapshot: Snapshot, owner: str) -> None:
    """Say that a calibration was created."""
    log.info(
        "calibration %d of %s begins: plan %s, version %s, %d workers, of which %d are needed",
        calibration,
        _line(owner),
        _line(setup.plan),
        _line(setup.version),
        snapshot.workers,
        snapshot.needed,
    )


def is_told(event: Event, effects: Sequence[Effect]) -> bool:
    """Whether there is something to be said about an event; that one of many workers has reported is not."""
    return bool(effects) or isinstance(event, Died | Resubmitted)


def tell(
    calibration: int, before: Snapshot, event: Event, after: Snapshot, effects: Iterable[Effect]
) -> None:
    """Say what has happened to a calibration, and what follows.

    Args:
        calibration: Its number.
        before: Where it was.
        event: What happened.
        after: Where it is.
        effects: What is to be done.
    """
    match event:
        case Died():
            new = [worker for worker in dict.fromkeys(event.workers) if worker not in before.dead]
            if not new:
                return
            _tell_deaths(calibration, new, event, after, failed=after.failures > before.failures)
        case Resubmitted(workers):
            log.info("calibration %d: submitted again: %s", calibration, _crew(workers))
        case Updated(serial, update):
            verdict = "converged" if update.converged else "not converged"
            said = f": {_line(update.message)}" if update.message else ""
            log.info("calibration %d: step %d has ended, %s%s", calibration, serial, verdict, said)
    for effect in effects:
        tell_effect(calibration, after, effect)


def tell_effect(calibration: int, after: Snapshot, effect: Effect) -> None:
    """Say what is done about a calibration."""
    match effect:
        case MakeUpdate(serial, used, missing):
            log.info(
                "calibration %d: step %d is updated; results: %d, missing: %s",
                calibration,
                serial,
                len(used),
                _crew(missing) if missing else "none",
            )
        case BeginStep(position, _):
            where = f"step {position.step} of phase {after.route[after.at].name}"
            log.info("calibration %d: step %d begins, %s", calibration, position.serial, where)
        case Resubmit(workers):
            log.info("calibration %d: to be submitted again: %s", calibration, _crew(workers))
        case End(state, message, _):
            level = logging.WARNING if state is State.FAILED else logging.INFO
            said = f": {_line(message)}" if message else ""
            log.log(level, "calibration %d %s in step %d%s", calibration, _ENDS[state], after.serial, said)


def names_of(workers: Sequence[int]) -> str:
    """The numbers of workers; of many, the first ones."""
    shown = ", ".join(map(str, workers[:_SHOWN]))
    return shown if len(workers) <= _SHOWN else f"{shown} and {len(workers) - _SHOWN} more"


def _tell_deaths(calibration: int, new: Sequence[int], event: Died, after: Snapshot, *, failed: bool) -> None:
    said = f": {_line(event.reason)}" if event.reason else ""
    log.log(
        logging.WARNING if failed else logging.INFO,
        "calibration %d: %s ended in step %d; failures so far: %d%s",
        calibration,
        _crew(new),
        after.serial,
        after.failures,
        said,
    )


def _crew(workers: Sequence[int]) -> str:
    return f"worker{'' if len(workers) == 1 else 's'} {names_of(workers)}"


def _line(text: str) -> str:
    """A text of users and plans in one line, so that none of them writes lines of its own into the log."""
    return " ".join("".join(one if one.isprintable() else " " for one in plain(text, 500)).split())
