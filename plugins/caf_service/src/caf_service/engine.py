"""How a calibration goes through its plan: events in, effects out; no clock, no files, no database."""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from math import ceil
from typing import Any

from attrs import evolve, field, frozen

from caf_service.plan import Position, Update


class State(StrEnum):
    """Where a calibration is."""

    RUNNING = "running"
    """Workers are wanted, and work on the current step."""
    UPDATING = "updating"
    """Enough have reported; the next parameters are being made."""
    FINISHED = "finished"
    FAILED = "failed"
    KILLED = "killed"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in (State.FINISHED, State.FAILED, State.KILLED)


@frozen
class Stop:
    """A phase as the engine needs it.

    Args:
        stage: Index of its stage.
        phase: Its index within the stage.
        name: ``stage.phase``, for people.
        max_steps: Largest number of steps.
        fails_at_maximum: Whether it fails the calibration when it has not converged by then.
    """

    stage: int
    phase: int
    name: str
    max_steps: int
    fails_at_maximum: bool


@frozen
class Snapshot:
    """A calibration at one moment.

    Args:
        route: The phases that it goes through, in order.
        workers: Number of workers.
        quorum: The fraction of them that must report before a step ends.
        state: Where it is.
        at: Index into ``route``.
        step: How often the phase was repeated before.
        serial: The number of the step among all steps, from 1.
        reported: The workers that have reported in this step.
        used: Those whose results the update uses; fixed when the quorum was reached.
        failures: How many workers have died or failed so far, each time they did; not those excused.
        resubmissions: How often workers were submitted again, in bulk.
        dead: Workers that died and were not submitted again: worker -> since when [s since the epoch].
        excused: Workers whose end was excused: worker -> the serial of the step in which that was.
        message: Why it ended.
    """

    route: tuple[Stop, ...]
    workers: int
    quorum: float
    state: State = State.RUNNING
    at: int = 0
    step: int = 0
    serial: int = 1
    reported: frozenset[int] = frozenset()
    used: tuple[int, ...] = ()
    failures: int = 0
    resubmissions: int = 0
    dead: Mapping[int, float] = field(factory=dict)
    excused: Mapping[int, int] = field(factory=dict)
    message: str = ""

    @property
    def needed(self) -> int:
        """How many workers must report before a step ends."""
        return min(self.workers, max(1, ceil(round(self.quorum * self.workers, 9))))

    @property
    def spare(self) -> int:
        """How many dead workers leave the quorum within reach."""
        return self.workers - self.needed

    @property
    def position(self) -> Position:
        """Where it is in the plan."""
        stop = self.route[self.at]
        return Position(stop.stage, stop.phase, self.step, self.serial)


# What happens


@frozen
class Reported:
    """A worker reported a result, which is safe on disk."""

    worker: int
    serial: int


@frozen
class Died:
    """Workers ended before the calibration did, or reported a failure.

    Args:
        workers: Which ones.
        now: When [s since the epoch].
        reason: Why the last of them did, for people.
        excused: Those of them that ended through no fault of their own, such as at their time limit.
    """

    workers: Sequence[int]
    now: float
    reason: str = ""
    excused: Collection[int] = ()


@frozen
class Resubmitted:
    """Workers were submitted again."""

    workers: Sequence[int]


@frozen
class Updated:
    """The update function of a step answered."""

    serial: int
    update: Update


@frozen
class UpdateFailed:
    """It did not."""

    serial: int
    message: str


@frozen
class Killed:
    """A user ended the calibration."""

    who: str


@frozen
class Broken:
    """Workers cannot be submitted at all."""

    message: str


Event = Reported | Died | Resubmitted | Updated | UpdateFailed | Killed | Broken


# What is to be done


@frozen
class MakeUpdate:
    """Execute the update function of a step with the results of these workers."""

    serial: int
    used: tuple[int, ...]
    missing: tuple[int, ...]


@frozen
class BeginStep:
    """Write the next step down, and wake the workers."""

    position: Position
    parameters: Mapping[str, Any]


@frozen
class Resubmit:
    """Submit dead workers again, all at once."""

    workers: tuple[int, ...]


@frozen
class End:
    """Wake the workers so that they end; write the result if there is one."""

    state: State
    message: str
    parameters: Mapping[str, Any] | None = None


Effect = MakeUpdate | BeginStep | Resubmit | End


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
        now: The time [s since the epoch].
        max_wait: How long a dead worker waits for others, to be submitted again with them [s].
    """
    if one.state.ended or not one.dead:
        return []
    if len(one.dead) > one.spare or now - min(one.dead.values()) >= max_wait:
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
