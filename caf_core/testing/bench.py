"""What the suite for backends works with: real submissions, and a job service with its inbox."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from caf_core.jobs import files, pack
from caf_core.jobs.backend import Backend, Submission
from caf_core.jobs.ledger import MemoryLedger, TaskChange
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


def submission(directory: Path, tasks: Sequence[TaskSpec], backend: Backend) -> Submission:
    """Write a submission of these tasks, ready to be started."""
    token = new_token()
    files.write_tasks(directory, tasks)
    positions = range(len(tasks))
    written = files.write_submission(directory, token, positions, [1] * len(tasks), Resources())
    pack.write_node(written)
    return Submission(token, "conformance", written, len(tasks), backend_args=backend.backend_args)


def records(one: Submission) -> dict[int, dict[str, Any]]:
    """The exit records that are there."""
    found = (one.directory / "records").glob("[0-9]*.json")
    return {int(path.stem): json.loads(path.read_text()) for path in found}


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
        self._inbox: SimpleQueue[ServiceEvent] = SimpleQueue()
        self._directory = directory
        self._timeout = timeout
        self.service = JobService(MemoryLedger(), self._inbox.put, scan_interval=0.1, flush_interval=0.0)
        self.service.add_backend("bench", backend)

    def submit(
        self, key: str, tasks: Sequence[TaskSpec], backend_args: Mapping[str, Any] | None = None
    ) -> None:
        """Submit a job; nothing is tried twice."""
        request = JobRequest(
            key=key,
            name=key,
            directory=self._directory / key,
            backend="bench",
            backend_args=backend_args or {},
            retry=RetryPolicy.never(),
        )
        self.service.submit(request, tasks)

    def wait(self, *keys: str) -> list[JobStatus]:
        """Pump until these jobs have ended.

        Raises:
            TimeoutError: If they do not end in time.
        """
        self.pump(lambda: all(self.service.status(key).ended for key in keys), f"the jobs {keys} ended")
        return [self.service.status(key) for key in keys]

    def pump(self, condition: Callable[[], bool], what: str) -> None:
        """Hand events to the service until a condition holds.

        Raises:
            TimeoutError: If it does not come true in time.
        """
        give_up = time.time() + self._timeout
        while not condition():
            if time.time() > give_up:
                raise TimeoutError(f"in {self._timeout:g} s it did not happen that {what}")
            deadline = min(self.service.next_deadline() or give_up, time.time() + 0.1)
            try:
                event = self._inbox.get(timeout=max(0.001, deadline - time.time()))
            except Empty:
                event = Tick()
            self.service.handle(event, time.time())

    def tasks(self, key: str) -> list[TaskChange]:
        """What is known of a job's tasks, in order."""
        return list(self.service.tasks(key))
