"""What a tracker asks its shell to do, and what it remembers of each submission."""

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any

from attrs import define, field, frozen

from caf_core.jobs.agenda import NEVER
from caf_core.jobs.backend import Report
from caf_core.jobs.ledger import FailureKind, IntentState
from caf_core.jobs.task import Resources


@frozen
class Start:
    """Write a new submission, intend it and issue it."""

    token: str
    tasks: tuple[int, ...]
    attempts: tuple[int, ...]
    resources: Resources


@frozen
class Reissue:
    """Issue a submission again, under its own token: it is certain that the scheduler does not have it."""

    token: str


@frozen
class Search:
    """Ask the scheduler for a token."""

    token: str


@frozen
class ScanRecords:
    """Read the new records of a submission, and who claimed the tasks at some positions."""

    token: str
    claims: tuple[int, ...] = ()


@frozen
class AskSoon:
    """Ask the scheduler for the states of tasks before its time: something is new, or to be explained.

    Args:
        wait: How long it is left alone first [s].
    """

    wait: float = 0.0


@frozen
class Release:
    """Let held tasks go on with other resources."""

    token: str
    ids: tuple[str, ...]
    resources: Resources


@frozen
class Cancel:
    """Tell the scheduler to end tasks of a submission."""

    token: str
    ids: tuple[str, ...]


@frozen
class Settle:
    """Write down what became of an intent."""

    token: str
    state: IntentState
    ids: tuple[str, ...] = ()


@frozen
class SplitTask:
    """Replace a task by two new ones with half of its input files each."""

    parent: int
    children: tuple[int, int]


Effect = Start | Reissue | Search | ScanRecords | AskSoon | Release | Cancel | Settle | SplitTask


class Phase(Enum):
    """How far a submission got."""

    INTENDED = auto()
    """The command was given to the backend, and has not come back."""
    DOUBTFUL = auto()
    """Nobody knows whether the scheduler has it."""
    ISSUED = auto()
    """The scheduler has it."""
    CLOSED = auto()
    """Nothing more is expected of it."""


@define(eq=False)
class Out:
    """A submission as its tracker sees it; times are seconds since the epoch, ``NEVER`` for not at all.

    Args:
        number: Its place among the job's submissions.
        token: Its token.
        tasks: Task indices in the order of the manifest.
        resources: What its tasks asked for.
        phase: How far it got.
        open: How many of its tasks have not ended.
        ids: The scheduler's ids, by position.
        issues: How often its command was executed.
        misses: How many searches in succession did not find it.
        certain: Whether, when it is not there, it may be issued again (else its tasks fail with ``problem``).
        problem: Why it is in doubt.
        cancelling: Whether its tasks are to end.
        untold: Ids of tasks that were to be ended, and of which the scheduler could not be told.
        search_at: When to search.
        issue_at: When to issue it again.
        scan_at: When to read its records.
        scanning: Whether that is going on.
        scanned_at: When the last complete reading began.
        gone: Positions of which the scheduler said that they ended or did not list them, and since when.
        held: Positions that are held, and since when.
        reports: The last reports worth keeping (those that explain a failure).
        broken: Records that cannot be read.
        unexplained: Records of tasks that were ended for a reason that only the scheduler knows.
        kind: Why the next command has to wait, if it has: ``submission`` or ``credentials``.
        full: Whether it waits for room, however long that takes.
        doubted_at: When it was in doubt for the first time.
    """

    number: int
    token: str
    tasks: Sequence[int]
    resources: Resources
    phase: Phase = Phase.INTENDED
    open: int = 0
    ids: Sequence[str] | Mapping[int, str] = ()
    issues: int = 0
    misses: int = 0
    certain: bool = True
    problem: str = ""
    cancelling: bool = False
    untold: frozenset[str] = frozenset()
    search_at: float = NEVER
    issue_at: float = NEVER
    scan_at: float = NEVER
    scanning: bool = False
    scanned_at: float | None = None
    gone: dict[int, float] = field(factory=dict)
    held: dict[int, float] = field(factory=dict)
    reports: dict[int, Report] = field(factory=dict)
    broken: dict[int, str] = field(factory=dict)
    unexplained: dict[int, Mapping[str, Any]] = field(factory=dict)
    kind: FailureKind = FailureKind.SUBMISSION
    full: bool = False
    doubted_at: float = NEVER

    def id_of(self, position: int) -> str:
        """The scheduler's id of a task; empty if it is not known."""
        if isinstance(self.ids, Mapping):
            return self.ids.get(position, "")
        return self.ids[position] if position < len(self.ids) else ""

    def deadline(self, held_for: float) -> float:
        """When something is to be done about it next."""
        scan_at = NEVER if self.scanning else self.scan_at
        held = min(self.held.values()) + held_for if self.held else NEVER
        return min(self.search_at, self.issue_at, scan_at, held)

    def close(self) -> None:
        """Nothing more is expected."""
        self.phase = Phase.CLOSED
        self.search_at = self.issue_at = self.scan_at = NEVER
        for memory in (self.gone, self.held, self.reports, self.broken, self.unexplained):
            memory.clear()


def known_ids(ids: Sequence[str] | Mapping[int, str]) -> tuple[str, ...]:
    """The ids themselves, however they were given."""
    return tuple(ids.values() if isinstance(ids, Mapping) else ids)
