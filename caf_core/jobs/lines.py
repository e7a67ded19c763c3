"""A backend as the service sees it, and a job on it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from attrs import Factory, define, field

from caf_core.errors import CheckpointError
from caf_core.jobs.agenda import NEVER
from caf_core.jobs.backend import Backend, Capabilities, Submission
from caf_core.jobs.claims import latest_folder
from caf_core.jobs.columns import INIT, SUBMITTED
from caf_core.jobs.complaints import Complaints
from caf_core.jobs.effects import Settle
from caf_core.jobs.files import JobFiles, read_task, read_tasks, submission_directory, submission_resources
from caf_core.jobs.ledger import Intent
from caf_core.jobs.records import RecordReader, read_record
from caf_core.jobs.requests import JobRequest, JobStatus
from caf_core.jobs.task import Resources
from caf_core.jobs.throttle import Throttle
from caf_core.jobs.tracker import Terms, Tracker
from caf_core.jobs.workers import Worker

SOON = 10.0
"""Shortest time between two questions to a scheduler where something is to be explained [s]."""


@define(eq=False)
class Line:
    """A backend with its worker thread.

    Args:
        name: Its name.
        backend: The backend.
        capabilities: What it can do.
        worker: Its thread.
        jobs: The jobs on it that have not ended.
        waiting: Those of them that have tasks to submit, first come, first served.
        throttle: How many tasks may be added.
        poll_at: When it is asked next.
        polled_at: When it was asked last.
        polling: Whether it is being asked.
    """

    name: str
    backend: Backend
    capabilities: Capabilities
    worker: Worker
    jobs: "dict[str, JobEntry]" = field(factory=dict)
    waiting: "dict[str, JobEntry]" = field(factory=dict)
    throttle: Throttle = field(
        default=Factory(lambda line: Throttle(line.capabilities), takes_self=True), init=False
    )
    poll_at: float = NEVER
    polled_at: float = -NEVER
    polling: bool = False

    @property
    def interval(self) -> float | None:
        """How often it may be asked [s]; ``None`` for never."""
        interval = self.capabilities.poll_interval
        return None if interval is None else interval.total_seconds()

    @property
    def ours(self) -> int:
        """How many tasks are at the backend, as far as is known."""
        return sum(entry.tracker.out for entry in self.jobs.values())

    def room(self, now: float) -> int | None:
        """How many tasks may be added now; ``None`` for any number."""
        if self.capabilities.job_limit is None:
            return self.throttle.room(0, 0, now)
        waiting = sum(entry.tracker.pending for entry in self.waiting.values())
        return self.throttle.room(self.ours, waiting, now)

    def next_poll(self, now: float) -> float:
        """When the backend is asked after now."""
        return NEVER if self.interval is None else now + self.interval

    def ask_soon(self, now: float, wait: float = 0.0) -> None:
        """Ask before the time, but not all the time.

        Args:
            now: The time [s].
            wait: How long at least [s].
        """
        if self.interval is not None:
            soon = max(now + wait, self.polled_at + SOON)
            self.poll_at = min(self.poll_at, max(now, soon)) if self.interval > SOON else self.poll_at

    def next_deadline(self) -> float:
        """When the backend is to be asked, or tasks that wait looked at."""
        poll_at = self.poll_at if self.jobs and not self.polling else NEVER
        return min(poll_at, self.throttle.deadline() if self.waiting else NEVER)


@define(eq=False)
class JobEntry:
    """A job that the service holds.

    Args:
        request: What was asked for.
        files: What its files say of it.
        tracker: Its tasks.
        readers: Who reads the records of each submission.
        settle: What is to be told to the ledger after the next changes.
        complaints: What was said about what goes wrong.
        told: Whether its end was reported.
    """

    request: JobRequest
    files: JobFiles
    tracker: Tracker
    readers: dict[str, RecordReader] = field(factory=dict)
    settle: list[Settle] = field(factory=list)
    complaints: Complaints = field(factory=Complaints)
    told: bool = False

    def directory(self, token: str) -> Path:
        """Where a submission lies."""
        return submission_directory(self.request.directory, token)

    def submission(self, token: str, size: int, resources: Resources, backend: Backend) -> Submission:
        """What the backend is given."""
        arguments: Mapping[str, Any] = {**backend.backend_args, **self.request.backend_args}
        return Submission(
            token,
            self.request.name,
            self.directory(token),
            size,
            resources,
            arguments,
            preload=self.files.preload,
            path=self.files.path,
        )

    def intent(
        self, token: str, tasks: tuple[int, ...], attempts: tuple[int, ...], resources: Resources
    ) -> Intent:
        """What is written down before the backend is given it."""
        request = self.request
        return Intent(
            token, request.key, request.backend, self.directory(token), tasks, attempts, resources.memory_mb
        )

    def reader(self, token: str) -> RecordReader:
        """Who reads the records of a submission; what is known already is not read again."""
        reader = self.readers.get(token)
        if reader is None:
            reader = self.readers[token] = RecordReader(self.directory(token), token)
            for position in self.tracker.ended_positions(token):
                reader.mark(position)
        return reader

    def asked(self, intent: Intent) -> Resources:
        """What the tasks of a submission asked for."""
        return submission_resources(intent.directory, self.request.resources)

    def attempt_directory(self, index: int) -> Path | None:
        """Where the last attempt of a task worked; ``None`` if there was none."""
        if not self.tracker.rows.attempt[index]:
            return None
        return self.last_folder(index, Path(read_task(self.request.directory, index)["output_dir"]))

    def last_folder(self, index: int, output_dir: Path) -> Path:
        """The same of a task of which the own folder is known, and that it had an attempt."""
        folder = output_dir / f"attempt-{self.tracker.rows.attempt[index]}"
        place = self.tracker.place(index)
        return Path(latest_folder(str(self.directory(place[0])), place[1], str(folder))) if place else folder

    def quarantined(self) -> dict[str, str]:
        """The input files that are set aside, and why."""
        reasons = self.tracker.rows.reasons
        lines = read_tasks(self.request.directory, self.tracker.quarantined)
        return {line["input_files"][0]: reasons.get(line["task"], "") for line in lines}

    def outputs(self, *, skip: bool = False) -> Iterator[tuple[int, Path, list[str]]]:
        """The completed tasks in order: index, directory of the attempt that counts, its outputs."""
        for line in read_tasks(self.request.directory, list(self.tracker.completed)):
            try:
                yield line["task"], *self._outputs(line)
            except CheckpointError:
                if not skip:
                    raise

    def task_outputs(self, index: int) -> tuple[Path, list[str]]:
        """The same of one task that completed."""
        return self._outputs(read_task(self.request.directory, index))

    def _outputs(self, line: Mapping[str, Any]) -> tuple[Path, list[str]]:
        """Where a completed task worked, and what it left there."""
        index = line["task"]
        place = self.tracker.place(index)
        assert place is not None  # noqa: S101 - a completed task was submitted
        if (known := self.tracker.rows.outputs.get(index)) is not None:
            return self.last_folder(index, Path(line["output_dir"])), list(known)
        # Written by caf 0.1.0, which did not keep them elsewhere.
        path = self.directory(place[0]) / "records" / f"{place[1]}.json"
        try:
            record = read_record(str(path))
            outputs: list[str] = record["outputs"]
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"the exit record {path} of a completed task cannot be read ({error}); start the job anew."
            ) from error
        folder = record.get("folder") or f"attempt-{self.tracker.rows.attempt[index]}"
        return Path(line["output_dir"]) / folder, outputs

    def status(self) -> JobStatus:
        """The job in numbers."""
        tracker = self.tracker
        counts, failures = tracker.counts()
        return JobStatus(
            counts,
            failures,
            sum(counts.values()),
            tracker.fraction,
            tracker.ended,
            tracker.ended and tracker.success,
            self._why_waiting(),
        )

    def _why_waiting(self) -> str:
        """What most of the tasks that wait are said to wait for; some thousand tell enough."""
        rows = self.tracker.rows
        said = Counter(
            reason
            for index, reason in islice(rows.reasons.items(), 1000)
            # Without a position it waits for another attempt, and the reason is that of the last one.
            if rows.state[index] in (INIT, SUBMITTED) and rows.position[index] >= 0
        )
        return max(said, key=said.__getitem__, default="")


def new_tracker(
    request: JobRequest, files: JobFiles, capabilities: Capabilities, scan_interval: float
) -> Tracker:
    """The tracker of a job."""
    terms = Terms(
        capabilities,
        request.resources,
        request.retry,
        request.min_fraction,
        request.first_attempt,
        scan_interval,
    )
    return Tracker(files.size, terms, lambda index: len(read_task(request.directory, index)["input_files"]))
