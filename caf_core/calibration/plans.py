"""The words between a strategy and whoever carries its plan out.

A plan is a generator: it yields requests and is sent their answers, and returns a ``Verdict``. It does no
I/O, and the same answers always lead to the same requests, so a plan can be replayed from recorded answers.
"""

from collections.abc import Generator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from attrs import frozen

from caf_core.iov import ExpRun, IoV


class Result(StrEnum):
    """What came of executing an algorithm."""

    OK = "ok"
    ITERATE = "iterate"
    NOT_ENOUGH_DATA = "not_enough_data"
    FAILURE = "failure"

    @property
    def success(self) -> bool:
        """Whether there are payloads that may be committed."""
        return self in (Result.OK, Result.ITERATE)


@frozen
class Execute:
    """Execute the algorithm on these runs; answered by ``Executed``.

    Args:
        runs: The runs whose data it gets, in order; all of one experiment unless the strategy spans
            experiments.
        iov: The interval for which its payloads are meant, as far as it is known now.
    """

    runs: tuple[ExpRun, ...]
    iov: IoV


@frozen
class Executed:
    """The answer to ``Execute``.

    Args:
        key: Names this execution in a later ``Commit``.
        result: What the algorithm said.
        message: Its words, for people.
        entries: How many entries the collectors counted in its runs; ``None`` if they do not tell.
    """

    key: str
    result: Result
    message: str = ""
    entries: int | None = None


@frozen
class FindBoundaries:
    """Ask the algorithm which of these runs begin a new payload; answered by a tuple of ``ExpRun``.

    If the algorithm fails, whoever carries the plan out ends it with that result; the plan is not asked.
    """

    runs: tuple[ExpRun, ...]


@frozen
class Statistics:
    """Ask for the entries of runs, as the collectors counted them; answered by a mapping of run to entries.

    Nothing is executed for it, and the answer is the same whenever a plan is replayed. Where nobody counted
    the entries of one of the runs, the plan ends with an error that says so.

    Args:
        runs: The runs.
        collection: The entries of one collection only; those of all together if left out.
    """

    runs: tuple[ExpRun, ...]
    collection: str | None = None


@frozen
class Commit:
    """Let the payloads of an execution count, with this interval; answered by ``None``.

    Args:
        key: The execution's key.
        runs: The runs that it was executed on.
        iov: The final interval of its payloads (a payload with an interval of its own keeps that).
        reason: Why the payloads are for these runs and this interval, in words for people, such as
            ``enough data``; it is recorded beside them, and a commit without one is refused.
        kept: Runs on which the algorithm failed and for which these payloads hold all the same. They are
            flagged, and their interval counts as not converged.
    """

    key: str
    runs: tuple[ExpRun, ...]
    iov: IoV
    reason: str = ""
    kept: tuple[ExpRun, ...] = ()


@frozen
class Parts:
    """Plans that do not depend on one another, in canonical order; answered by the tuple of their verdicts.

    Args:
        plans: The plans; a runner may carry them out at the same time.
        stop_at_failure: Whether a part that fails makes the parts after it count for nothing: they are not
            begun, or their commits are dropped, and the answer ends with the part that failed.
    """

    plans: "tuple[Plan, ...]"
    stop_at_failure: bool = True


@frozen
class Gap:
    """Runs that no payload covers, or runs that were recorded as without result.

    Args:
        iov: The runs, with or without data.
        reason: Why, for people.
        failed: Whether the algorithm failed there, and the plan went on.
    """

    iov: IoV
    reason: str
    failed: bool = False


@frozen
class Verdict:
    """How a plan ended.

    Args:
        result: ``ok`` or ``iterate`` on success; ``not_enough_data`` or ``failure`` otherwise.
        message: Why, for people.
        gaps: What no payload covers.
        notes: What people should be told although the plan went on, such as a boundary that they gave and
            at which no payload begins; a sentence each.
    """

    result: Result
    message: str = ""
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()


Request = Execute | FindBoundaries | Statistics | Commit | Parts
Entries = Mapping[ExpRun, int]
Answer = Executed | tuple[ExpRun, ...] | Entries | tuple[Verdict, ...] | None
Plan = Generator[Request, Answer, Verdict]


@frozen
class Past:
    """What a strategy may know of the previous iteration of the same algorithm.

    Args:
        iteration: The iteration that is about to be planned, from 0.
        commits: What the previous iteration committed, in order; empty in iteration 0.
    """

    iteration: int = 0
    commits: tuple[Commit, ...] = ()


def experiments_of(runs: Sequence[ExpRun]) -> tuple[int, ...]:
    """The experiments that occur, in order."""
    return tuple(sorted({run.exp for run in runs}))


def commit_rows(commits: Sequence[Commit]) -> list[list[Any]]:
    """Commits as JSON values."""
    return [_row(one) for one in commits]


def _row(commit: Commit) -> list[Any]:
    row = [commit.key, [[*run] for run in commit.runs], str(commit.iov), commit.reason]
    return [*row, [[*run] for run in commit.kept]] if commit.kept else row


def commits_of(rows: Sequence[Sequence[Any]]) -> tuple[Commit, ...]:
    """The inverse of ``commit_rows``; caf 0.1.0 wrote no reason."""
    return tuple(_commit(*row) for row in rows)


def _commit(key: str, runs: Any, iov: str, reason: str = "", kept: Any = ()) -> Commit:
    return Commit(key, _runs(runs), IoV.parse(iov), reason, _runs(kept))


def _runs(rows: Sequence[Sequence[int]]) -> tuple[ExpRun, ...]:
    return tuple(ExpRun(exp, run) for exp, run in rows)
