"""The sequential strategies against an independent model of the table in the design, on random cases.

The model knows no intervals. It writes down for every run of a small universe, one by one, which payload
holds there, so that gaps, overlaps and wrong ends cannot hide: first the piece that the run belongs to, then
the payload that the piece belongs to, then what coverage adds at both ends.
"""

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from attrs import define, field, frozen

from caf_core.calibration.carry_out import (
    CarriedOut,
    Question,
    Reply,
    carry_out,
    first_parts,
    follow,
    follow_parts,
)
from caf_core.calibration.plans import Commit, Execute, Executed, FindBoundaries, Past, Result
from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun, IoV
from caf_strategies import SequentialBoundaries, SequentialRunByRun

CASES, BLOCKS = 20_000, 4
EXPS, LAST = 6, 11
"""The universe: experiments 0 to 5, runs 0 to 11. The last experiment and the last run stand for all further
ones: no data, boundary or closed end lies there."""
WIDTH = LAST + 1
TOO_FEW, FAILURE = Result.NOT_ENOUGH_DATA, Result.FAILURE

Runs = tuple[ExpRun, ...]


# ---------------------------------------------------------------------------------------------- one case


@define
class Case:
    """A made-up calibration.

    Args:
        rng: Draws everything.
        data: The runs with data, neither ignored nor absent ones.
        coverage: As numbers, or none.
        boundaries: Of the user or of the algorithm; ``None`` for SequentialRunByRun.
        given: Whether the user gave them.
    """

    rng: random.Random
    data: Runs
    coverage: tuple[int, int, int, int] | None
    boundaries: Runs | None
    given: bool
    step_size: int
    on_short: str
    keep: bool
    answer: Callable[[Runs], Result] = field(init=False)

    def strategy(self) -> Any:
        """The strategy under test."""
        common: dict[str, Any] = {"iov_coverage": self.coverage, "keep_boundaries": self.keep}
        if self.boundaries is None:
            return SequentialRunByRun(step_size=self.step_size, **common)
        return SequentialBoundaries(
            payload_boundaries=self.boundaries if self.given else None, on_short=self.on_short, **common
        )


def made_up(number: int) -> Case:
    """The case with this number."""
    rng = random.Random(number)
    exps = sorted(rng.sample(range(EXPS - 1), rng.choice([1, 1, 2, 3])))
    data = [ExpRun(e, r) for e in exps for r in rng.sample(range(LAST), rng.randint(1, 8))]
    boundaries = None
    if rng.random() < 0.6:
        # More of them in experiments with data, but some where there are none, and run 0 of some.
        where = [*exps, *exps, *range(EXPS - 1)]
        several = {ExpRun(rng.choice(where), rng.randrange(LAST)) for _ in range(rng.randint(0, 8))}
        boundaries = tuple(sorted(several))
    on_short = "merge" if boundaries is None else rng.choice(["merge", "merge", "merge", "gap", "fail"])
    case = Case(
        rng,
        tuple(sorted(data)),
        _coverage(rng, min(data), max(data)) if rng.random() < 0.5 else None,
        boundaries,
        rng.random() < 0.7,
        rng.choice([1, 1, 2, 3]),
        on_short,
        on_short == "merge" and rng.random() < 0.5,
    )
    case.answer = _algorithm(rng)
    return case


def _coverage(rng: random.Random, first: ExpRun, last: ExpRun) -> tuple[int, int, int, int]:
    """Around the data, often far past them, and now and then too narrow."""
    low = ExpRun(first.exp, rng.randint(0, first.run))
    if first.exp and rng.random() < 0.4:
        low = ExpRun(rng.randrange(first.exp), rng.randrange(LAST))
    high = rng.choice([(last.exp, rng.randrange(last.run, LAST)), (last.exp, -1), (-1, -1)])
    if rng.random() < 0.4:
        high = (rng.randrange(last.exp, EXPS - 1), -1)
    if last.exp < EXPS - 2 and rng.random() < 0.2:
        high = (last.exp + 1, rng.randrange(LAST))
    if rng.random() < 0.05:
        low = ExpRun(first.exp, min(first.run + 1, LAST - 1))
        high = (max(last.exp, low.exp), -1)
    return (*low, *high)


def _algorithm(rng: random.Random) -> Callable[[Runs], Result]:
    """Results by the number of events and bad runs, as in life, or by no sense at all; the same for equal
    runs."""
    known: dict[Runs, Result] = {}
    weights = rng.choice([(5, 2, 5, 1), (1, 1, 8, 0), (3, 3, 3, 0), (1, 0, 1, 3)])
    sense = rng.random() < 0.7
    events: dict[ExpRun, int] = {}
    minimum, tolerance, bad = rng.randint(0, 30), rng.randint(0, 40), rng.random() < 0.2

    def draw(runs: Runs) -> Result:
        if not sense:
            return rng.choices(list(Result), weights)[0]
        for run in runs:
            events.setdefault(run, rng.randrange(15))
        total = sum(events[run] for run in runs)
        if total < minimum:
            return TOO_FEW
        if bad and any(events[run] == 13 for run in runs):
            return FAILURE
        return Result.ITERATE if total > tolerance else Result.OK

    def answer(runs: Runs) -> Result:
        if runs not in known:
            known[runs] = draw(runs)
        return known[runs]

    return answer


# ---------------------------------------------------------------------------------------------- the model


@frozen
class Expected:
    """What the table wants.

    Args:
        result: Of the whole.
        cells: For each run of the universe, as ``place`` numbers them: the first run with data of the payload
            that holds there; ``"gap"``; or nothing.
        executed: The lists of runs, in order.
        told: The given boundaries at which nothing begins.
        merged: First run with data of every payload that needed merging.
    """

    result: Result
    cells: list[ExpRun | str | None]
    executed: list[Runs]
    told: set[ExpRun]
    merged: set[ExpRun]


def place(exp: int, run: int) -> int:
    """Where a run stands in the universe; -1 stands for the last one."""
    return (EXPS - 1 if exp == -1 else exp) * WIDTH + (LAST if run == -1 else run)


def pieces_by_step(data: Sequence[int], step: int) -> list[int]:
    """For each run of an experiment, its piece: the data runs in groups, and what follows each."""
    return [max(0, sum(run <= cell for run in data) - 1) // step for cell in range(WIDTH)]


def pieces_by_boundary(data: Sequence[int], starts: set[int]) -> list[int]:
    """For each run of an experiment, its piece: the last boundary at or before it; if that has no data, then
    the one before that has, or the first that has."""
    raw = [max(start for start in starts | {0} if start <= cell) for cell in range(WIDTH)]
    full = {raw[run] for run in data}
    return [max((piece for piece in full if piece <= own), default=min(full)) for own in raw]


def expected_of_experiment(
    exp: int, pieces: list[int], case: Case
) -> tuple[Result, dict[int, ExpRun | str], list[Runs], dict[ExpRun, list[int]]]:
    """Which payload each piece belongs to, what is executed, and the pieces of each payload."""
    names = sorted(set(pieces))
    runs = {name: [run for run in case.data if run.exp == exp and pieces[run.run] == name] for name in names}

    def joined(some: Sequence[int]) -> Runs:
        return tuple(run for name in some for run in runs[name])

    if case.on_short != "merge":
        return _apart(names, joined, case)
    executed: list[Runs] = []
    payloads: list[list[int]] = []
    left = names
    while left:
        tries = [left[:size] for size in range(1, len(left) + 1)]
        answers = [case.answer(joined(some)) for some in tries]
        size = next((n for n, answer in enumerate(answers, 1) if answer is not TOO_FEW), len(left) + 1)
        executed += [joined(some) for some in tries[:size]]
        if size > len(left):
            break
        if answers[size - 1] is FAILURE:
            return _labelled(FAILURE, payloads[:-1], joined, executed)
        payloads.append(left[:size])
        left = left[size:]
    if left and not payloads:
        return TOO_FEW, {}, executed, {}
    if left:
        payloads[-1] = [*payloads[-1], *left]
        executed.append(joined(payloads[-1]))
        answer = case.answer(executed[-1])
        if not answer.success:
            return _labelled(answer, payloads[:-1], joined, executed)
    iterate = any(case.answer(joined(some)) is Result.ITERATE for some in payloads)
    return _labelled(Result.ITERATE if iterate else Result.OK, payloads, joined, executed)


def _labelled(result: Result, payloads: list[list[int]], joined: Any, executed: list[Runs]) -> Any:
    owners = {name: joined(some)[0] for some in payloads for name in some}
    return result, owners, executed, {joined(some)[0]: some for some in payloads}


def _apart(names: list[int], joined: Any, case: Case) -> Any:
    """The same where nothing is merged."""
    answers = [case.answer(joined([name])) for name in names]
    ends = (FAILURE,) if case.on_short == "gap" else (FAILURE, TOO_FEW)
    stop = next((n for n, answer in enumerate(answers) if answer in ends), None)
    done = names if stop is None else names[:stop]
    owners = {
        name: "gap" if answer is TOO_FEW else joined([name])[0]
        for name, answer in zip(done, answers, strict=False)
    }
    executed = [joined([name]) for name in names[: len(done) + 1]]
    good = {owner: [name] for name, owner in owners.items() if owner != "gap"}
    if stop is not None:
        return answers[stop], owners, executed, good
    return Result.ITERATE if Result.ITERATE in answers else Result.OK, owners, executed, good


def expected(case: Case, before: "Expected | None" = None) -> Expected:
    """What the table wants of all experiments.

    Args:
        case: The case.
        before: What was wanted of the previous iteration, if its boundaries are to be kept.
    """
    cells: list[ExpRun | str | None] = [None] * (EXPS * WIDTH)
    exps = sorted({run.exp for run in case.data})
    given = set(case.boundaries or ()) if case.given else set()
    total = Expected(Result.OK, cells, [], {run for run in given if run.exp not in exps}, set())
    result = Result.OK
    for exp in exps:
        data = [run.run for run in case.data if run.exp == exp]
        starts = {run.run for run in case.boundaries or () if run.exp == exp}
        of_boundaries = pieces_by_boundary(data, starts)
        pieces = of_boundaries if case.boundaries is not None else pieces_by_step(data, case.step_size)
        total.told.update(run for run in given if run.exp == exp and run.run not in of_boundaries)
        if before is not None:
            pieces = _kept(before.cells[exp * WIDTH : (exp + 1) * WIDTH], data)
        ended, owners, executed, payloads = expected_of_experiment(exp, pieces, case)
        for cell, piece in enumerate(pieces):
            cells[exp * WIDTH + cell] = owners.get(piece)
        total.executed.extend(executed)
        for first, some in payloads.items():
            total.told.update(ExpRun(exp, piece) for piece in some[1:] if ExpRun(exp, piece) in given)
            total.merged.update([first] if len(some) > 1 else [])
        result = Result.ITERATE if Result.ITERATE in (result, ended) and ended.success else ended
        if not ended.success:
            break
    if result.success and all(cells[place(*run)] == "gap" for run in case.data):
        result = TOO_FEW
    _cover(cells, case)
    return Expected(result, cells, total.executed, total.told, total.merged)


def _kept(before: Sequence[ExpRun | str | None], data: Sequence[int]) -> list[int]:
    """Pieces that are the payloads of the previous iteration; what none held belongs to the nearest one."""
    owners = [before[run] for run in data]
    first = {owner: before.index(owner) for owner in owners}
    return [
        max((start for start in first.values() if start <= cell), default=min(first.values()))
        for cell in range(WIDTH)
    ]


def _cover(cells: list[ExpRun | str | None], case: Case) -> None:
    """Cut off what lies before and after the data, or before and after the coverage, which may add more."""
    first, last = case.data[0], case.data[-1]
    low, high = place(*first), place(*last)
    if case.coverage is not None:
        low, high = place(*case.coverage[:2]), place(*case.coverage[2:])
    begin, end = place(first.exp, 0), place(last.exp, -1)
    cells[:begin] = [cells[begin]] * begin
    cells[end + 1 :] = [cells[end]] * (len(cells) - end - 1)
    cells[:low] = [None] * low
    cells[high + 1 :] = [None] * (len(cells) - high - 1)


# ---------------------------------------------------------------------------------------------- comparing


class World:
    """Answers a plan's questions, and remembers them."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.executed: list[Execute] = []

    def execute(self, request: Execute) -> Executed:
        self.executed.append(request)
        return Executed(" ".join(map(str, request.runs)), self.case.answer(request.runs), "so many events")

    def find(self, request: FindBoundaries) -> Runs:
        assert not self.case.given, "the boundaries are known"
        return tuple(run for run in self.case.boundaries or () if run.exp == request.runs[0].exp)


def painted(done: CarriedOut) -> list[ExpRun | str | None]:
    """What holds for each run of the universe, from commits and gaps; none may hold where another does."""
    cells: list[ExpRun | str | None] = [None] * (EXPS * WIDTH)
    labels: list[tuple[IoV, ExpRun | str]] = [(one.iov, one.runs[0]) for one in done.commits]
    for iov, label in [*labels, *((gap.iov, "gap") for gap in done.verdict.gaps)]:
        low, high = place(iov.exp_low, iov.run_low), place(iov.exp_high, iov.run_high) + 1
        assert all(cell is None for cell in cells[low:high]), f"{iov} overlaps"
        cells[low:high] = [label] * (high - low)
    return cells


def told(done: CarriedOut) -> set[ExpRun]:
    """The boundaries that the notes name."""
    found = [note.partition(":")[0] for note in done.verdict.notes]
    assert all(note.startswith("no payload begins at the given boundar") for note in found)
    return {ExpRun.parse(text) for note in found for text in re.findall(r"\d+,\d+", note)}


def compare(case: Case, wanted: Expected, done: CarriedOut, world: World) -> None:
    """Hold what a plan did to what the table wants."""
    assert done.verdict.result is wanted.result
    assert bool(done.verdict.message) is not wanted.result.success
    assert [request.runs for request in world.executed] == wanted.executed
    assert painted(done) == wanted.cells
    meant = {request.runs: request.iov for request in world.executed}
    for one in done.commits:
        assert meant[one.runs] == one.iov
        assert case.answer(one.runs).success
        assert ("merged" in one.reason) is (one.runs[0] in wanted.merged)
        assert one.reason
    if wanted.result.success:
        assert told(done) == wanted.told


def refused(case: Case) -> bool:
    """Whether the coverage does not contain the data, or a given boundary."""
    if case.coverage is None:
        return False
    low, high = place(*case.coverage[:2]), place(*case.coverage[2:])
    given = case.boundaries if case.given and case.boundaries is not None else ()
    return not all(low <= place(*run) <= high for run in (*case.data, *given))


def check(number: int) -> None:
    """One case: its first iteration, at times in parallel, and a second one that keeps the boundaries."""
    case = made_up(number)
    if refused(case):
        with pytest.raises(ConfigurationError, match="iov_coverage"):
            case.strategy().plan(case.data, Past())
        return
    wanted, world, strategy = expected(case), World(case), case.strategy()
    done = carry_out(strategy.plan(case.data, Past()), world.execute, world.find)
    compare(case, wanted, done, world)
    if number % 10 == 0:
        compare_parallel(case, strategy, done)
    if case.keep and wanted.result.success:
        case.answer = _algorithm(case.rng)
        again, world = expected(case, wanted), World(case)
        second = carry_out(strategy.plan(case.data, Past(1, done.commits)), world.execute, world.find)
        compare(case, again, second, world)


def compare_parallel(case: Case, strategy: Any, done: CarriedOut) -> None:
    """Experiments in several tasks, in any order, change nothing."""
    world, answers = World(case), {}

    def ask(key: str, question: Question) -> Reply:
        if key not in answers:
            execution = isinstance(question, Execute)
            answers[key] = world.execute(question) if execution else world.find(question)
        return answers[key]

    parts = first_parts(strategy.plan(case.data, Past()))
    positions = list(range(len(parts.plans))) if parts else []
    case.rng.shuffle(positions)
    for position in positions:
        follow_parts(strategy.plan(case.data, Past()), "0", [position], ask, lambda _: None)
    commits: list[Commit] = []
    assert follow(strategy.plan(case.data, Past()), "0", ask, commits.append) == done.verdict
    assert [(one.runs, one.iov) for one in commits] == [(one.runs, one.iov) for one in done.commits]


@pytest.mark.parametrize("block", range(BLOCKS))
def test_random_cases_end_as_the_model_says(block: int) -> None:
    for number in range(block, CASES, BLOCKS):
        try:
            check(number)
        except Exception as error:
            error.add_note(f"case {number}: {made_up(number)}")
            raise
