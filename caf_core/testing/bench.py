"""What the suite for backends works with: real submissions, and a job service with its inbox."""

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from caf_core.clock import steady
from caf_core.jobs import files, pack
from caf_core.jobs.backend import Backend, Submission
from caf_core.jobs.inbox import Inbox
from caf_core.jobs.ledger import FailureKind, MemoryLedger, TaskChange, TaskState
from caf_core.jobs.requests import JobRequest, JobStatus
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.service import JobService, ServiceEvent, Tick
from caf_core.jobs.task import Resources, TaskSpec
from caf_core.jobs.tokens import new_token

HOSTILE = "with space, 'quotes\", $(touch injected) `touch injected` %d \\ \n newline & ünïcode ; #"
"""A folder name in which everything stands that a shell or a scheduler's language might take for its own."""


def shell(output_dir: Path, script: str, **more: Any) -> TaskSpec:
    """A task that executes a line of shell."""
    return TaskSpec(output_dir, argv=("/bin/sh", "-c", script), **more)


def submission(
    directory: Path,
    tasks: Sequence[TaskSpec],
    backend: Backend,
    *,
    token: str | None = None,
    resources: Resources | None = None,
) -> Submission:
    """Write a submission of these tasks, ready to be started.

    Args:
        directory: A new folder for its files.
        tasks: The tasks.
        backend: Whose ``backend_args`` it gets.
        token: Its token; a new one by default.
        resources: What each task needs.
    """
    token, resources = token or new_token(), resources or Resources()
    files.write_tasks(directory, tasks)
    positions = range(len(tasks))
    written = files.write_submission(directory, token, positions, [1] * len(tasks), resources)
    pack.write_node(written)
    return Submission(token, "conformance", written, len(tasks), resources, backend.backend_args)


def records(one: Submission) -> dict[int, dict[str, Any]]:
    """The exit records that are there."""
    found = (one.directory / "records").glob("[0-9]*.json")
    return {int(path.stem): json.loads(path.read_text()) for path in found}


def names(folder: Path) -> set[str]:
    """The names of all that lies in a folder, at any depth; a service may remove some meanwhile."""
    return {name for _, folders, files in os.walk(folder) for name in (*folders, *files)}


def wait_until(condition: Callable[[], bool], timeout: float, what: str) -> None:
    """Look again and again, for a scheduler tells nobody when something happens.

    Raises:
        TimeoutError: If it does not come true in time.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"in {timeout:g} s it did not happen that {what}")
        time.sleep(0.02)


class JobBench:
    """A job service on one backend, pumped by the test.

    Args:
        backend: The backend.
        directory: Jobs get their folders in it.
        timeout: How long a job may take [s].
    """

    def __init__(self, backend: Backend, directory: Path, timeout: float) -> None:
        self._inbox: Inbox[ServiceEvent] = Inbox()
        self._directory = directory
        self._timeout = timeout
        self._ledger = MemoryLedger()
        self._requests: dict[str, JobRequest] = {}
        self._changes: dict[str, list[TaskChange]] = defaultdict(list)
        self._begin(backend)

    def submit(
        self,
        key: str,
        tasks: Sequence[TaskSpec],
        backend_args: Mapping[str, Any] | None = None,
        *,
        retry: RetryPolicy | None = None,
        resources: Resources | None = None,
    ) -> None:
        """Submit a job; nothing is tried twice unless ``retry`` says so."""
        self._requests[key] = request = JobRequest(
            key=key,
            name=key,
            directory=self._directory / key,
            backend="bench",
            backend_args=backend_args or {},
            retry=retry or RetryPolicy.never(),
            resources=resources or Resources(),
        )
        self.service.submit(request, tasks)

    def restart(self, backend: Backend) -> None:
        """Drop the service and go on with another one on a new instance of the backend, as a new process
        does.
        """
        self.service.close()
        self._inbox = Inbox()
        self._begin(backend)
        for request in self._requests.values():
            self.service.resume(request)

    def _begin(self, backend: Backend) -> None:
        self.service = JobService(self._ledger, self._inbox.put, scan_interval=0.1, flush_interval=0.0)
        self.service.add_backend("bench", backend)

    def directory(self, key: str, token: str) -> Path:
        """The directory of a submission."""
        return files.submission_directory(self._directory / key, token)

    def submissions(self, key: str) -> set[str]:
        """The tokens of a job's submissions."""
        return set(self._ledger.load(key).intents)

    def wait(self, *keys: str) -> list[JobStatus]:
        """Pump until these jobs have ended.

        Raises:
            TimeoutError: If they do not end in time.
        """
        self.pump(lambda: all(self.service.status(key).ended for key in keys), f"the jobs {keys} ended")
        return [self.service.status(key) for key in keys]

    def identity(self, key: str) -> str:
        """The scheduler's id of a job's first task, as soon as it is known; the task may execute before.

        Raises:
            TimeoutError: If it does not become known in time.
        """
        self.pump(lambda: bool(self.tasks(key)[0].scheduler_id), f"the id of {key} is known")
        return self.tasks(key)[0].scheduler_id

    def pump(self, condition: Callable[[], bool], what: str) -> None:
        """Hand events to the service until a condition holds.

        Raises:
            TimeoutError: If it does not come true in time.
        """
        give_up = steady() + self._timeout
        while not condition():
            if steady() > give_up:
                raise TimeoutError(f"in {self._timeout:g} s it did not happen that {what}")
            due = self.service.next_deadline()
            deadline = min(give_up if due is None else due, steady() + 0.1)
            event = self._inbox.get(deadline - steady()) or Tick()
            for update in self.service.handle(event, steady()):
                self._changes[update.key] += update.changes

    def pump_for(self, seconds: float) -> None:
        """Hand events to the service for some time, in which nothing wrong must happen."""
        until = steady() + seconds
        self.pump(lambda: steady() >= until, "time passed")

    def running(self, key: str) -> list[TaskChange]:
        """The tasks of a job of which it is known that they execute."""
        return [task for task in self.tasks(key) if task.state is TaskState.RUNNING]

    def failures(self, key: str) -> list[FailureKind]:
        """Why attempts of a job's tasks failed so far, in that order, also those that were followed by
        others.
        """
        return [change.failure for change in self._changes[key] if change.failure is not None]

    def tasks(self, key: str) -> list[TaskChange]:
        """What is known of a job's tasks, in order."""
        return list(self.service.tasks(key))
