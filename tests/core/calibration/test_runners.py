"""Plans carried out by several tasks, and replayed, against the short way, on random trees of plans."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from caf_core.calibration.asking import carry_out_parts, combined, execute, find_boundaries, statistics
from caf_core.calibration.carry_out import (
    Ask,
    CarriedOut,
    Question,
    Reply,
    Unanswered,
    carry_out,
    first_parts,
    follow,
    follow_parts,
    with_statistics,
)
from caf_core.calibration.plans import (
    Commit,
    Execute,
    Executed,
    FindBoundaries,
    Gap,
    Plan,
    Result,
    Statistics,
    Verdict,
)
from caf_core.calibration.runner import cut_parts
from caf_core.errors import AlgorithmError
from caf_core.iov import ExpRun, IoV

RUN = ExpRun(1, 1)
ANSWERS = (Result.OK, Result.ITERATE, Result.NOT_ENOUGH_DATA, Result.FAILURE, "unknown")
"""What may come of a question; ``unknown`` are boundaries that could not be found."""


@frozen
class Step:
    """Execute run ``number``; commit it if it succeeded; end the plan if it failed."""

    number: int


@frozen
class Search:
    """Ask for boundaries, and execute the runs that were found."""

    number: int


@frozen
class Group:
    """Parts, each a list of steps."""

    parts: tuple["Steps", ...]
    stop_at_failure: bool


Steps = tuple[Step | Search | Group, ...]


def plan_of(steps: Steps) -> Plan:
    """A plan that goes through the steps, and fails with the first thing that fails."""
    verdicts: list[Verdict] = []
    for step in steps:
        if isinstance(step, Group):
            parts = yield from carry_out_parts(map(plan_of, step.parts), stop_at_failure=step.stop_at_failure)
            verdict = combined(parts)
        elif isinstance(step, Search):
            found = yield from find_boundaries((ExpRun(9, step.number),))
            verdict = Verdict(Result.OK, gaps=tuple(Gap(IoV(*run, *run), "found") for run in found))
        else:
            verdict = yield from one_run(ExpRun(1, step.number))
        verdicts.append(verdict)
        if not verdict.result.success:
            break
    return combined(verdicts)


def one_run(run: ExpRun) -> Plan:
    executed = yield from execute((run,), IoV(*run, *run))
    if executed.result.success:
        yield Commit(executed.key, (run,), IoV(*run, *run), "enough data")
    return Verdict(executed.result, executed.message)


@st.composite
def trees(draw: st.DrawFn) -> Steps:
    """Steps of a plan, nested up to three deep; every question has a number of its own."""
    counter = iter(range(10_000))

    def steps(depth: int) -> Steps:
        return tuple(step(depth) for _ in range(draw(st.integers(0, 3))))

    def step(depth: int) -> Step | Search | Group:
        kind = draw(st.sampled_from(["step", "step", "search", "group", "group"] if depth else ["step"]))
        if kind == "group":
            parts = tuple(steps(depth - 1) for _ in range(draw(st.integers(0, 3))))
            return Group(parts, draw(st.booleans()))
        return Search(next(counter)) if kind == "search" else Step(next(counter))

    return steps(3)


@define
class World:
    """Answers that depend on the question alone."""

    seed: int
    kinds: tuple[Any, ...] = ANSWERS
    asked: int = 0

    def reply(self, question: Question, key: str = "") -> Reply:
        self.asked += 1
        number = question.runs[0].run
        kind = random.Random(self.seed * 1_000 + number).choice(self.kinds)
        if isinstance(question, FindBoundaries):
            if kind == "unknown":
                return Executed("", Result.FAILURE, f"no boundaries {number}")
            return (ExpRun(2, number), ExpRun(3, number))
        result = Result.FAILURE if kind == "unknown" else kind
        return Executed(f"execution {number}", result, f"said {number}")


some_seeds = st.integers(0, 10**6)
mild = st.sampled_from([ANSWERS, (Result.OK,) * 8 + ANSWERS, (Result.OK, Result.ITERATE)])


@define
class Book:
    """Answers by key: asks the world for those that it does not have, and counts."""

    world: World
    answers: dict[str, Reply] = field(factory=dict)
    asked: list[str] = field(factory=list)

    def ask(self, key: str, question: Question) -> Reply:
        if key not in self.answers:
            self.asked.append(key)
            self.answers[key] = self.world.reply(question)
        return self.answers[key]

    def known(self, key: str, _: Question) -> Reply:
        if key not in self.answers:
            raise Unanswered(key)
        return self.answers[key]


def carried_out(plan: Plan, ask: Ask) -> CarriedOut:
    commits: list[Commit] = []
    return CarriedOut(follow(plan, "0", ask, commits.append), tuple(commits))


@settings(max_examples=300, deadline=None)
@given(trees(), some_seeds, mild, some_seeds, st.integers(1, 4))
def test_tasks_do_what_carrying_out_means(tree: Steps, seed: int, kinds: Any, order: int, tasks: int) -> None:
    world = World(seed, kinds)
    wanted = carry_out(plan_of(tree), world.reply, world.reply)  # type: ignore[arg-type]  # as told
    book = Book(world)
    parts = first_parts(plan_of(tree))
    if parts is not None:
        cuts = cut_parts(range(len(parts.plans)), tasks)
        random.Random(order).shuffle(cuts)
        for positions in cuts:
            follow_parts(plan_of(tree), "0", positions, book.ask, lambda _: None)
    assert carried_out(plan_of(tree), book.ask) == wanted
    assert carried_out(plan_of(tree), book.known) == wanted
    assert len(book.asked) == len(set(book.asked))


@settings(max_examples=200, deadline=None)
@given(trees(), some_seeds, mild, st.data())
def test_recorded_answers_are_not_asked_again(
    tree: Steps, seed: int, kinds: Any, data: st.DataObject
) -> None:
    first = Book(World(seed, kinds))
    wanted = carried_out(plan_of(tree), first.ask)
    kept = {key: answer for key, answer in first.answers.items() if data.draw(st.booleans())}
    second = Book(World(seed, kinds), dict(kept))
    assert carried_out(plan_of(tree), second.ask) == wanted
    assert second.asked == [key for key in first.asked if key not in kept]
    if second.asked:
        with pytest.raises(Unanswered, match=second.asked[0]):
            carried_out(plan_of(tree), Book(World(seed), kept).known)


@given(st.integers(0, 50), st.integers(1, 60))
def test_parts_are_cut_evenly_and_stay_neighbours(parts: int, tasks: int) -> None:
    cuts = cut_parts(range(parts), tasks)
    assert [position for cut in cuts for position in cut] == list(range(parts))
    assert len(cuts) == max(1, min(parts, tasks))
    assert max(map(len, cuts)) - min(map(len, cuts)) <= 1


def runs_in_parts(*runs: ExpRun, stop_at_failure: bool = True) -> Plan:
    """Each run a part."""
    verdicts = yield from carry_out_parts(map(one_run, runs), stop_at_failure=stop_at_failure)
    return combined(verdicts)


def test_keys_depend_on_the_plan_alone() -> None:
    book = Book(World(1, (Result.OK,)))
    carried_out(plan_of((Step(1), Group(((Step(2),), (Step(3), Search(4)))[:2], True), Step(5))), book.ask)
    assert book.asked == ["0/0", "0/1.0/0", "0/1.1/0", "0/1.1/1", "0/2"]


def by_entries() -> Plan:
    counts = yield from statistics((RUN, ExpRun(1, 2)))
    verdicts = yield from carry_out_parts(one_run(run) for run, entries in counts.items() if entries > 5)
    inner = yield from carry_out_parts([asks_inside()])
    return combined((*verdicts, *inner))


def asks_inside() -> Plan:
    counts = yield from statistics([RUN], "tracks")
    return Verdict(Result.OK, notes=(f"{counts[RUN]} tracks",))


def test_statistics_are_answered_without_a_key_of_their_own() -> None:
    asked: list[Statistics] = []

    def count(request: Statistics) -> dict[ExpRun, int]:
        asked.append(request)
        return {run: 4 + run.run for run in request.runs}

    book = Book(World(1, (Result.OK,)))
    plan = with_statistics(by_entries(), count)
    assert carried_out(plan, book.ask).verdict.notes == ("5 tracks",)
    assert book.asked == ["0/0.0/0"]
    assert [(request.runs, request.collection) for request in asked] == [
        ((RUN, ExpRun(1, 2)), None),
        ((RUN,), "tracks"),
    ]
    parts = first_parts(with_statistics(by_entries(), count))
    assert parts is not None and len(parts.plans) == 1
    with pytest.raises(AlgorithmError, match=r"asks for the entries of 2 run\(s\), which are not given"):
        carry_out(by_entries(), lambda _: Executed("key", Result.OK))


def test_parts_stop_at_a_failure_or_need_not() -> None:
    results = {"0/0.1/0": Result.FAILURE}

    def ask(key: str, _: Question) -> Reply:
        return Executed(key, results.get(key, Result.OK))

    runs = tuple(ExpRun(1, number) for number in range(3))
    stopped = carried_out(runs_in_parts(*runs), ask)
    assert [commit.key for commit in stopped.commits] == ["0/0.0/0"]
    assert stopped.verdict.result is Result.FAILURE
    went_on = carried_out(runs_in_parts(*runs, stop_at_failure=False), ask)
    assert [commit.key for commit in went_on.commits] == ["0/0.0/0", "0/0.2/0"]


def test_ten_thousand_parts_need_no_deep_stack() -> None:
    runs = tuple(ExpRun(1, number) for number in range(10_000))
    done = carried_out(runs_in_parts(*runs), lambda key, _: Executed(key, Result.OK))
    assert len(done.commits) == 10_000


def test_a_wrong_answer_is_refused() -> None:
    with pytest.raises(TypeError, match="does not answer"):
        carried_out(plan_of((Step(1),)), lambda *_: (RUN,))
    with pytest.raises(TypeError, match="must be a tuple of runs"):
        carried_out(plan_of((Search(1),)), lambda key, _: Executed(key, Result.OK))
    done = carried_out(
        plan_of((Search(1),)), lambda key, _: Executed(key, Result.NOT_ENOUGH_DATA, "three runs")
    )
    assert done.verdict == Verdict(
        Result.NOT_ENOUGH_DATA, "the algorithm could not find its boundaries: three runs"
    )


def commits_a_failure() -> Plan:
    executed = yield from execute((RUN,), IoV())
    yield Commit(executed.key, (RUN,), IoV(), "enough data")
    return Verdict(Result.OK)


def commits_twice() -> Plan:
    executed = yield from execute((RUN,), IoV())
    for _ in range(2):
        yield Commit(executed.key, (RUN,), IoV(), "enough data")
    return Verdict(Result.OK)


def says_no_reason() -> Plan:
    executed = yield from execute((RUN,), IoV(*RUN, *RUN))
    yield Commit(executed.key, (RUN,), IoV(*RUN, *RUN))  # as strategies for caf 0.1.0 did
    return Verdict(Result.OK)


def says_nothing_as_reason() -> Plan:
    executed = yield from execute((RUN,), IoV())
    yield Commit(executed.key, (RUN,), IoV(), " ")
    return Verdict(Result.OK)


def asks_for_a_word() -> Plan:
    yield "Execute"  # type: ignore[misc]  # the point of this plan
    return Verdict(Result.OK)


def returns_nothing() -> Plan:  # type: ignore[return]  # the point of this plan
    yield Execute((RUN,), IoV())


def breaks() -> Plan:
    yield Execute((RUN,), IoV())
    raise ZeroDivisionError("by zero")


@pytest.mark.parametrize(
    ("plan", "result", "words"),
    [
        (commits_a_failure, Result.FAILURE, "may be committed once"),
        (commits_twice, Result.OK, "may be committed once"),
        (
            says_no_reason,
            Result.OK,
            r'for 1,1,1,1 with the reason \'\'.*write Commit\(key, runs, iov, "enough',
        ),
        (says_nothing_as_reason, Result.OK, "which tells nobody anything"),
        (asks_for_a_word, Result.OK, "it may yield Execute"),
        (returns_nothing, Result.OK, "must return a Verdict"),
        (breaks, Result.OK, "ZeroDivisionError: by zero"),
    ],
)
def test_plans_that_break_the_rules_are_named(plan: Callable[[], Plan], result: Result, words: str) -> None:
    with pytest.raises(AlgorithmError, match=words):
        carry_out(plan(), lambda _: Executed("key", result))
