"""What a plan says to get a typed answer: ``executed = yield from execute(runs, iov)``."""

from collections.abc import Generator, Iterable, Mapping
from typing import TypeVar, cast

from caf_core.calibration.plans import (
    Answer,
    Entries,
    Execute,
    Executed,
    FindBoundaries,
    Parts,
    Plan,
    Request,
    Result,
    Statistics,
    Verdict,
)
from caf_core.iov import ExpRun, IoV, as_runs

T = TypeVar("T")
Asking = Generator[Request, Answer, T]


def execute(runs: tuple[ExpRun, ...], iov: IoV) -> Asking[Executed]:
    """Execute the algorithm on these runs, for this interval."""
    answer = yield Execute(runs, iov)
    if not isinstance(answer, Executed):
        raise TypeError(f"Execute was answered by {answer!r}; the answer must be an Executed.")
    return answer


def find_boundaries(runs: tuple[ExpRun, ...]) -> Asking[tuple[ExpRun, ...]]:
    """Ask the algorithm at which of these runs something new begins."""
    answer = yield FindBoundaries(runs)
    if not isinstance(answer, tuple):
        raise TypeError(f"FindBoundaries was answered by {answer!r}; the answer must be a tuple of runs.")
    return as_runs(cast("tuple[ExpRun, ...]", answer))


def statistics(runs: Iterable[ExpRun], collection: str | None = None) -> Asking[Entries]:
    """Ask for the entries of runs, by run."""
    answer = yield Statistics(tuple(runs), collection)
    if not isinstance(answer, Mapping):
        raise TypeError(
            f"Statistics was answered by {answer!r}; the answer must be a mapping of run to entries."
        )
    return answer


def carry_out_parts(plans: Iterable[Plan], *, stop_at_failure: bool = True) -> Asking[tuple[Verdict, ...]]:
    """Let plans that do not depend on one another be carried out; their verdicts, in order."""
    answer = yield Parts(tuple(plans), stop_at_failure)
    if not isinstance(answer, tuple):
        raise TypeError(f"Parts was answered by {answer!r}; the answer must be a tuple of verdicts.")
    return cast("tuple[Verdict, ...]", answer)


def combined(verdicts: Iterable[Verdict]) -> Verdict:
    """What verdicts of parts that all must succeed mean together.

    The first that is no success decides; otherwise one ``iterate`` is enough to iterate. Gaps and notes are
    put together.
    """
    known = tuple(verdicts)
    gaps = tuple(gap for verdict in known for gap in verdict.gaps)
    notes = tuple(note for verdict in known for note in verdict.notes)
    for verdict in known:
        if not verdict.result.success:
            return Verdict(verdict.result, verdict.message, gaps, notes)
    iterate = any(verdict.result is Result.ITERATE for verdict in known)
    return Verdict(Result.ITERATE if iterate else Result.OK, gaps=gaps, notes=notes)
