"""The sequential strategies against the table of the design, spelled out by brute force.

The model knows nothing of the order in which things happen: it looks at every way to cut the units into
groups, and keeps the one that the table allows; and it gives every run of a small universe, one by one, to
the group that the table gives it to.
"""

import random
from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations, pairwise, product
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from caf_core.calibration.carry_out import carry_out
from caf_core.calibration.plans import Commit, Execute, Executed, FindBoundaries, Past, Result
from caf_core.calibration.runner import ParallelRunner, PlannedAlgorithm
from caf_core.iov import ExpRun, IoV
from caf_strategies import SequentialBoundaries, SequentialRunByRun

Runs = tuple[ExpRun, ...]
LAST = 12
"""The universe's last run; it stands for all further ones, and no data or coverage ends there."""


@frozen
class Expectation:
    """What the table wants: the result, and for each commit its runs and every run that it is valid for."""

    result: Result
    groups: tuple[Runs, ...]
    validity: tuple[frozenset[ExpRun], ...]
    executions: int


class World:
    """An algorithm whose result depends on nothing but the runs that it gets."""

    def __init__(self, result_of: Callable[[Runs], Result], boundaries: Sequence[ExpRun] = ()) -> None:
        self.result_of = result_of
        self.boundaries = tuple(boundaries)
        self.executed: list[Execute] = []
        self.results: dict[str, Result] = {}

    def execute(self, request: Execute) -> Executed:
        self.executed.append(request)
        key = " ".join(map(str, request.runs))
        self.results[key] = self.result_of(request.runs)
        return Executed(key, self.results[key])

    def find(self, request: FindBoundaries) -> Runs:
        return tuple(run for run in self.boundaries if run.exp == request.runs[0].exp)


# ---------------------------------------------------------------------------------------------- the model


def groupings(units: Sequence[Runs]) -> list[list[list[Runs]]]:
    """Every way to cut the first units into groups of neighbours, none to all of the units being used."""
    ways: list[list[list[Runs]]] = [[]]
    for used in range(1, len(units) + 1):
        for number in range(used):
            for cuts in combinations(range(1, used), number):
                edges = [0, *cuts, used]
                ways.append([list(units[a:b]) for a, b in pairwise(edges)])
    return ways


def joined(units: Sequence[Runs]) -> Runs:
    return tuple(run for unit in units for run in unit)


def expect_experiment(
    units: Sequence[Runs], span: set[ExpRun], result_of: Callable[[Runs], Result]
) -> Expectation:
    """What the table wants of one experiment."""

    def too_few(units: Sequence[Runs]) -> bool:
        return result_of(joined(units)) is Result.NOT_ENOUGH_DATA

    def good(group: Sequence[Runs]) -> bool:
        enough_only_now = all(too_few(group[:size]) for size in range(1, len(group)))
        return enough_only_now and result_of(joined(group)).success

    def length(way: list[list[Runs]]) -> int:
        return sum(map(len, way))

    longest = max((way for way in groupings(units) if all(map(good, way))), key=length)
    rest = list(units[length(longest) :])
    sizes = range(1, len(rest) + 1)
    tried = [size for size in sizes if all(too_few(rest[:before]) for before in range(1, size))]
    executions = length(longest) + len(tried)
    starts = [group[0][0] for group in longest]
    committed, final = longest, Result.OK
    if tried and not too_few(rest[: tried[-1]]):
        committed, final = longest[:-1], Result.FAILURE
    elif rest and not longest:
        final = Result.NOT_ENOUGH_DATA
    elif rest:
        merged = longest[-1] + rest
        executions += 1
        success = result_of(joined(merged)).success
        committed = [*longest[:-1], merged] if success else longest[:-1]
        final = Result.OK if success else result_of(joined(merged))
    if final is Result.OK and any(result_of(joined(group)) is Result.ITERATE for group in committed):
        final = Result.ITERATE

    def owner(run: ExpRun) -> ExpRun:
        return max((start for start in starts if start <= run), default=starts[0])

    validity = tuple(frozenset(run for run in span if owner(run) == group[0][0]) for group in committed)
    return Expectation(final, tuple(map(joined, committed)), validity, executions)


def expect(
    units: dict[int, list[Runs]], coverage: IoV | None, result_of: Callable[[Runs], Result]
) -> Expectation:
    """What the table wants of all experiments."""
    parts = []
    for exp in sorted(units):
        part = expect_experiment(units[exp], span_of(exp, units, coverage), result_of)
        parts.append(part)
        if not part.result.success:
            break
    final = parts[-1].result
    if final.success:
        final = Result.ITERATE if any(part.result is Result.ITERATE for part in parts) else Result.OK
    return Expectation(
        final,
        tuple(group for part in parts for group in part.groups),
        tuple(runs for part in parts for runs in part.validity),
        sum(part.executions for part in parts),
    )


def span_of(exp: int, units: dict[int, list[Runs]], coverage: IoV | None) -> set[ExpRun]:
    """Every run of the universe that the payloads of an experiment must be valid for."""
    begin, end = 0, LAST
    if exp == min(units):
        begin = coverage.run_low if coverage else units[exp][0][0].run
    if exp == max(units):
        end = coverage.run_high if coverage else units[exp][-1][-1].run
        end = LAST if end == -1 else end
    return {ExpRun(exp, run) for run in range(begin, end + 1)}


# ---------------------------------------------------------------------------------------------- what is drawn


@st.composite
def run_lists(draw: st.DrawFn) -> Runs:
    """Runs of up to three experiments, with holes."""
    exps = draw(st.lists(st.sampled_from([0, 1, 4]), min_size=1, max_size=3, unique=True))
    runs = [ExpRun(e, r) for e in exps for r in draw(st.sets(st.integers(0, 9), min_size=1, max_size=7))]
    return tuple(sorted(runs))


@st.composite
def result_functions(draw: st.DrawFn) -> Callable[[Runs], Result]:
    """Results by the number of events and by bad runs, as in life, or by no sense at all."""
    seed = draw(st.integers(0, 10**6))
    if draw(st.booleans()):
        weights = draw(st.sampled_from([(5, 2, 5, 1), (1, 1, 8, 0), (3, 3, 3, 0), (1, 0, 1, 3)]))
        return cache(lambda runs: random.Random(f"{seed} {runs}").choices(list(Result), weights)[0])
    bad = draw(st.sets(st.builds(ExpRun, st.sampled_from([0, 1, 4]), st.integers(0, 9)), max_size=1))
    minimum = draw(st.integers(0, 25))
    tolerance = draw(st.integers(0, 30))

    def result_of(runs: Runs) -> Result:
        events = [random.Random(f"{seed} {run}").randrange(12) for run in runs]
        if sum(events) < minimum:
            return Result.NOT_ENOUGH_DATA
        if bad & set(runs):
            return Result.FAILURE
        return Result.ITERATE if sum(events) > tolerance else Result.OK

    return cache(result_of)


def coverages(draw: st.DrawFn, runs: Runs) -> IoV | None:
    """A coverage that fits the runs, or none."""
    if draw(st.booleans()):
        return None
    low = draw(st.integers(0, runs[0].run))
    high = draw(st.one_of(st.integers(runs[-1].run, LAST - 1), st.just(-1)))
    return IoV(runs[0].exp, low, runs[-1].exp, high)


def by_experiment(runs: Runs) -> dict[int, Runs]:
    return {exp: tuple(run for run in runs if run.exp == exp) for exp in sorted({run.exp for run in runs})}


@st.composite
def run_by_run_cases(draw: st.DrawFn) -> tuple[SequentialRunByRun, Runs, dict[int, list[Runs]], Runs]:
    """A strategy, runs, the units that they should make, and the boundaries that the algorithm would find."""
    runs = draw(run_lists())
    step = draw(st.integers(1, 3))
    units = {
        exp: [
            tuple(run for i, run in enumerate(mine) if i // step == n) for n in range(-(-len(mine) // step))
        ]
        for exp, mine in by_experiment(runs).items()
    }
    return SequentialRunByRun(step_size=step, iov_coverage=coverages(draw, runs)), runs, units, ()


@st.composite
def boundary_cases(draw: st.DrawFn) -> tuple[SequentialBoundaries, Runs, dict[int, list[Runs]], Runs]:
    """The same for boundaries, with data or without, from the user or from the algorithm."""
    runs = draw(run_lists())
    found = tuple(draw(st.lists(st.builds(ExpRun, st.integers(0, 5), st.integers(0, 10)), max_size=8)))
    units: dict[int, list[Runs]] = {}
    for exp, mine in by_experiment(runs).items():
        starts = sorted({run for run in found if run.exp == exp} | {ExpRun(exp, 0)})
        belong = {run: max(start for start in starts if start <= run) for run in mine}
        groups = [tuple(run for run in mine if belong[run] == start) for start in starts]
        units[exp] = [group for group in groups if group]
    given = found if draw(st.booleans()) else None
    return (
        SequentialBoundaries(payload_boundaries=given, iov_coverage=coverages(draw, runs)),
        runs,
        units,
        () if given else found,
    )


any_case: Any = st.one_of(run_by_run_cases(), boundary_cases())


def check(
    commits: Sequence[Commit], result: Result, expected: Expectation, world: World | None = None
) -> None:
    """Compare what a plan did with what the table wants."""
    assert result is expected.result
    assert tuple(commit.runs for commit in commits) == expected.groups
    for commit, runs in zip(commits, expected.validity, strict=True):
        universe = (ExpRun(exp, run) for exp, run in product(range(7), range(LAST + 1)))
        assert {run for run in universe if run in commit.iov} == runs
        assert (commit.iov.run_high == -1) is (ExpRun(commit.iov.exp_low, LAST) in runs)
        assert commit.iov.exp_low == commit.iov.exp_high
    if world:
        assert len(world.executed) == expected.executions
        meant = {request.runs: request.iov for request in world.executed}
        assert all(meant[commit.runs] == commit.iov for commit in commits)
        assert all(world.results[commit.key].success for commit in commits)


# ---------------------------------------------------------------------------------------------- the table


@settings(max_examples=250, deadline=None)
@given(any_case, result_functions())
def test_every_cell_of_the_table(case: Any, result_of: Callable[[Runs], Result]) -> None:
    strategy, runs, units, found = case
    world = World(result_of, found)
    done = carry_out(strategy.plan(runs, Past()), world.execute, world.find)
    check(done.commits, done.verdict.result, expect(units, strategy.iov_coverage, result_of), world)
    assert len(world.executed) <= sum(map(len, units.values())) + len(units)
    assert bool(done.verdict.message) is not done.verdict.result.success


@settings(max_examples=100, deadline=None)
@given(any_case, result_functions(), st.integers(0, 10**6))
def test_experiments_at_the_same_time_change_nothing(
    case: Any, result_of: Callable[[Runs], Result], order: int
) -> None:
    strategy, runs, units, found = case
    world = World(result_of, found)
    runner, choose = ParallelRunner(), random.Random(order)
    asks = runner.start([PlannedAlgorithm(0, "fit", strategy, runs)])
    while not runner.finished:
        ask = asks.pop(choose.randrange(len(asks)))
        request = ask.request
        reply = world.execute(request) if isinstance(request, Execute) else world.find(request)
        asks += runner.answer(ask.key, reply)
    expected = expect(units, strategy.iov_coverage, result_of)
    check(runner.commits_of(0), runner.verdicts[0].result, expected)


@settings(max_examples=150, deadline=None)
@given(any_case, result_functions(), result_functions())
def test_kept_boundaries_are_those_of_the_previous_iteration(
    case: Any, first: Callable[[Runs], Result], second: Callable[[Runs], Result]
) -> None:
    strategy, runs, units, found = case
    strategy.keep_boundaries = True
    world = World(first, found)
    before = carry_out(strategy.plan(runs, Past()), world.execute, world.find)
    check(before.commits, before.verdict.result, expect(units, strategy.iov_coverage, first), world)

    if not before.verdict.result.success:
        return  # Then there is no further iteration.

    world = World(second, found)
    after = carry_out(strategy.plan(runs, Past(1, before.commits)), world.execute, world.find)
    kept = {exp: [one.runs for one in before.commits if one.runs[0].exp == exp] for exp in units}
    check(after.commits, after.verdict.result, expect(kept, strategy.iov_coverage, second), world)


@settings(max_examples=100, deadline=None)
@given(any_case, result_functions(), st.randoms())
def test_kept_boundaries_hold_although_other_runs_have_data_now(
    case: Any, result_of: Callable[[Runs], Result], choose: random.Random
) -> None:
    strategy, runs, units, found = case
    strategy = type(strategy)(keep_boundaries=True)
    past = Past(1, tuple(Commit("", group, IoV()) for groups in units.values() for group in groups))
    others = {run for run in runs if choose.random() < 0.7} | {ExpRun(runs[0].exp, choose.randrange(10))}
    now = tuple(sorted(others))
    now_units: dict[int, list[Runs]] = {}
    for exp, mine in by_experiment(now).items():
        firsts = [group[0] for group in units.get(exp, ())]
        homes = [sum(first <= run for first in firsts[1:]) for run in mine]
        pairs = list(zip(mine, homes, strict=True))
        groups = [tuple(run for run, home in pairs if home == n) for n in range(len(runs))]
        now_units[exp] = [group for group in groups if group]
    world = World(result_of, found)
    done = carry_out(strategy.plan(now, past), world.execute, world.find)
    check(done.commits, done.verdict.result, expect(now_units, None, result_of), world)


@pytest.mark.parametrize("keep", [False, True])
def test_iteration_0_and_the_default_keep_nothing(keep: bool) -> None:
    runs = (ExpRun(1, 1), ExpRun(1, 2))
    past = Past(0 if keep else 1, (Commit("", runs, IoV(1, 1, 1, 2)),))
    world = World(lambda runs: Result.OK)
    done = carry_out(SequentialRunByRun(keep_boundaries=keep).plan(runs, past), world.execute)
    assert [commit.runs for commit in done.commits] == [runs[:1], runs[1:]]


def test_decisions_are_linear_in_the_number_of_runs() -> None:
    runs = tuple(ExpRun(exp, run) for exp in range(2) for run in range(5_000))
    world = World(lambda runs: Result.OK if len(runs) >= 7 else Result.NOT_ENOUGH_DATA)
    done = carry_out(SequentialRunByRun().plan(runs, Past()), world.execute)
    assert len(world.executed) == 10_000 + 2  # 5,000 is no multiple of 7, so each experiment merges backward.
    assert sum(len(request.runs) for request in world.executed) < 5 * len(runs)
    assert [len(commit.runs) for commit in done.commits] == ([7] * 713 + [9]) * 2
