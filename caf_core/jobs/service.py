"""Carrying jobs out: the shell around the trackers.

A ``JobService`` belongs to one thread. Whatever may block happens in worker threads, one a backend and one
for reading records; what comes of it is posted to the owner's inbox, and the owner gives it to ``handle``.
No command is given before its intent is in the ledger.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from caf_core.clock import steady
from caf_core.errors import ConfigurationError
from caf_core.jobs import files, workers
from caf_core.jobs.agenda import NEVER, Agenda
from caf_core.jobs.backend import Backend, Report
from caf_core.jobs.complaints import Complaints
from caf_core.jobs.events import (
    CancelFailed,
    Counted,
    Found,
    Notified,
    Polled,
    ReleaseFailed,
    Scanned,
    ServiceEvent,
    Started,
    Tick,
)
from caf_core.jobs.ledger import Ledger, TaskChange
from caf_core.jobs.lines import JobEntry, Line, new_tracker
from caf_core.jobs.news import enter
from caf_core.jobs.performer import Performer
from caf_core.jobs.recovery import restore
from caf_core.jobs.requests import JobRequest, JobStatus, JobUpdate
from caf_core.jobs.task import TaskSpec
from caf_core.jobs.tokens import new_token

__all__ = ["JobRequest", "JobService", "JobStatus", "JobUpdate", "ServiceEvent", "Tick"]

log = logging.getLogger("caf.jobs")

RETELL = 30.0
"""How long after a failure a backend is told again to end tasks [s]."""

ENOUGH = 5_000
"""So many changes are written down at once, even if it is not time yet."""


class JobService:
    """Carries jobs out on backends; owned by one thread.

    Args:
        ledger: Where intents and changes are written down.
        post: Puts an event into the owner's inbox; called from other threads.
        clock: Seconds since the epoch, which go on evenly.
        scan_interval: How often records are read [s].
        flush_interval: For how long changes are collected before they are written down [s].
        crash: Called at the named points where a test may kill the process.
    """

    def __init__(
        self,
        ledger: Ledger,
        post: Callable[[ServiceEvent], None],
        *,
        clock: Callable[[], float] = steady,
        scan_interval: float = 1.0,
        flush_interval: float = 0.1,
        crash: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._post = post
        self._clock = clock
        self._scan_interval = scan_interval
        self._flush_interval = flush_interval
        self._crash = crash
        self._lines: dict[str, Line] = {}
        self._jobs: dict[str, JobEntry] = {}
        self._tokens: dict[str, JobEntry] = {}
        self._agenda = Agenda()
        self._retell = Agenda()
        self._unwritten: dict[str, JobEntry] = {}
        self._flush_at = NEVER
        self._complaints = Complaints()
        self._performer = Performer(ledger, self._tokens, post, clock, crash)

    # What the owner asks for

    def add_backend(self, name: str, backend: Backend) -> None:
        """Make a backend known under a name, and listen to it."""
        if name in self._lines:
            raise ConfigurationError(
                f"there is a backend called {name!r} already; give the other one another name."
            )
        worker = workers.Worker(f"caf-backend-{name}", self._post)
        self._lines[name] = Line(name, backend, backend.capabilities(), worker)
        backend.attach(self._notified)

    def submit(self, request: JobRequest, tasks: Iterable[TaskSpec]) -> None:
        """Take a new job.

        Args:
            request: The job.
            tasks: Its tasks; each is written to the job's files as it comes, and not kept.
        Raises:
            ConfigurationError: If the job's directory cannot be written or holds a job already.
        """
        line = self._line(request)
        line.backend.check_args({**line.backend.backend_args, **request.backend_args})
        try:
            job = files.write_tasks(request.directory, tasks)
        except OSError as error:
            raise ConfigurationError(
                f"the job {request.name!r} cannot be written to {request.directory}: {error.strerror}; "
                "free some space, or choose another output directory."
            ) from error
        entry = JobEntry(request, job, new_tracker(request, job, line.capabilities, self._scan_interval))
        entry.tracker.begin()
        self._take(entry, line)

    def resume(self, request: JobRequest) -> bool:
        """Go on with a job from an earlier process.

        Returns:
            ``False`` if the job was never completely written down, so that nothing of it can have been
            submitted: submit it.
        Raises:
            CheckpointError: If the job's files are damaged or of a newer version.
        """
        line = self._line(request)
        job = files.read_job(request.directory)
        if job is None:
            return False
        entry = JobEntry(request, job, new_tracker(request, job, line.capabilities, self._scan_interval))
        record = self._ledger.load(request.key)
        splits = files.read_splits(request.directory)
        restore(entry.tracker, record, splits, entry.asked, self._clock())
        self._tokens.update(dict.fromkeys(record.intents, entry))
        if entry.tracker.knows_outputs():  # an older caf did not write them down
            for directory in files.submissions(request.directory):
                if directory.name not in entry.tracker.open:
                    self._performer.fold(directory)
        for token in entry.tracker.open:
            line.worker.do(partial(workers.adopt, line.backend, token, entry.directory(token)))
        if line.interval is not None:
            line.poll_at = self._clock()
        self._take(entry, line)
        return True

    @property
    def backends(self) -> Mapping[str, Backend]:
        """The backends that were added, by name."""
        return {name: line.backend for name, line in self._lines.items()}

    def backend_of(self, key: str) -> str:
        """The name of the backend of a job."""
        return self._entry(key).request.backend

    def cancel(self, key: str) -> None:
        """End what a job has at its backend, and do not begin what waits; tasks that completed stay
        completed.
        """
        entry = self._entry(key)
        entry.tracker.cancel(self._clock())
        self._advance(entry, self._clock())

    def cancel_tasks(self, key: str, indices: Iterable[int]) -> None:
        """End those of some tasks that a backend has; ``retry_failed`` submits them again afterwards."""
        entry = self._entry(key)
        entry.tracker.cancel_tasks(indices)
        self._advance(entry, self._clock())

    def retry_failed(self, key: str) -> None:
        """Submit the failed tasks of a job again, whatever its policy says."""
        entry = self._entry(key)
        entry.tracker.retry_failed()
        self._take(entry, self._line(entry.request))

    def forget(self, key: str) -> None:
        """Drop what is held of a job that has ended.

        Raises:
            ConfigurationError: If it has not.
        """
        entry = self._entry(key)
        if not entry.told:
            raise ConfigurationError(f"the job {key!r} has not ended; cancel it first.")
        for out in entry.tracker.outs:
            self._tokens.pop(out.token, None)
        self._agenda.set(key, NEVER)
        del self._jobs[key]

    def close(self) -> None:
        """Stop the threads and let go of the backends; what they execute goes on."""
        self._performer.close()
        for line in self._lines.values():
            line.worker.close()
            line.backend.close()

    # What the owner is told

    def status(self, key: str) -> JobStatus:
        """A job in numbers."""
        return self._entry(key).status()

    def task(self, key: str, index: int) -> TaskChange:
        """What is known of one task."""
        return self._entry(key).tracker.change(index)

    def tasks(self, key: str) -> Iterator[TaskChange]:
        """What is known of every task that counts, in order; the halves of a split task stand in its
        place.
        """
        tracker = self._entry(key).tracker
        return (tracker.change(index) for index in tracker.leaves())

    def quarantined(self, key: str) -> dict[str, str]:
        """The input files of a job that are set aside, and why."""
        return self._entry(key).quarantined()

    def attempt_directory(self, key: str, index: int) -> Path | None:
        """Where the last attempt of a task worked; ``None`` if there was none."""
        return self._entry(key).attempt_directory(index)

    def last_folder(self, key: str, index: int, output_dir: Path) -> Path:
        """The same of a task of which the own folder is known, and that it had an attempt."""
        return self._entry(key).last_folder(index, output_dir)

    def outputs(self, key: str, *, skip: bool = False) -> Iterator[tuple[int, Path, list[str]]]:
        """The completed tasks in order: index, directory of the attempt that counts, its outputs relative to
        that.

        Args:
            key: The job.
            skip: Whether tasks whose exit record is gone are left out.
        Raises:
            CheckpointError: If an exit record is gone.
        """
        return self._entry(key).outputs(skip=skip)

    def task_outputs(self, key: str, index: int) -> tuple[Path, list[str]]:
        """The same of one task that completed: directory of the attempt, and its outputs."""
        return self._entry(key).task_outputs(index)

    @property
    def counting(self) -> bool:
        """Whether tasks wait for the user's jobs to be counted."""
        return any(line.waiting and line.throttle.counting for line in self._lines.values())

    # The owner's loop

    def next_deadline(self) -> float | None:
        """When ``handle(Tick(), now)`` is wanted next; ``None`` for not at all."""
        lines = (line.next_deadline() for line in self._lines.values())
        deadline = min(self._flush_at, self._agenda.next(), self._retell.next(), *lines)
        return None if deadline == NEVER else deadline

    def handle(self, event: object, now: float) -> list[JobUpdate]:
        """Take an event from the inbox.

        Args:
            event: What was posted, or a ``Tick``; anything else is ignored.
            now: The time.
        Returns:
            What changed, one update a job at most; the ledger has it already.
        """
        match event:
            case Polled():
                self._take_poll(event, now)
            case Counted(backend, number, problem):
                line = self._lines[backend]
                line.throttle.counted(number, now)
                if problem and self._complaints.is_new(f"count {backend}", problem, now):
                    log.warning("backend %s did not tell how many jobs you have: %s", backend, problem)
            case Started() | Found() | Notified() | Scanned() | CancelFailed() | ReleaseFailed():
                entry = self._tokens.get(event.token)
                if entry is not None:
                    if isinstance(event, Started):
                        self._crash("submission.command.after")
                    elif isinstance(event, CancelFailed):
                        self._retell.set(event.token, now + RETELL)
                    enter(entry, event, now)
                    self._advance(entry, now)
        self._do_due(now)
        full = sum(entry.tracker.changed for entry in self._unwritten.values()) >= ENOUGH
        return self._flush() if now >= self._flush_at or full else []

    def _take_poll(self, event: Polled, now: float) -> None:
        line = self._lines[event.backend]
        line.polling = False
        line.poll_at = line.next_poll(now)
        if event.reports is None:
            if self._complaints.is_new(line.name, event.problem, now):
                log.warning("backend %s did not tell the states of its tasks: %s", line.name, event.problem)
            return
        for token, reports in event.by_token().items():
            entry = self._tokens.get(token)
            if entry is not None:
                entry.tracker.polled(token, reports, now)
                self._advance(entry, now)

    def _do_due(self, now: float) -> None:
        """Do whatever its time has come."""
        while (key := self._agenda.take(now)) is not None:
            entry = self._jobs[key]
            entry.tracker.tick(now)
            self._advance(entry, now)
        while (token := self._retell.take(now)) is not None:
            if (told := self._tokens.get(token)) is not None:
                told.tracker.cancel_again(token)
                self._advance(told, now)
        for line in self._lines.values():
            if line.poll_at <= now and line.jobs and not line.polling:
                self._poll(line, now)
            if line.waiting:
                if line.throttle.wants_count(now):
                    line.throttle.ask()
                    line.worker.do(partial(workers.count, line.backend, line.name))
                self._fill(line, now)

    # Inside

    def _notified(self, token: str, reports: Mapping[int, Report]) -> None:
        self._post(Notified(token, reports))

    def _line(self, request: JobRequest) -> Line:
        try:
            return self._lines[request.backend]
        except KeyError:
            known = ", ".join(sorted(self._lines)) or "none"
            raise ConfigurationError(
                f"the job {request.name!r} asks for the backend {request.backend!r}, which was not added; "
                f"there are: {known}."
            ) from None

    def _entry(self, key: str) -> JobEntry:
        try:
            return self._jobs[key]
        except KeyError:
            raise ConfigurationError(f"there is no job {key!r} here; submit or resume it first.") from None

    def _take(self, entry: JobEntry, line: Line) -> None:
        key = entry.request.key
        now = self._clock()
        self._jobs[key] = line.jobs[key] = entry
        entry.told = False
        if line.interval is not None and line.poll_at == NEVER:
            line.poll_at = now + line.interval
        self._advance(entry, now)
        self._fill(line, now)

    def _advance(self, entry: JobEntry, now: float) -> None:
        """Do what a tracker asks for, and put its next deadline on the agenda."""
        tracker, key = entry.tracker, entry.request.key
        line = self._lines[entry.request.backend]
        while True:
            for effect in tracker.take_effects():
                self._performer.perform(entry, line, effect, now)
            deadline = tracker.next_deadline()
            if deadline > now:
                break
            tracker.tick(now)
        self._agenda.set(key, deadline)
        if tracker.pending:
            line.waiting[key] = entry
        if tracker.ended and not entry.told:
            self._write_soon(entry, now)
        elif tracker.changed or entry.settle:
            self._write_soon(entry, now + self._flush_interval)

    def _write_soon(self, entry: JobEntry, at: float) -> None:
        self._unwritten[entry.request.key] = entry
        self._flush_at = min(self._flush_at, at)

    def _fill(self, line: Line, now: float) -> None:
        """Submit what waits, as far as there is room."""
        for key, entry in list(line.waiting.items()):
            while start := entry.tracker.next_submission(line.room(now), new_token):
                line.throttle.started(len(start.tasks), now)
                self._performer.perform(entry, line, start, now)
            if not entry.tracker.pending:
                del line.waiting[key]
            self._advance(entry, now)

    def _poll(self, line: Line, now: float) -> None:
        asked = [task for entry in line.jobs.values() for task in entry.tracker.outstanding()]
        if not asked:
            line.poll_at = line.next_poll(now)
            return
        line.polling, line.polled_at = True, now
        line.worker.do(partial(workers.poll, line.backend, line.name, asked))

    def _flush(self) -> list[JobUpdate]:
        """Write changes down, then tell them."""
        unwritten, self._unwritten = self._unwritten, {}
        self._flush_at = NEVER
        return [update for entry in unwritten.values() if (update := self._write(entry)) is not None]

    def _write(self, entry: JobEntry) -> JobUpdate | None:
        key, tracker = entry.request.key, entry.tracker
        changes = tuple(tracker.take_changes())
        if changes:
            self._crash("records.change.before")
            self._ledger.change(key, changes)
        for effect in entry.settle:
            self._ledger.settle(effect.token, effect.state)
            self._performer.fold(entry.directory(effect.token))
        entry.settle.clear()
        if changes:
            self._crash("records.change.after")
        ended = tracker.ended
        if ended and not entry.told:
            entry.told = True
            self._lines[entry.request.backend].jobs.pop(key, None)
        elif not changes:
            return None
        return JobUpdate(key, changes, ended, tracker.success)
