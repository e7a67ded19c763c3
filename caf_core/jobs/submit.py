"""Jobs without a calibration: what ``backend.submit``, ``job.ready`` and ``backend.join`` do."""

import logging
import os
import shutil
import weakref
from collections.abc import Iterable
from pathlib import Path

from attrs import evolve

from caf_core.clock import steady
from caf_core.errors import ConfigurationError
from caf_core.jobs.backend import Backend
from caf_core.jobs.config.reading import Config, load_config
from caf_core.jobs.events import ServiceEvent
from caf_core.jobs.inbox import Inbox
from caf_core.jobs.ledger import FailureKind, MemoryLedger, TaskChange, TaskState
from caf_core.jobs.model import Job, SubJob
from caf_core.jobs.requests import JobRequest, JobUpdate
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.service import JobService, Tick
from caf_core.jobs.tokens import new_token

log = logging.getLogger("caf.jobs")

COUNT_TIMEOUT = 30.0
"""How long ``submit`` waits for the user's jobs to be counted [s]; after that, the next ``pump`` goes on."""


class Session:
    """The jobs that a program has submitted to one backend.

    Nothing happens in the background but the execution itself: what came of it is taken in by ``pump``, which
    ``job.ready``, ``job.update_status`` and ``join`` call.

    Args:
        backend: The backend.
        config: What holds where the backend and a job say nothing.
    """

    def __init__(self, backend: Backend, config: Config | None = None) -> None:
        self._config = config or Config()
        self._config.configure(backend)
        self._inbox: Inbox[ServiceEvent] = Inbox()
        self._service = JobService(MemoryLedger(), self._inbox.put, flush_interval=0.0)
        self._name = type(backend).__name__
        self._service.add_backend(self._name, backend)
        self._jobs: dict[str, Job] = {}
        self._open: set[str] = set()

    def submit(self, jobs: Job | Iterable[Job]) -> None:
        """Submit one job, or several.

        Raises:
            ConfigurationError: If a job was submitted already, has no command, or cannot be written.
        """
        for job in [jobs] if isinstance(jobs, Job) else jobs:
            self._submit(job)

    def pump(self) -> None:
        """Take in what has happened until now."""
        while (event := self._inbox.get(0)) is not None:
            self._handle(event)
        self._handle(Tick())

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all has ended; ``False`` if that took longer than ``timeout`` [s]."""
        until = None if timeout is None else steady() + timeout
        self.pump()
        while self._open:
            now = steady()
            if until is not None and now >= until:
                return False
            dues = [due for due in (until, self._service.next_deadline()) if due is not None]
            wake = min(dues, default=None)
            self._handle(self._inbox.get(None if wake is None else wake - now) or Tick())
        return True

    def ended(self, key: str) -> bool:
        """Whether a job has ended."""
        return key not in self._open

    def unfinished(self) -> int:
        """How many tasks have not ended."""
        statuses = (self._service.status(key) for key in self._open)
        return sum(
            number
            for status in statuses
            for state, number in status.counts.items()
            if state not in (TaskState.FAILED, TaskState.COMPLETED)
        )

    def cancel(self, key: str) -> None:
        """End a job."""
        self._service.cancel(key)
        self.pump()

    def retry_failed(self, key: str) -> None:
        """Submit the failed tasks of a job again."""
        self._open.add(key)
        self._service.retry_failed(key)
        for task in self._jobs[key].tasks():
            if task.status is TaskState.FAILED:
                task.set_status(TaskState.SUBMITTED)
        self.pump()

    def close(self) -> None:
        """Let go of the backend; what it executes goes on."""
        self._service.close()

    def _submit(self, job: Job) -> None:
        if job.key:
            raise ConfigurationError(
                f"the job {job.name!r} was submitted already; make a new Job, or retry_failed()."
            )
        if not job.cmd:
            raise ConfigurationError(f"the job {job.name!r} has no command; set job.cmd.")
        job.check_input_data_files()
        job.split()
        job.working_dir = (job.working_dir or Path(job.name)).absolute()
        if job.output_dir is not None:
            job.output_dir = job.output_dir.absolute()
        key = new_token()
        request = JobRequest(
            key=key,
            name=job.name,
            directory=job.working_dir / ".caf" / key,
            backend=self._name,
            resources=job.resources.or_else(self._config.make_resources()),
            backend_args=job.backend_args,
            retry=self._config.make_retry() if job.retry == RetryPolicy() else job.retry,
            first_attempt=_next_attempt(job),
        )
        self._service.submit(request, (task.spec() for task in job.tasks()))
        job.attach(key, self)
        for task in job.tasks():
            task.set_status(TaskState.SUBMITTED)
        self._jobs[key] = job
        self._open.add(key)
        self.pump()
        self._await_count()

    def _await_count(self) -> None:
        """Until the user's jobs were counted: nothing is submitted before, and who submits may go on to wait
        for something else."""
        until = steady() + COUNT_TIMEOUT
        while self._service.counting and (left := until - steady()) > 0:
            if (event := self._inbox.get(left)) is not None:
                self._handle(event)
                self._handle(Tick())

    def _handle(self, event: ServiceEvent) -> None:
        for update in self._service.handle(event, steady()):
            self._apply(update)

    def _apply(self, update: JobUpdate) -> None:
        job = self._jobs[update.key]
        tasks = job.tasks()
        for change in update.changes:
            if change.index < len(tasks):
                self._note(job, tasks[change.index], change)
        if update.ended:
            self._open.discard(update.key)

    def _note(self, job: Job, task: Job | SubJob, change: TaskChange) -> None:
        task.attempt_dir = None
        if change.attempt and task.working_dir:
            task.attempt_dir = task.working_dir / f"attempt-{change.attempt}"
            if change.state in (TaskState.COMPLETED, TaskState.FAILED):
                task.attempt_dir = self._service.last_folder(job.key, change.index, task.working_dir)
        if change.state is TaskState.COMPLETED and task.output_dir is not None:
            change = self._deliver(job.key, task.output_dir, change)
        task.result = change
        again = (
            change.state is TaskState.FAILED
            and self._service.task(job.key, change.index).state is TaskState.INIT
        )
        task.set_status(TaskState.SUBMITTED if again else change.state)

    def _deliver(self, key: str, target: Path, change: TaskChange) -> TaskChange:
        """Put the outputs where the user wants them; they stay in the attempt's folder too, without taking
        space twice.
        """
        attempt, outputs = self._service.task_outputs(key, change.index)
        try:
            for name in outputs:
                _link(attempt / name, target / name)
        except OSError as error:
            log.error("the outputs in %s cannot be put into %s: %s", attempt, target, error)
            return evolve(change, state=TaskState.FAILED, failure=FailureKind.BAD_OUTPUT, reason=str(error))
        return change


def session_of(backend: Backend) -> Session:
    """The session of a backend, begun if there is none; it is closed when the program ends."""
    if backend.session is None:
        backend.session = session = Session(backend, load_config())
        weakref.finalize(backend, session.close)
    return backend.session


def _next_attempt(job: Job) -> int:
    """The first number that no attempt in the working directories has."""
    numbers = [0]
    for task in job.tasks():
        if task.working_dir is not None and task.working_dir.is_dir():
            names = [
                entry.name for entry in os.scandir(task.working_dir) if entry.name.startswith("attempt-")
            ]
            numbers += [int(name[8:]) for name in names if name[8:].isdecimal()]
    return max(numbers) + 1


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without links.
        shutil.copy2(source, target)
