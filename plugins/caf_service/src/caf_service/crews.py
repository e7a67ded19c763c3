"""The workers of every calibration: what the desk wants, compared with what the job service has."""

import logging
from collections.abc import Callable
from contextlib import suppress

from attrs import define, field

from caf_core.errors import CafError, CheckpointError, ConfigurationError, PluginError
from caf_core.jobs.ledger import FailureKind, TaskChange, TaskState
from caf_core.jobs.requests import JobUpdate
from caf_core.jobs.service import JobService
from caf_core.text import clause
from caf_service.desk import AgentDesk, Crew
from caf_service.endings import EXCUSED, Ending
from caf_service.errors import NotFoundError
from caf_service.quarters import Quarters, Terms
from caf_service.recruiting import Muster, NoRoomError, Recruiting
from caf_service.snapshot import State
from caf_service.store.thread import DatabaseAwayError
from caf_service.transport import ServiceError

log = logging.getLogger("caf.agent")

_ENDED = (TaskState.FAILED, TaskState.COMPLETED)
_SOON = 0.5
"""How soon to look again while something is about to happen [s]."""
SWEEP = 3600.0
FOR_GOOD = (ConfigurationError, PluginError, CheckpointError, ImportError)
"""Why workers cannot be submitted, now or later: trying again mends none of it."""
AWAY = (ServiceError, DatabaseAwayError, NotFoundError)
"""What a desk raises that does not answer, or knows nothing of a calibration any more."""


@define(kw_only=True)
class Crews:
    """Keeps the workers of all calibrations; owned by the agent's thread.

    Args:
        recruiting: Has them submitted; the desk, the quarters and the terms are its own.
    """

    recruiting: Recruiting
    pause: float = 0.0
    """How soon to look again [s]."""
    desk: AgentDesk = field(init=False)
    quarters: Quarters = field(init=False)
    terms: Terms = field(init=False)
    service: JobService = field(init=False)
    clock: Callable[[], float] = field(init=False)
    _known: dict[int, Muster] = field(factory=dict, init=False)
    _troubled: dict[int, float] = field(factory=dict, init=False)
    _swept: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        recruiting = self.recruiting
        self.desk, self.quarters, self.terms = recruiting.desk, recruiting.quarters, recruiting.terms
        self.service, self.clock = recruiting.service, recruiting.clock
        self.quarters.open()

    def ended(self, update: JobUpdate) -> bool:
        """Whether a change of a job is worth a look at once."""
        return update.ended or any(change.state in _ENDED for change in update.changes)

    def look(self) -> None:
        """Do what lies between what is wanted and what there is.

        Raises:
            CafError: If the desk did not answer; the rest was done.
        """
        self.pause = self.terms.interval
        crews = self.desk.crews()
        self.recruiting.keep_waiting([crew.calibration for crew in crews if not crew.state.ended])
        problem: CafError | None = None
        for crew in crews:
            try:
                self._tend(crew)
            except CafError as error:
                problem = error
            except Exception as error:  # one calibration's trouble must not be that of all others
                log.exception("calibration %s cannot be looked after", crew.calibration)
                problem = CafError(f"calibration {crew.calibration}: {type(error).__name__}: {error}")
        listed = {crew.calibration for crew in crews}
        for calibration in self._known.keys() - listed:
            # It was cleaned away, and its workers' tokens with it.
            self._farewell(calibration, patience=0.0)
        if self.clock() - self._swept > SWEEP:
            self._swept = self.clock()
            self.quarters.sweep(listed)
        if problem is not None:
            raise problem

    def _tend(self, crew: Crew) -> None:
        if crew.state.ended:
            self._dismiss(crew)
            return
        muster = self._known.get(crew.calibration) or self._begin(crew)
        if muster is None:
            return
        ended = self._ended(muster)
        lost = {**self._silent(crew, muster), **{worker: _how(change) for worker, change in ended.items()}}
        news = {worker: reason for worker, reason in lost.items() if worker not in crew.dead}
        if news:
            excused = [worker for worker in news if worker in ended and _excused(ended[worker])]
            self.desk.died(crew.calibration, news, excused=excused)
            self.pause = 0.0
        elif crew.resubmit and self.recruiting.resubmit(crew, muster, ended):
            self.pause = min(self.pause, _SOON)

    # Submitting

    def _begin(self, crew: Crew) -> Muster | None:
        """Submit the workers of a calibration, or go on with those of an earlier process."""
        try:
            problem = self._submit(crew)
        except NoRoomError:
            return None
        if problem is None:
            return self._known[crew.calibration]
        log.error("the workers of calibration %s cannot be submitted: %s", crew.calibration, problem)
        self.desk.broken(crew.calibration, f"its workers cannot be submitted: {problem}")
        return None

    def _submit(self, crew: Crew) -> str | None:
        """Submit workers, or go on with them; returns why that is not possible, if it never will be."""
        number = crew.calibration
        try:
            self._known[number] = self.recruiting.submit(crew)
        except (*AWAY, NoRoomError):
            raise
        except Exception as error:
            if not isinstance(error, FOR_GOOD) and self._hopes(number):
                raise
            self.recruiting.release(number)
            self._troubled.pop(number, None)
            return str(error) if isinstance(error, CafError) else f"{type(error).__name__}: {error}"
        self._troubled.pop(number, None)
        return None

    def _hopes(self, calibration: int) -> bool:
        """Whether it is tried again to submit workers: a full disk may have room soon."""
        return self.clock() - self._troubled.setdefault(calibration, self.clock()) < self.terms.trouble

    # Watching

    def _ended(self, muster: Muster) -> dict[int, TaskChange]:
        """The workers whose tasks have ended, though the calibration goes on."""
        return {one.index: one for one in self.service.tasks(muster.key) if one.state in _ENDED}

    def _silent(self, crew: Crew, muster: Muster) -> dict[int, str]:
        """The workers that execute, and give no sign of life.

        How long nothing was heard of one counts from when its last sign was new here, by the clock of this
        process: the service has another clock, and either may be corrected.
        """
        now, found = self.clock(), {}
        # Who did not look has not heard either.
        before = muster.signs if now - muster.looked <= self.terms.silence / 2 else {}
        muster.looked, muster.signs = now, {}
        for change in self.service.tasks(muster.key):
            if change.state is TaskState.RUNNING and change.index not in crew.dead:
                seen = crew.seen.get(change.index)
                # A service that has begun anew has heard of nobody yet.
                sign = (change.attempt, crew.since, None if seen is None else seen.time)
                known, since = before.get(change.index, (None, now))
                if known != sign:
                    since = now
                muster.signs[change.index] = (sign, since)
                if now - since > self.terms.silence:
                    found[change.index] = f"no sign of life for {now - since:.0f} s"
        return found

    # Ending

    def _dismiss(self, crew: Crew) -> None:
        """The calibration has ended, and so will its workers."""
        if crew.calibration not in self._known and not self._resume(crew):
            self.desk.dismissed(crew.calibration)
            return
        # Of one that was killed nothing begins any more: what waits at a scheduler would.
        patience = 0.0 if crew.state is State.KILLED else self.terms.farewell
        if self._farewell(crew.calibration, patience, keep=crew.state is not State.FINISHED):
            self.desk.dismissed(crew.calibration)

    def _resume(self, crew: Crew) -> bool:
        """Whether an earlier process left workers of a calibration that has ended since."""
        if not self.recruiting.known(crew):
            return False
        problem = self._submit(crew)
        if problem is not None:
            log.error("the workers of calibration %s are not looked after: %s", crew.calibration, problem)
        return problem is None

    def _farewell(self, calibration: int, patience: float, *, keep: bool = False) -> bool:
        """Let workers end by themselves, and end those that do not; tells whether all have."""
        muster, now = self._known[calibration], self.clock()
        if muster.ending is None:
            muster.ending = now
        status = self.service.status(muster.key)
        if status.ended:
            with suppress(ConfigurationError):  # its end was not told yet
                self.service.forget(muster.key)
                return self._forget(calibration, keep=keep)
        self.pause = min(self.pause, _SOON)
        if muster.ending != float("inf"):
            executing = status.counts.get(TaskState.RUNNING, 0) + (
                status.counts.get(TaskState.SUBMITTED, 0) if muster.resident else 0
            )
            if not executing or now - muster.ending >= patience:
                muster.ending = float("inf")
                self.service.cancel(muster.key)
        return False

    def _forget(self, calibration: int, *, keep: bool) -> bool:
        del self._known[calibration]
        self.recruiting.release(calibration)
        self.pause = 0.0  # others may wait for the room
        if keep:
            self.quarters.strip(calibration)
        else:
            self.quarters.remove(calibration)
        return True


def _how(change: TaskChange) -> str:
    reason = change.reason or f"the worker ended ({change.failure or change.state})"
    try:
        return reason if change.exit_code is None else f"{clause(reason)}: {Ending(change.exit_code).meaning}"
    except ValueError:
        return reason


def _excused(change: TaskChange) -> bool:
    """Whether a worker ended through no fault of its own."""
    return change.exit_code in EXCUSED or change.failure is FailureKind.WALLTIME
