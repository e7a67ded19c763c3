"""The workers of every calibration: what the desk wants, compared with what the job service has."""

import json
import logging
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

from attrs import define, field

from caf_core.control.backends import Backends
from caf_core.control.store.store import CheckpointStore, StoredJob
from caf_core.errors import CafError, CheckpointError, ConfigurationError
from caf_core.jobs.config.reading import Config
from caf_core.jobs.ledger import FailureKind, TaskChange, TaskState
from caf_core.jobs.local import ResidentBackend
from caf_core.jobs.requests import JobRequest, JobUpdate
from caf_core.jobs.residence import Residence
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.service import JobService
from caf_core.plugins.registry import Registry
from caf_service.desk import AgentDesk, Crew
from caf_service.quarters import Quarters, Terms

log = logging.getLogger("caf.agent")

KIND = "submission"
_ENDED = (TaskState.FAILED, TaskState.COMPLETED)
_SOON = 0.5
"""How soon to look again while something is about to happen [s]."""
CANCEL_AGAIN = 60.0
SWEEP = 3600.0


def _policy() -> RetryPolicy:
    """A worker that died is submitted again by the agent, together with others; only a submission that the
    scheduler could not take is tried again at once.
    """
    usual = RetryPolicy()
    kinds = (FailureKind.SUBMISSION, FailureKind.CREDENTIALS)
    return RetryPolicy(rules={kind: usual.rule(kind) for kind in kinds})


@define
class _Muster:
    """What is held of one calibration's workers.

    Args:
        key: Their job.
        workers: How many there are.
        backend: What executes them.
        resident: Whether that is on this machine.
        ending: Since when they may end by themselves; ``None`` while the calibration goes on.
        pending: Dead workers whose tasks have not ended: since when that is known, or was last cancelled.
    """

    key: str
    workers: int
    backend: str
    resident: bool
    ending: float | None = None
    pending: dict[int, float] = field(factory=dict)


@define(kw_only=True)
class Crews:
    """Keeps the workers of all calibrations; owned by the agent's thread.

    Args:
        desk: The service, as an agent sees it.
        quarters: Where workers live.
        terms: What the agent keeps to.
        service: Carries the jobs out.
        store: Where jobs are written down.
        registry: The plugins.
        config: What holds at this site.
        default: The backend of calibrations that name none.
        clock: Seconds since the epoch.
    """

    desk: AgentDesk
    quarters: Quarters
    terms: Terms
    service: JobService
    store: CheckpointStore
    registry: Registry
    config: Config
    default: Any
    clock: Callable[[], float] = time.time
    pause: float = 0.0
    """How soon to look again [s]."""
    _backends: Backends = field(init=False)
    _known: dict[int, _Muster] = field(factory=dict, init=False)
    _added: set[str] = field(factory=set, init=False)
    _residence: Residence = field(init=False)
    _swept: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._backends = Backends(self.registry, self.default, self.config)
        self._residence = Residence(self.quarters.place.directory / ".caf" / "resident")
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
        lost = {**self._silent(crew, muster), **ended}
        news = {worker: reason for worker, reason in lost.items() if worker not in crew.dead}
        if news:
            self.desk.died(crew.calibration, news)
            self.pause = 0.0
        elif crew.resubmit:
            self._resubmit(crew, muster, ended)

    # Submitting

    def _begin(self, crew: Crew) -> _Muster | None:
        """Submit the workers of a calibration, or go on with those of an earlier process."""
        try:
            return self._submit(crew)
        except (ConfigurationError, CheckpointError, OSError) as error:
            log.error("the workers of calibration %s cannot be submitted: %s", crew.calibration, error)
            self._known.pop(crew.calibration, None)
            self.desk.broken(crew.calibration, f"its workers cannot be submitted: {error}")
            return None

    def _submit(self, crew: Crew) -> _Muster:
        note = _note(crew)
        muster = self._muster(crew, note)
        resources, args = self.quarters.resources(crew)
        home = self.quarters.home(crew.calibration)
        name = f"calibration-{crew.calibration}"
        request = JobRequest(
            key=muster.key,
            name=name,
            directory=home / "job",
            backend=muster.backend,
            resources=resources,
            backend_args={} if muster.resident else args,
            retry=_policy(),
        )
        known = self.store.jobs(name, 0, KIND)
        if not (known and note and self.service.resume(request)):
            self.quarters.remove(crew.calibration)
            self.desk.note(crew.calibration, json.dumps({"backend": muster.backend}))
            tokens = self.desk.tokens(crew.calibration, range(crew.workers))
            self.quarters.write_tokens(crew.calibration, tokens)
            job = StoredJob(muster.key, name, 0, KIND, "workers", request.directory, "", None)
            self.store.begin_job(job, muster.backend)
            self.service.submit(request, self.quarters.tasks(crew, resources))
            log.info("calibration %s: %d workers submitted", crew.calibration, crew.workers)
        self._known[crew.calibration] = muster
        return muster

    def _muster(self, crew: Crew, note: Mapping[str, Any]) -> _Muster:
        """What is held of the crew, with its backend ready.

        Raises:
            ConfigurationError: If there is no such backend.
        """
        wanted = str(note.get("backend", "")) or crew.backend or None
        usual = self._backends.use(None)
        name = usual if wanted in (None, usual) else self._backends.use(wanted)
        backend = self._backends.instances[name]
        resident = isinstance(backend, ResidentBackend)
        if name not in self._added:
            if isinstance(backend, ResidentBackend):
                backend.residence = self._residence
            self.service.add_backend(name, backend)
            self._added.add(name)
        muster = _Muster(f"calibration-{crew.calibration}/0/workers", crew.workers, name, resident)
        if isinstance(backend, ResidentBackend):
            # They mostly wait, and one that is not executed would be waited for.
            there = [one.workers for one in self._known.values() if one.backend == name]
            backend.max_processes = sum(there) + crew.workers
        return muster

    # Watching

    def _ended(self, muster: _Muster) -> dict[int, str]:
        """The workers whose tasks have ended, though the calibration goes on: worker -> why."""
        return {
            change.index: change.reason or _how(change)
            for change in self.service.tasks(muster.key)
            if change.state in _ENDED
        }

    def _silent(self, crew: Crew, muster: _Muster) -> dict[int, str]:
        """The workers that execute, and give no sign of life."""
        now, found = self.clock(), {}
        for change in self.service.tasks(muster.key):
            if change.state is TaskState.RUNNING and change.index not in crew.dead:
                seen = crew.seen.get(change.index)
                last = max(crew.since, change.started or 0.0, seen.time if seen else 0.0)
                if now - last > self.terms.silence:
                    found[change.index] = f"no sign of life for {now - last:.0f} s"
        return found

    def _resubmit(self, crew: Crew, muster: _Muster, ended: Collection[int]) -> None:
        """Submit dead workers again, all at once."""
        note, tasks = _note(crew), {one.index: one for one in self.service.tasks(muster.key)}
        begun: Mapping[str, int] = note.get("resubmitting", {})
        # An earlier process may have ended in the midst of this.
        done = [
            int(worker)
            for worker, attempt in begun.items()
            if int(worker) in crew.dead and int(worker) not in ended and tasks[int(worker)].attempt > attempt
        ]
        usual = json.dumps({"backend": muster.backend})
        if done:
            self.desk.resubmitted(crew.calibration, done)
            self.desk.note(crew.calibration, usual)
        waiting = [worker for worker in crew.resubmit if worker not in ended and worker not in done]
        if self._wait_for(muster, waiting) and not done:
            self.pause = _SOON
            return
        again = [worker for worker, task in tasks.items() if task.state is TaskState.FAILED]
        if not again:
            self.pause = _SOON if waiting else self.pause
            return
        attempts = {str(worker): tasks[worker].attempt for worker in again}
        note = {"backend": muster.backend, "resubmitting": attempts}
        self.desk.note(crew.calibration, json.dumps(note))
        self.quarters.write_tokens(crew.calibration, self.desk.tokens(crew.calibration, again))
        self.service.retry_failed(muster.key)
        self.desk.resubmitted(crew.calibration, again)
        self.desk.note(crew.calibration, usual)
        for worker in again:
            muster.pending.pop(worker, None)
        log.info("calibration %s: %d workers submitted again", crew.calibration, len(again))
        self.pause = _SOON

    def _wait_for(self, muster: _Muster, waiting: Collection[int]) -> bool:
        """Dead workers whose tasks have not ended; tells whether to wait for them before anything else."""
        now = self.clock()
        fresh = [worker for worker in waiting if worker not in muster.pending]
        for worker in fresh:
            muster.pending[worker] = now + self.terms.pending
        due = [worker for worker in waiting if muster.pending[worker] <= now]
        if due:
            log.warning("%s: the tasks of dead workers %s are ended", muster.key, due)
            self.service.cancel_tasks(muster.key, due)
            for worker in due:
                muster.pending[worker] = now + CANCEL_AGAIN
        return bool(waiting) and not due

    # Ending

    def _dismiss(self, crew: Crew) -> None:
        """The calibration has ended, and so will its workers."""
        if crew.calibration not in self._known and not self._resume(crew):
            self.desk.dismissed(crew.calibration)
            return
        if self._farewell(crew.calibration, self.terms.farewell, keep=crew.state != "finished"):
            self.desk.dismissed(crew.calibration)

    def _resume(self, crew: Crew) -> bool:
        """Whether an earlier process left workers of a calibration that has ended since."""
        if not _note(crew) or not self.store.jobs(f"calibration-{crew.calibration}", 0, KIND):
            return False
        if not (self.quarters.home(crew.calibration) / "job" / "job.json").exists():
            return False
        try:
            self._submit(crew)
        except (ConfigurationError, CheckpointError, OSError) as error:
            log.error("the workers of calibration %s are not looked after: %s", crew.calibration, error)
            return False
        return True

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
        if keep:
            self.quarters.strip(calibration)
        else:
            self.quarters.remove(calibration)
        return True


def _how(change: TaskChange) -> str:
    if change.exit_code is not None:
        return f"the worker ended with exit code {change.exit_code}"
    return f"the worker ended ({change.failure or change.state})"


def _note(crew: Crew) -> Mapping[str, Any]:
    """What was written down about the workers' job."""
    try:
        found = json.loads(crew.job) if crew.job else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
