"""How a calibration goes through its plan: events in, effects out; no clock, no files, no database."""

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from caf_service.events import (
    BeginStep,
    Broken,
    Died,
    Effect,
    End,
    Event,
    Killed,
    MakeUpdate,
    Reported,
    Resubmit,
    Resubmitted,
    Updated,
    UpdateFailed,
)
from caf_service.plan import Update
from caf_service.snapshot import Snapshot, State


def advance(one: Snapshot, event: Event) -> tuple[Snapshot, list[Effect]]:
    """What follows from an event.

    Returns:
        The calibration after it, and what is to be done, in order.
    """
    if one.state.ended:
        return one, []
    match event:
        case Reported(worker, serial):
            return _reported(one, worker, serial)
        case Died():
            return _died(one, event)
        case Resubmitted(workers):
            left = {worker: since for worker, since in one.dead.items() if worker not in workers}
            return evolve(one, dead=left, resubmissions=one.resubmissions + 1), []
        case Updated(serial, update):
            return _updated(one, serial, update)
        case UpdateFailed(serial, message):
            if one.state is not State.UPDATING or serial != one.serial:
                return one, []
            return _end(one, State.FAILED, f"{_where(one)}: {message}")
        case Killed(who):
            return _end(one, State.KILLED, f"killed by {who}")
        case Broken(message):
            return _end(one, State.FAILED, message)


def is_late(one: Snapshot, serial: int) -> bool:
    """Whether a result for a step no longer counts; one for a step to come is nobody's."""
    return serial < one.serial or one.state is not State.RUNNING


def overdue(one: Snapshot, now: float, max_wait: float) -> list[Resubmit]:
    """Whether dead workers have waited long enough for company.

    Args:
        one: The calibration.
        now: The time, by the clock that times deaths [s].
        max_wait: How long a dead worker waits for others, to be submitted again with them [s].
    """
    if one.state.ended or not one.dead:
        return []
    # One that will have died was written down by an earlier process, whose clock was ahead.
    waits = [now - since for since in one.dead.values()]
    if len(one.dead) > one.spare or max(waits) >= max_wait or min(waits) < 0.0:
        return [Resubmit(tuple(sorted(one.dead)))]
    return []


def _reported(one: Snapshot, worker: int, serial: int) -> tuple[Snapshot, list[Effect]]:
    if one.state is not State.RUNNING or serial != one.serial or not 0 <= worker < one.workers:
        return one, []
    reported = one.reported | {worker}
    if len(reported) < one.needed:
        return evolve(one, reported=reported), []
    used = tuple(sorted(reported))
    missing = tuple(worker for worker in range(one.workers) if worker not in reported)
    after = evolve(one, reported=reported, used=used, state=State.UPDATING)
    return after, [MakeUpdate(one.serial, used, missing)]


def _died(one: Snapshot, event: Died) -> tuple[Snapshot, list[Effect]]:
    known = dict.fromkeys(event.workers)
    new = [worker for worker in known if worker not in one.dead and 0 <= worker < one.workers]
    # Once a step and worker: those that never get anywhere shall not be submitted again for ever.
    forgiven = [
        worker for worker in new if worker in event.excused and one.excused.get(worker, 0) < one.serial
    ]
    failures = one.failures + len(new) - len(forgiven)
    after = evolve(
        one,
        failures=failures,
        dead={**one.dead, **dict.fromkeys(new, event.now)},
        excused={**one.excused, **dict.fromkeys(forgiven, one.serial)},
    )
    if failures >= one.workers and failures > one.failures:
        last = f"; the last one, worker {new[-1]}: {event.reason}" if event.reason else ""
        return _end(after, State.FAILED, f"{failures} workers have failed, as many as there are{last}")
    if len(after.dead) > after.spare:
        return after, [Resubmit(tuple(sorted(after.dead)))]
    return after, []


def _updated(one: Snapshot, serial: int, update: Update) -> tuple[Snapshot, list[Effect]]:
    if one.state is not State.UPDATING or serial != one.serial:
        return one, []
    stop = one.route[one.at]
    at, step = one.at, one.step + 1
    if update.converged:
        at, step = one.at + 1, 0
    elif step >= stop.max_steps:
        if stop.fails_at_maximum:
            return _end(one, State.FAILED, f"{_where(one)}: not converged after {step} steps")
        at, step = one.at + 1, 0
    if at == len(one.route):
        return _end(one, State.FINISHED, "", update.parameters)
    after = evolve(
        one, state=State.RUNNING, at=at, step=step, serial=one.serial + 1, reported=frozenset(), used=()
    )
    return after, [BeginStep(after.position, update.parameters)]


def _end(
    one: Snapshot, state: State, message: str, parameters: Mapping[str, Any] | None = None
) -> tuple[Snapshot, list[Effect]]:
    return evolve(one, state=state, message=message, dead={}), [End(state, message, parameters)]


def _where(one: Snapshot) -> str:
    return f"phase {one.route[one.at].name}, step {one.step}"
