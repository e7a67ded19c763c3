"""Workers are submitted, gone on with, and submitted again when enough of them have died."""

import json
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from attrs import define, field

from caf_core.control.backends import Backends
from caf_core.control.store.store import CheckpointStore, StoredJob
from caf_core.errors import CafError, ConfigurationError
from caf_core.jobs.backend import Backend
from caf_core.jobs.config.reading import Config
from caf_core.jobs.ledger import FailureKind, TaskChange, TaskState
from caf_core.jobs.local import ResidentBackend
from caf_core.jobs.requests import JobRequest
from caf_core.jobs.residence import Residence
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.service import JobService
from caf_core.json_text import json_text
from caf_core.plugins.registry import Registry
from caf_service import resources
from caf_service.desk import AgentDesk, Crew
from caf_service.places import local_places
from caf_service.quarters import Quarters, Terms

log = logging.getLogger("caf.agent")

KIND = "submission"
CANCEL_AGAIN = 60.0
"""How soon a task that does not end is cancelled again [s]."""


class NoRoomError(CafError):
    """This machine has no room for the workers of a calibration until others have ended."""


@define
class Muster:
    """What is held of one calibration's workers.

    Args:
        key: Their job.
        workers: How many there are.
        backend: What executes them.
        resident: Whether that is on this machine.
        ending: Since when they may end by themselves; ``None`` while the calibration goes on.
        pending: Dead workers whose tasks have not ended: when they are to be cancelled.
        signs: Executing workers: their last sign of life, and when it was new here.
        looked: When it was last looked for such signs.
    """

    key: str
    workers: int
    backend: str
    resident: bool
    ending: float | None = None
    pending: dict[int, float] = field(factory=dict)
    signs: dict[int, tuple[object, float]] = field(factory=dict)
    looked: float = float("-inf")


@define(kw_only=True)
class Recruiting:
    """Has workers submitted; owned by the agent's thread.

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
    clock: Callable[[], float]
    take_over: bool = False
    _backends: Backends = field(init=False)
    _added: set[str] = field(factory=set, init=False)
    _places: dict[int, tuple[str, int]] = field(factory=dict, init=False)
    _waiting: set[int] = field(factory=set, init=False)
    _residence: Residence = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._backends = Backends(self.registry, self.default, self.config)
        folder = self.quarters.place.directory / ".caf" / "resident"
        self._residence = Residence(folder, take_over=self.take_over)

    def known(self, crew: Crew) -> bool:
        """Whether an earlier process has left a job of these workers, as a whole."""
        written = note_of(crew) and self.store.jobs(_name(crew.calibration), 0, KIND)
        return bool(written) and (self.quarters.home(crew.calibration) / "job" / "job.json").exists()

    def submit(self, crew: Crew) -> Muster:
        """Submit the workers of a calibration, or go on with those of an earlier process.

        Raises:
            ConfigurationError: If they cannot be submitted as the calibration asks for it.
            PluginError: If their backend cannot be imported.
            CheckpointError: If what an earlier process left cannot be read.
            NoRoomError: If this machine has no room for them now.
        """
        note = note_of(crew)
        needed, args = resources.split(crew.backend_args, self.terms.resources)
        muster = self._muster(crew, note, known=self.known(crew))
        home, name = self.quarters.home(crew.calibration), _name(crew.calibration)
        request = JobRequest(
            key=muster.key,
            name=name,
            directory=home / "job",
            backend=muster.backend,
            resources=needed,
            backend_args={} if muster.resident else args,
            retry=_policy(),
        )
        known = self.store.jobs(name, 0, KIND)
        if not (known and note and self.service.resume(request)):
            self.quarters.remove(crew.calibration)
            self.desk.note(crew.calibration, json_text({"backend": muster.backend}))
            tokens = self.desk.tokens(crew.calibration, range(crew.workers))
            self.quarters.write_tokens(crew.calibration, tokens)
            job = StoredJob(muster.key, name, 0, KIND, "workers", request.directory, "", None)
            self.store.begin_job(job, muster.backend)
            self.service.submit(request, self.quarters.tasks(crew, needed))
            log.info("calibration %s: %d workers submitted", crew.calibration, crew.workers)
        return muster

    def release(self, calibration: int) -> None:
        """Forget that a calibration needs places."""
        self._places.pop(calibration, None)
        self._waiting.discard(calibration)

    def keep_waiting(self, calibrations: Collection[int]) -> None:
        """Forget those that wait for room and are none of these."""
        self._waiting &= set(calibrations)

    def _muster(self, crew: Crew, note: Mapping[str, Any], *, known: bool) -> Muster:
        """What is held of the crew, with its backend ready."""
        name = self._named(str(note.get("backend", "")) or crew.backend)
        backend = self._backends.instances[name]
        if name not in self._added:
            if isinstance(backend, ResidentBackend):
                backend.residence = self._residence
            self.service.add_backend(name, backend)
            self._added.add(name)
        self._make_room(crew, name, backend, known=known)
        resident = isinstance(backend, ResidentBackend)
        return Muster(f"{_name(crew.calibration)}/0/workers", crew.workers, name, resident)

    def _named(self, wanted: str) -> str:
        """The backend that is meant; the default one may be an instance that goes by its name."""
        try:
            usual = self._backends.use(None)
        except (CafError, ImportError):
            if not wanted:
                raise
            # Who names another backend does not mind.
            return self._backends.use(wanted)
        return usual if wanted in ("", usual) else self._backends.use(wanted)

    def _make_room(self, crew: Crew, name: str, backend: Backend, *, known: bool) -> None:
        """Let all workers of a calibration on this machine execute: they mostly wait, and one that is not
        executed would be waited for. So a calibration begins when there is room for all of them, in the order
        of their numbers; those that an earlier process began are there already.
        """
        if isinstance(backend, ResidentBackend):
            if not known:
                self._find_room(crew)
            self._waiting.discard(crew.calibration)
            self._places[crew.calibration] = (name, crew.workers)
            backend.max_processes = sum(many for one, many in self._places.values() if one == name)

    def _find_room(self, crew: Crew) -> None:
        most = self.terms.places or local_places()
        if crew.workers > most:
            raise ConfigurationError(
                f"this machine has room for {most} workers, and not for {crew.workers}; ask for fewer, or "
                "for another backend."
            )
        taken = sum(many for one, (_, many) in self._places.items() if one != crew.calibration)
        if taken + crew.workers > most or any(one < crew.calibration for one in self._waiting):
            if crew.calibration not in self._waiting:
                waits = f"waits for room: {taken} of {most} workers execute on this machine"
                log.info("calibration %s %s", crew.calibration, waits)
                self.desk.note(crew.calibration, json_text({"waits": f"it {waits}"}))
            self._waiting.add(crew.calibration)
            raise NoRoomError(f"this machine has no room for {crew.workers} more workers now.")

    # Again

    def resubmit(self, crew: Crew, muster: Muster, ended: Collection[int]) -> bool:
        """Submit dead workers again, all at once.

        Args:
            crew: The workers.
            muster: What is held of them.
            ended: Those whose tasks have ended.
        Returns:
            Whether it is worth looking again soon.
        """
        tasks = {one.index: one for one in self.service.tasks(muster.key)}
        done = self._done_before(crew, {worker: one.attempt for worker, one in tasks.items()}, ended)
        usual = json_text({"backend": muster.backend})
        if done:
            self.desk.resubmitted(crew.calibration, done)
            self.desk.note(crew.calibration, usual)
        waiting = [worker for worker in crew.resubmit if worker not in ended and worker not in done]
        if self._wait_for(muster, waiting) and not done:
            return True
        again = [worker for worker, task in tasks.items() if task.state is TaskState.FAILED]
        if not again:
            self._refuse_completed(crew, tasks)
            return bool(waiting)
        attempts = {str(worker): tasks[worker].attempt for worker in again}
        self.desk.note(crew.calibration, json_text({"backend": muster.backend, "resubmitting": attempts}))
        self.quarters.write_tokens(crew.calibration, self.desk.tokens(crew.calibration, again))
        self.service.retry_failed(muster.key)
        self.desk.resubmitted(crew.calibration, again)
        self.desk.note(crew.calibration, usual)
        for worker in again:
            muster.pending.pop(worker, None)
        log.info("calibration %s: %d workers submitted again", crew.calibration, len(again))
        return True

    def _refuse_completed(self, crew: Crew, tasks: Mapping[int, TaskChange]) -> None:
        """A job cannot be told to do again what succeeded; nobody shall wait for it for ever."""
        content = [one for one in crew.resubmit if tasks[one].state is TaskState.COMPLETED]
        if content:
            self.desk.broken(
                crew.calibration, f"workers {content} ended as if it were over; look into their logs."
            )

    def _done_before(self, crew: Crew, attempts: Mapping[int, int], ended: Collection[int]) -> list[int]:
        """Those whom an earlier process submitted again, and did not come to say so."""
        begun: Mapping[str, int] = note_of(crew).get("resubmitting", {})
        return [
            int(worker)
            for worker, attempt in begun.items()
            if int(worker) in crew.dead and int(worker) not in ended and attempts[int(worker)] > attempt
        ]

    def _wait_for(self, muster: Muster, waiting: Collection[int]) -> bool:
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


def note_of(crew: Crew) -> Mapping[str, Any]:
    """What was written down about the workers' job."""
    try:
        found = json.loads(crew.job) if crew.job else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _name(calibration: int) -> str:
    return f"calibration-{calibration}"


def _policy() -> RetryPolicy:
    """A worker that died is submitted again by the agent, together with others; only a submission that the
    scheduler could not take is tried again at once.
    """
    usual = RetryPolicy()
    kinds = (FailureKind.SUBMISSION, FailureKind.CREDENTIALS)
    return RetryPolicy(rules={kind: usual.rule(kind) for kind in kinds})
