"""Runners against the short definition of carrying a plan out, on random trees of plans."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from caf_core.calibration.asking import carry_out_parts, combined, execute, find_boundaries
from caf_core.calibration.carry_out import CarriedOut, carry_out
from caf_core.calibration.plan_tree import Question, Reply
from caf_core.calibration.plans import (
    Commit,
    Execute,
    Executed,
    FindBoundaries,
    Gap,
    Parts,
    Past,
    Plan,
    Result,
    Verdict,
)
from caf_core.calibration.runner import (
    AlgorithmsRunner,
    Ask,
    ParallelRunner,
    PlannedAlgorithm,
    SequentialRunner,
)
from caf_core.calibration.strategy import AlgorithmStrategy
from caf_core.errors import AlgorithmError, ConfigurationError
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
        yield Commit(executed.key, (run,), IoV(*run, *run))
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


@define(kw_only=True)
class Scripted(AlgorithmStrategy):
    """A strategy whose plan is given."""

    make: Callable[[], Plan]

    def plan(self, runs: Any, past: Past) -> Plan:
        return self.make()


def planned(index: int, make: Callable[[], Plan]) -> PlannedAlgorithm:
    return PlannedAlgorithm(index, f"algorithm {index}", Scripted(make=make), (RUN,))


def expected(trees: list[Steps], world: World) -> list[CarriedOut]:
    """What the short definition says, algorithm after algorithm."""
    results: list[CarriedOut] = []
    for tree in trees:
        results.append(carry_out(plan_of(tree), world.reply, world.reply))  # type: ignore[arg-type]  # as told
        if not results[-1].verdict.result.success:
            break
    return results


def finish(
    runner: AlgorithmsRunner, asks: list[Ask], world: World, choose: random.Random
) -> dict[str, Reply]:
    """Answer in random order until the runner has finished; what was answered, in that order."""
    record: dict[str, Reply] = {}
    open_asks = list(asks)
    while not runner.finished:
        ask = open_asks.pop(choose.randrange(len(open_asks)))
        record[ask.key] = world.reply(ask.request)
        open_asks += runner.answer(ask.key, record[ask.key])
    return record


def outcome(runner: AlgorithmsRunner) -> list[CarriedOut]:
    return [CarriedOut(*pair) for pair in zip(runner.verdicts, runner.commits, strict=True)]


some_trees = st.lists(trees(), min_size=1, max_size=3)
orders = st.integers(0, 10**6)
mild = st.sampled_from([ANSWERS, (Result.OK,) * 8 + ANSWERS, (Result.OK, Result.ITERATE)])


@settings(max_examples=300, deadline=None)
@given(some_trees, st.integers(0, 10**6), mild, orders)
def test_runners_do_what_carrying_out_means(trees: list[Steps], seed: int, kinds: Any, order: int) -> None:
    world = World(seed, kinds)
    wanted = expected(trees, world)
    needed = world.asked
    for runner in (SequentialRunner(), ParallelRunner()):
        asks = runner.start(
            [planned(index, lambda tree=tree: plan_of(tree)) for index, tree in enumerate(trees)]
        )
        record = finish(runner, asks, world, random.Random(order))
        assert outcome(runner) == wanted
        assert runner.outstanding == ()
        if isinstance(runner, SequentialRunner):
            assert len(record) == needed


@settings(max_examples=200, deadline=None)
@given(some_trees, st.integers(0, 10**6), mild, orders, st.floats(0, 1))
def test_recorded_answers_take_a_new_runner_to_the_same_place(
    trees: list[Steps], seed: int, kinds: Any, order: int, fraction: float
) -> None:
    world = World(seed, kinds)
    algorithms = [planned(index, lambda tree=tree: plan_of(tree)) for index, tree in enumerate(trees)]
    for kind in (SequentialRunner, ParallelRunner):
        first = kind()
        record = finish(first, first.start(algorithms), world, random.Random(order))
        before_crash = dict(list(record.items())[: int(fraction * len(record))])

        one_by_one = kind()
        one_by_one.start(algorithms)
        for key, reply in before_crash.items():
            one_by_one.answer(key, reply)
        at_once = kind()
        asks = at_once.start(algorithms, recorded=before_crash)

        assert set(asks) == set(at_once.outstanding)
        assert set(asks) == set(one_by_one.outstanding)
        assert not {ask.key for ask in asks} & set(before_crash)
        for again in (one_by_one, at_once):
            finish(again, list(again.outstanding), world, random.Random(order + 1))
            assert outcome(again) == outcome(first)


@settings(deadline=None)
@given(some_trees, st.integers(0, 10**6), orders)
def test_a_record_serves_the_other_runner_too(trees: list[Steps], seed: int, order: int) -> None:
    world = World(seed)
    algorithms = [planned(index, lambda tree=tree: plan_of(tree)) for index, tree in enumerate(trees)]
    parallel, sequential = ParallelRunner(), SequentialRunner()
    record = finish(parallel, parallel.start(algorithms), world, random.Random(order))
    rest = finish(sequential, sequential.start(algorithms, record), world, random.Random(order))
    assert not rest, "the parallel runner asks for everything that the sequential one needs"
    assert outcome(sequential) == outcome(parallel)


def runs_in_parts(*runs: ExpRun, stop_at_failure: bool = True) -> Callable[[], Plan]:
    """Each run a part."""

    def plan() -> Plan:
        verdicts = yield from carry_out_parts(map(one_run, runs), stop_at_failure=stop_at_failure)
        return combined(verdicts)

    return plan


RUNS = tuple(ExpRun(1, number) for number in range(3))


def test_sequential_asks_one_thing_and_parallel_all() -> None:
    assert [ask.key for ask in SequentialRunner().start([planned(0, runs_in_parts(*RUNS))])] == ["0/0.0/0"]
    asks = ParallelRunner().start([planned(0, runs_in_parts(*RUNS))])
    assert [ask.key for ask in asks] == ["0/0.0/0", "0/0.1/0", "0/0.2/0"]
    assert [ask.request for ask in asks] == [Execute((run,), IoV(*run, *run)) for run in RUNS]


def test_a_failed_part_drops_those_after_it_but_waits_for_those_before() -> None:
    runner = ParallelRunner()
    runner.start([planned(0, runs_in_parts(*RUNS))])
    runner.answer("0/0.2/0", Executed("late", Result.OK))
    runner.answer("0/0.1/0", Executed("bad", Result.FAILURE, "broken"))
    assert not runner.finished
    assert [ask.key for ask in runner.outstanding] == ["0/0.0/0"]
    runner.answer("0/0.0/0", Executed("good", Result.OK))
    assert runner.finished
    assert runner.verdicts == (Verdict(Result.FAILURE, "broken"),)
    assert [commit.key for commit in runner.commits_of(0)] == ["good"]


def test_what_is_dropped_is_not_asked_for() -> None:
    runner = ParallelRunner()
    recorded = {"0/0.1/0": Executed("bad", Result.FAILURE)}
    asks = runner.start([planned(0, runs_in_parts(*RUNS))], recorded)
    assert [ask.key for ask in asks] == ["0/0.0/0"]


def test_the_parts_of_a_dropped_part_are_dropped_too() -> None:
    def part_of_parts() -> Plan:
        inner = map(plan_of, [(Step(2),), (Group(((Step(3),), (Step(4),)), True),)])
        verdicts = yield from carry_out_parts([one_run(RUNS[0]), one_run(RUNS[1]), *inner])
        return combined(verdicts)

    runner = ParallelRunner()
    asks = runner.start([planned(0, part_of_parts)])
    assert [ask.key for ask in asks] == ["0/0.0/0", "0/0.1/0", "0/0.2/0", "0/0.3/0.0/0", "0/0.3/0.1/0"]
    runner.answer("0/0.1/0", Executed("bad", Result.FAILURE))
    assert [ask.key for ask in runner.outstanding] == ["0/0.0/0"]
    assert runner.answer("0/0.3/0.0/0", Executed("late", Result.OK)) == []


def test_answers_that_are_not_needed_change_nothing() -> None:
    runner = ParallelRunner()
    runner.start([planned(0, runs_in_parts(*RUNS))])
    runner.answer("0/0.0/0", Executed("bad", Result.FAILURE))
    assert runner.finished
    assert runner.answer("0/0.1/0", Executed("late", Result.OK)) == []
    assert runner.answer("0/0.0/0", Executed("again", Result.OK)) == []
    assert runner.commits == ((),)
    with pytest.raises(KeyError, match="never asked"):
        runner.answer("0/0.3/0", Executed("who", Result.OK))


def test_parts_need_not_stop_at_failure() -> None:
    runner = SequentialRunner()
    runner.start([planned(0, runs_in_parts(*RUNS, stop_at_failure=False))])
    for part, result in enumerate([Result.OK, Result.FAILURE, Result.ITERATE]):
        runner.answer(f"0/0.{part}/0", Executed(str(part), result))
    assert [commit.key for commit in runner.commits_of(0)] == ["0", "2"]


def test_commits_are_known_before_the_next_algorithm_asks() -> None:
    runner = SequentialRunner()
    runner.start([planned(4, lambda: one_run(RUN)), planned(7, lambda: one_run(RUN))])
    with pytest.raises(KeyError, match="algorithm 4 has not ended"):
        runner.commits_of(4)
    asks = runner.answer("4/0", Executed("a", Result.ITERATE))
    assert [(ask.key, ask.algorithm) for ask in asks] == [("7/0", 7)]
    assert [commit.key for commit in runner.commits_of(4)] == ["a"]
    assert runner.verdicts == (Verdict(Result.ITERATE),)
    assert not runner.finished


def test_an_algorithm_that_fails_stops_the_later_ones() -> None:
    runner = ParallelRunner()
    runner.start([planned(0, lambda: one_run(RUN)), planned(1, lambda: one_run(RUN))])
    assert runner.answer("0/0", Executed("a", Result.NOT_ENOUGH_DATA)) == []
    assert runner.finished
    assert len(runner.verdicts) == 1


def test_nothing_to_do_is_finished_at_once() -> None:
    runner = SequentialRunner()
    assert runner.start([]) == []
    assert runner.finished
    assert runner.start([planned(0, lambda: plan_of(())), planned(1, lambda: plan_of(()))]) == []
    assert runner.verdicts == (Verdict(Result.OK), Verdict(Result.OK))


def test_ten_thousand_parts_need_no_deep_stack() -> None:
    runs = tuple(ExpRun(1, number) for number in range(10_000))
    recorded = {f"0/0.{run.run}/0": Executed(str(run), Result.OK) for run in runs}
    for runner in (SequentialRunner(), ParallelRunner()):
        assert runner.start([planned(0, runs_in_parts(*runs))], recorded) == []
        assert len(runner.commits_of(0)) == 10_000


def test_a_wrong_answer_is_refused_and_the_question_stays() -> None:
    runner = SequentialRunner()
    runner.start([planned(0, lambda: plan_of((Step(1), Search(2))))])
    with pytest.raises(TypeError, match="does not answer"):
        runner.answer("0/0", (RUN,))
    runner.answer("0/0", Executed("a", Result.OK))
    with pytest.raises(TypeError, match="must be a tuple of runs"):
        runner.answer("0/1", Executed("b", Result.OK))
    assert [ask.key for ask in runner.outstanding] == ["0/1"]
    runner.answer("0/1", Executed("b", Result.NOT_ENOUGH_DATA, "three runs"))
    assert runner.verdicts == (
        Verdict(Result.NOT_ENOUGH_DATA, "the algorithm could not find its boundaries: three runs"),
    )


def commits_a_failure() -> Plan:
    executed = yield from execute((RUN,), IoV())
    yield Commit(executed.key, (RUN,), IoV())
    return Verdict(Result.OK)


def commits_twice() -> Plan:
    executed = yield from execute((RUN,), IoV())
    for _ in range(2):
        yield Commit(executed.key, (RUN,), IoV())
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
        (asks_for_a_word, Result.OK, "it may yield Execute"),
        (returns_nothing, Result.OK, "must return a Verdict"),
        (breaks, Result.OK, "ZeroDivisionError: by zero"),
    ],
)
def test_plans_that_break_the_rules_are_named(plan: Callable[[], Plan], result: Result, words: str) -> None:
    runner = SequentialRunner()
    with pytest.raises(AlgorithmError, match=words) as caught:
        for ask in runner.start([planned(3, plan)]):
            runner.answer(ask.key, Executed(ask.key, result))
    assert "algorithm 'algorithm 3'" in str(caught.value)
    if plan is not breaks:
        with pytest.raises(AlgorithmError, match=words):
            carry_out(plan(), lambda request: Executed("key", result))


def test_parameters_that_do_not_fit_are_known_before_anything_is_asked() -> None:
    def refuse() -> Plan:
        raise ConfigurationError("no such runs")

    def stumble() -> Plan:
        raise LookupError("no runs")

    with pytest.raises(ConfigurationError, match="no such runs"):
        SequentialRunner().start([planned(0, lambda: one_run(RUN)), planned(1, refuse)])
    with pytest.raises(AlgorithmError, match="algorithm 1': the strategy broke: LookupError: no runs"):
        SequentialRunner().start([planned(0, lambda: one_run(RUN)), planned(1, stumble)])


class TwoAtOnce(AlgorithmsRunner):
    """A runner as a stranger would write it."""

    def parts_at_once(self, parts: Parts) -> int:
        return 2


def test_a_runner_may_limit_what_is_on_its_way() -> None:
    runner = TwoAtOnce()
    asks = runner.start([planned(0, runs_in_parts(*RUNS))])
    assert [ask.key for ask in asks] == ["0/0.0/0", "0/0.1/0"]
    assert [ask.key for ask in runner.answer("0/0.1/0", Executed("b", Result.OK))] == ["0/0.2/0"]
