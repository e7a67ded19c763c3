"""Where a calibration is in its plan, at one moment."""

from collections.abc import Mapping
from enum import StrEnum
from math import ceil

from attrs import field, frozen

from caf_service.plan import Position


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
