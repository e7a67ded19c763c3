"""Carrying a plan out: one request after the other, each answered by a function.

Every question has a key, ``<path>/<number>``, that depends on the plan alone: the parts of the request with
the number ``n`` have the paths ``<path>/n.0``, ``<path>/n.1``, ... So a plan that was carried out elsewhere,
or before a crash, is replayed from its answers.
"""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import Any

from attrs import evolve, frozen

from caf_core.calibration.plans import (
    Answer,
    Commit,
    Entries,
    Execute,
    Executed,
    FindBoundaries,
    Parts,
    Plan,
    Request,
    Statistics,
    Verdict,
)
from caf_core.errors import AlgorithmError, CafError
from caf_core.iov import ExpRun
from caf_core.text import clause

Boundaries = tuple[ExpRun, ...]
Question = Execute | FindBoundaries
Reply = Executed | Boundaries
Count = Callable[[Statistics], Entries]
"""Answers how many entries runs have."""
Ask = Callable[[str, Question], Reply]
"""Answers the question with a key: with an ``Executed``, or with the boundaries; with an ``Executed`` that is
no success also if the algorithm could not find its boundaries."""


class Unanswered(Exception):
    """Raised by an ``Ask`` that has no answer: the plan is not carried out any further."""


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


def no_statistics(request: Statistics) -> Entries:
    """Nobody knows the entries of runs.

    Raises:
        AlgorithmError: Whatever is asked.
    """
    raise AlgorithmError(
        f"the strategy asks for the entries of {len(request.runs)} run(s), which are not given; give "
        "carry_out(plan, execute, statistics=...) a function that answers, such as "
        "lambda request: {run: 10 for run in request.runs}."
    )


class _Counted(Generator[Request, Answer, Verdict]):
    """A plan whose requests for statistics are answered. No generator function: there may be a plan a run."""

    __slots__ = ("_count", "_plan")

    def __init__(self, plan: Plan, count: Count) -> None:
        self._plan, self._count = plan, count

    def send(self, value: Answer) -> Request:
        request = self._plan.send(value)
        while isinstance(request, Statistics):
            request = self._plan.send(self._count(request))
        if isinstance(request, Parts):
            return evolve(request, plans=tuple(_Counted(plan, self._count) for plan in request.plans))
        return request

    def throw(self, *error: Any) -> Request:
        return self._plan.throw(*error)

    def close(self) -> None:
        self._plan.close()


def with_statistics(plan: Plan, count: Count) -> Plan:
    """The same plan, whose requests for statistics are answered by a function."""
    return _Counted(plan, count)


def carry_out(
    plan: Plan,
    execute: Callable[[Execute], Executed],
    boundaries: Callable[[FindBoundaries], Boundaries | Executed] = no_boundaries,
    statistics: Count = no_statistics,
) -> CarriedOut:
    """Carry a plan out.

    Args:
        plan: The plan, not begun.
        execute: Executes the algorithm; every answer needs a key of its own.
        boundaries: Finds boundaries; answers with an ``Executed`` that is no success if it cannot.
        statistics: Tells the entries of runs.
    Raises:
        AlgorithmError: If the plan commits what it may not, or yields something that is no request.
    """

    def ask(_key: str, question: Question) -> Reply:
        return execute(question) if isinstance(question, Execute) else boundaries(question)

    commits: list[Commit] = []
    verdict = follow(with_statistics(plan, statistics), "", ask, commits.append)
    return CarriedOut(verdict, tuple(commits))


def follow(plan: Plan, path: str, ask: Ask, commit: Callable[[Commit], None]) -> Verdict:
    """Carry a plan out, with keys that begin with a path.

    Args:
        plan: The plan, not begun.
        path: Where it stands among others.
        ask: Answers its questions.
        commit: Takes what it commits, in canonical order.
    Raises:
        AlgorithmError: If it commits what it may not, yields something that is no request, or breaks.
    """
    successes: set[str] = set()
    answer: Answer = None
    asked = 0
    with closing(plan):
        while True:
            request = _next(plan, answer)
            if isinstance(request, Verdict):
                return request
            key = f"{path}/{asked}"
            match request:
                case Execute() | FindBoundaries():
                    asked += 1
                    reply = ask(key, request)
                    if isinstance(reply, Executed):
                        if isinstance(request, FindBoundaries):
                            return _without_boundaries(reply)
                        if reply.result.success:
                            successes.add(reply.key)
                    elif isinstance(request, Execute):
                        raise TypeError(f"{key} is the key of {request!r}, which {reply!r} does not answer.")
                    answer = reply
                case Commit():
                    _check_reason(request)
                    _use_up(request, successes)
                    commit(request)
                    answer = None
                case Parts():
                    asked += 1
                    answer = tuple(_parts(request, key, range(len(request.plans)), ask, commit))
                case _:
                    raise _no_request(request)


def first_parts(plan: Plan) -> Parts | None:
    """The parts with which a plan begins, if it begins with some; the plan is begun by this."""
    request = _next(plan, None)
    return request if isinstance(request, Parts) else None


def follow_parts(
    plan: Plan, path: str, positions: Iterable[int], ask: Ask, commit: Callable[[Commit], None]
) -> None:
    """Carry out some of the parts with which a plan begins, as ``follow`` would do.

    Args:
        plan: The plan, not begun; see ``first_parts``.
        path: Where it stands among others.
        positions: Which of its parts, ascending.
        ask: Answers questions.
        commit: Takes what they commit.
    """
    with closing(plan):
        parts = first_parts(plan)
        if parts is not None:
            for _ in _parts(parts, f"{path}/0", positions, ask, commit):
                pass


def _parts(
    request: Parts, path: str, positions: Iterable[int], ask: Ask, commit: Callable[[Commit], None]
) -> Iterable[Verdict]:
    """The verdicts of parts, up to the first that failed if that stops those after it."""
    for position in positions:
        verdict = follow(request.plans[position], f"{path}.{position}", ask, commit)
        yield verdict
        if request.stop_at_failure and not verdict.result.success:
            return


def _next(plan: Plan, answer: Answer) -> Request | Verdict:
    try:
        return plan.send(answer)
    except StopIteration as end:
        return _checked(end.value)
    except CafError:
        raise
    except Exception as error:
        raise AlgorithmError(f"the strategy broke: {type(error).__name__}: {clause(error)}") from error


def _check_reason(commit: Commit) -> None:
    """Refuse a commit that does not say why.

    Raises:
        AlgorithmError: If it has no reason in words; caf 0.1.0 asked for none.
    """
    reason: object = commit.reason  # as the strategy wrote it
    if not isinstance(reason, str) or not reason.strip():
        raise AlgorithmError(
            f"the strategy commits payloads for {commit.iov} with the reason {reason!r}, which tells nobody "
            'anything; write Commit(key, runs, iov, "enough data"), or whatever the reason is in words for '
            "people (caf 0.1.0 did not ask for one).",
            iov=str(commit.iov),
        )


def _use_up(commit: Commit, successes: set[str]) -> None:
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


def _without_boundaries(answer: Executed) -> Verdict:
    """The end of a plan whose algorithm could not find its boundaries.

    Raises:
        TypeError: If the answer is a success, which says nothing about boundaries.
    """
    if answer.result.success:
        raise TypeError(f"FindBoundaries was answered by {answer!r}; a success must be a tuple of runs.")
    reason = f": {answer.message}" if answer.message else ""
    return Verdict(answer.result, f"the algorithm could not find its boundaries{reason}")


def _checked(value: Verdict | object) -> Verdict:
    """What a plan returned.

    Raises:
        AlgorithmError: If it is no verdict.
    """
    if not isinstance(value, Verdict):
        raise AlgorithmError(f"the strategy's plan returned {value!r}; it must return a Verdict.")
    return value


def _no_request(thing: Request | object) -> AlgorithmError:
    """The error for a plan that yields something else than a request."""
    return AlgorithmError(
        f"the strategy yielded {thing!r}; it may yield Execute, FindBoundaries, Statistics, Commit or Parts."
    )
