"""What carrying a plan out means, in its shortest form: one request after the other, answered by functions.

The runners do the same with answers that come later and from elsewhere; tests hold them to this.
"""

from collections.abc import Callable
from contextlib import closing

from attrs import frozen

from caf_core.calibration.plans import (
    Answer,
    Commit,
    Execute,
    Executed,
    FindBoundaries,
    Parts,
    Plan,
    Request,
    Verdict,
)
from caf_core.errors import AlgorithmError
from caf_core.iov import ExpRun

Boundaries = tuple[ExpRun, ...]


@frozen
class CarriedOut:
    """What came of a plan.

    Args:
        verdict: How it ended.
        commits: What it committed, in canonical order; a plan that failed may have committed before.
    """

    verdict: Verdict
    commits: tuple[Commit, ...]


def no_boundaries(request: FindBoundaries) -> Boundaries:  # noqa: ARG001 - the same for all
    """An algorithm that needs no boundaries."""
    return ()


def carry_out(
    plan: Plan,
    execute: Callable[[Execute], Executed],
    boundaries: Callable[[FindBoundaries], Boundaries | Executed] = no_boundaries,
) -> CarriedOut:
    """Carry a plan out.

    Args:
        plan: The plan, not begun.
        execute: Executes the algorithm; every answer needs a key of its own.
        boundaries: Finds boundaries; answers with an ``Executed`` that is no success if it cannot.
    Raises:
        AlgorithmError: If the plan commits what it may not, or yields something that is no request.
    """
    commits: list[Commit] = []
    successes: set[str] = set()
    answer: Answer = None
    with closing(plan):
        while True:
            try:
                request = plan.send(answer)
            except StopIteration as end:
                return CarriedOut(checked_verdict(end.value), tuple(commits))
            match request:
                case Execute():
                    answer = executed = execute(request)
                    if executed.result.success:
                        successes.add(executed.key)
                case FindBoundaries():
                    answer = found = boundaries(request)
                    if isinstance(found, Executed):
                        return CarriedOut(without_boundaries(found), tuple(commits))
                case Commit():
                    take(request, successes)
                    commits.append(request)
                    answer = None
                case Parts():
                    answer, inner = _parts(request, execute, boundaries)
                    commits.extend(inner)
                case _:
                    raise no_request(request)


def _parts(
    request: Parts,
    execute: Callable[[Execute], Executed],
    boundaries: Callable[[FindBoundaries], Boundaries | Executed],
) -> tuple[tuple[Verdict, ...], list[Commit]]:
    verdicts: list[Verdict] = []
    commits: list[Commit] = []
    for plan in request.plans:
        part = carry_out(plan, execute, boundaries)
        verdicts.append(part.verdict)
        commits.extend(part.commits)
        if request.stop_at_failure and not part.verdict.result.success:
            break
    return tuple(verdicts), commits


def take(commit: Commit, successes: set[str]) -> None:
    """Use up the success that a commit names.

    Raises:
        AlgorithmError: If there is none: the execution failed, is unknown, or was committed before.
    """
    if commit.key not in successes:
        raise AlgorithmError(
            f"the strategy commits the execution {commit.key!r} for {commit.iov}, which is no success of its "
            "plan that waits to be committed; each successful execution may be committed once.",
            iov=str(commit.iov),
        )
    successes.remove(commit.key)


def without_boundaries(answer: Executed) -> Verdict:
    """The end of a plan whose algorithm could not find its boundaries.

    Raises:
        TypeError: If the answer is a success, which says nothing about boundaries.
    """
    if answer.result.success:
        raise TypeError(f"FindBoundaries was answered by {answer!r}; a success must be a tuple of runs.")
    reason = f": {answer.message}" if answer.message else ""
    return Verdict(answer.result, f"the algorithm could not find its boundaries{reason}")


def checked_verdict(value: Verdict | object) -> Verdict:
    """What a plan returned.

    Raises:
        AlgorithmError: If it is no verdict.
    """
    if not isinstance(value, Verdict):
        raise AlgorithmError(f"the strategy's plan returned {value!r}; it must return a Verdict.")
    return value


def no_request(thing: Request | object) -> AlgorithmError:
    """The error for a plan that yields something else than a request."""
    return AlgorithmError(
        f"the strategy yielded {thing!r}; it may yield Execute, FindBoundaries, Commit or Parts."
    )
