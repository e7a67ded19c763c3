"""What the owner of a ``JobService`` asks for, and what it is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen
from attrs.validators import and_, ge, le

from caf_core.jobs.ledger import FailureKind, TaskChange, TaskState
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.task import Resources


@frozen(kw_only=True)
class JobRequest:
    """A job as the service takes it; its tasks come beside it.

    Args:
        key: Names the job in the ledger and in every later call.
        name: The name for people.
        directory: Where the job's files go.
        backend: Under which name its backend was added.
        resources: What each task needs.
        backend_args: The job's own arguments for the backend; they win over the backend's.
        retry: What failures get.
        min_fraction: The part of the tasks that must succeed.
        first_attempt: The number of the first attempts; higher than 1 where the tasks' directories hold
            attempts of an earlier job.
    """

    key: str
    name: str
    directory: Path
    backend: str
    resources: Resources = field(factory=Resources)
    backend_args: Mapping[str, Any] = field(factory=dict)
    retry: RetryPolicy = field(factory=RetryPolicy)
    min_fraction: float = field(default=1.0, validator=and_(ge(0.0), le(1.0)))
    first_attempt: int = field(default=1, validator=ge(1))


@frozen
class JobUpdate:
    """What is new about a job; the ledger has it already.

    Args:
        key: The job.
        changes: New facts about tasks, the last word on an attempt last. A failed attempt that will be
            followed by another one appears too.
        ended: Whether the job has ended.
        success: Whether enough of its tasks succeeded (so far).
    """

    key: str
    changes: tuple[TaskChange, ...]
    ended: bool
    success: bool


@frozen
class JobStatus:
    """A job in numbers.

    Args:
        counts: Tasks in each state; a task that waits for its next attempt counts as ``init``, a split task
            by its halves.
        failures: Failed tasks by kind.
        total: Number of tasks.
        fraction: The part that succeeded, by which ``min_fraction`` is judged.
        ended: Whether the job has ended.
        success: Whether enough succeeded.
        waits: Why tasks wait, in the words of the scheduler; of most of them, if they differ.
    """

    counts: Mapping[TaskState, int]
    failures: Mapping[FailureKind, int]
    total: int
    fraction: float
    ended: bool
    success: bool
    waits: str = ""
