"""What must be written down before and after a scheduler is touched, whoever writes it.

The checkpoint store of a calibration run implements this protocol, and so does the small store of ``caf
submit``. Without a calibration
and without a wish to restart, ``MemoryLedger`` serves.
"""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from attrs import define, field, frozen


class TaskState(StrEnum):
    """Where a task is. The order is the one in which the overall status of a job is taken: the lowest
    counts."""

    INIT = "init"
    SUBMITTED = "submitted"
    RUNNING = "running"
    FAILED = "failed"
    COMPLETED = "completed"


class FailureKind(StrEnum):
    """Why an attempt failed."""

    EXIT_CODE = "exit_code"
    OUT_OF_MEMORY = "out_of_memory"
    WALLTIME = "walltime"
    DISK = "disk"
    NODE_LOST = "node_lost"
    HELD = "held"
    SUBMISSION = "submission"
    BAD_OUTPUT = "bad_output"
    CREDENTIALS = "credentials"
    CANCELLED = "cancelled"


class IntentState(StrEnum):
    """How far one scheduler command got."""

    INTENDED = "intended"
    ISSUED = "issued"
    REFUSED = "refused"
    ENDED = "ended"


@frozen
class Intent:
    """A submission that is about to be issued, written down before its command is executed.

    Args:
        token: The submission's token.
        job: Key of the job that it belongs to.
        backend: The backend's plugin name.
        directory: The submission's directory.
        tasks: Task indices, in the order of the manifest.
        attempts: The attempt number of each task, likewise.
        memory_mb: Memory that was asked for, if any [MB].
    """

    token: str
    job: str
    backend: str
    directory: Path
    tasks: tuple[int, ...]
    attempts: tuple[int, ...]
    memory_mb: int | None = None


@frozen
class TaskChange:
    """A new fact about one task; ``outputs`` lie in the directory of the attempt, and may not be known."""

    index: int
    state: TaskState
    attempt: int = 0
    token: str = ""
    scheduler_id: str = ""
    failure: FailureKind | None = None
    exit_code: int | None = None
    host: str = ""
    peak_memory_mb: float | None = None
    started: float | None = None
    ended: float | None = None
    reason: str = ""
    outputs: tuple[str, ...] | None = None


@define
class JobRecord:
    """What a ledger knows of a job, to go on after a restart."""

    tasks: dict[int, TaskChange] = field(factory=dict)
    intents: dict[str, tuple[Intent, IntentState, tuple[str, ...]]] = field(factory=dict)


class Ledger(Protocol):
    """Written by the thread that owns the jobs, and by no other."""

    def intend(self, intent: Intent) -> None:
        """Write an intent down; it is durable when this returns."""

    def settle(self, token: str, state: IntentState, ids: Sequence[str] = ()) -> None:
        """Write down what became of an intent: issued (with the scheduler's ids), refused or ended."""

    def change(self, job: str, changes: Sequence[TaskChange]) -> None:
        """Write down new facts about tasks, in one batch."""

    def load(self, job: str) -> JobRecord:
        """What is known of a job; empty for one that was never seen."""


@define
class MemoryLedger:
    """A ledger for a program that does not restart."""

    records: dict[str, JobRecord] = field(factory=dict)
    _jobs: dict[str, str] = field(factory=dict)

    def intend(self, intent: Intent) -> None:
        """See ``Ledger``."""
        self._jobs[intent.token] = intent.job
        self.records.setdefault(intent.job, JobRecord()).intents[intent.token] = (
            intent,
            IntentState.INTENDED,
            (),
        )

    def settle(self, token: str, state: IntentState, ids: Sequence[str] = ()) -> None:
        """See ``Ledger``."""
        intents = self.records[self._jobs[token]].intents
        intent, _, old = intents[token]
        intents[token] = (intent, state, tuple(ids) or old)

    def change(self, job: str, changes: Sequence[TaskChange]) -> None:
        """See ``Ledger``."""
        self.records.setdefault(job, JobRecord()).tasks.update({change.index: change for change in changes})

    def load(self, job: str) -> JobRecord:
        """See ``Ledger``."""
        return self.records.get(job, JobRecord())
