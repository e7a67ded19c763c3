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
from attrs import define, evolve, field, frozen

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
    on_failure: str
    keep: bool
    answer: Callable[[Runs], Result] = field(init=False)

    def strategy(self) -> Any:
        """The strategy under test."""
        common: dict[str, Any] = {
            "iov_coverage": self.coverage,
            "keep_boundaries": self.keep,
            "on_failure": self.on_failure,
        }
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
        rng.choice(["stop", "stop", "keep_previous", "keep_previous", "gap"]),
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
    weights = rng.choice([(5, 2, 5, 1), (1, 1, 8, 0), (3, 3, 3, 0), (1, 0, 1, 3), (5, 2, 1, 2), (5, 2, 3, 2)])
    sense = rng.random() < 0.7
    events: dict[ExpRun, int] = {}
    minimum, tolerance, bad = rng.randint(0, 30), rng.randint(0, 40), rng.random() < 0.3

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
        own: For each run with data that was executed for a payload, the first such run of it.
        kept: The runs for which a payload is kept, by its first run with data.
        failed: The runs with data in gaps because the algorithm failed.
    """

    result: Result
    cells: list[ExpRun | str | None]
    executed: list[Runs]
    told: set[ExpRun]
    merged: set[ExpRun]
    own: dict[ExpRun, ExpRun] = field(factory=dict)
    kept: dict[ExpRun, Runs] = field(factory=dict)
    failed: set[ExpRun] = field(factory=set)


@define
class Payload:
    """The pieces that one was made from, and those where it holds."""

    made: list[int]
    holds: list[int]


@define
class Course:
    """What came of the pieces of an experiment.

    Args:
        names: All of them.
        joined: The runs of some of them.
        case: The case.
        gaps: Those without a payload, and whether the algorithm failed there.
    """

    names: list[int]
    joined: Callable[[Sequence[int]], Runs]
    case: Case
    payloads: list[Payload] = field(factory=list)
    gaps: dict[int, bool] = field(factory=dict)
    executed: list[Runs] = field(factory=list)
    result: Result = Result.OK

    def answer(self, some: Sequence[int]) -> Result:
        self.executed.append(self.joined(some))
        return self.case.answer(self.joined(some))

    def touches(self, some: Sequence[int]) -> bool:
        """Whether a payload holds just before these pieces."""
        at = self.names.index(some[0])
        return bool(self.payloads) and at > 0 and self.names[at - 1] in self.payloads[-1].holds

    def lose(self, some: Sequence[int]) -> None:
        """The algorithm failed on these pieces, and it goes on."""
        if self.case.on_failure == "keep_previous" and self.touches(some):
            self.payloads[-1].holds.extend(some)
        else:
            self.gaps.update(dict.fromkeys(some, True))

    def ended(self, result: Result, dropped: int = 0) -> "Course":
        del self.payloads[len(self.payloads) - dropped :]
        self.result = result
        return self


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


def expected_of_experiment(exp: int, pieces: list[int], case: Case) -> Course:
    """What is executed, and what comes of it."""
    names = sorted(set(pieces))
    runs = {name: [run for run in case.data if run.exp == exp and pieces[run.run] == name] for name in names}
    course = Course(names, lambda some: tuple(run for name in some for run in runs[name]), case)
    return _merging(course, case) if case.on_short == "merge" else _apart(course, case)


def _merging(course: Course, case: Case) -> Course:
    left = course.names
    while left:
        size, answer = 0, TOO_FEW
        while answer is TOO_FEW and size < len(left):
            size += 1
            answer = course.answer(left[:size])
        if answer is TOO_FEW:
            break
        some, left = left[:size], left[size:]
        if answer is not FAILURE:
            course.payloads.append(Payload(some, list(some)))
        elif case.on_failure == "stop":
            return course.ended(FAILURE, dropped=min(1, len(course.payloads)))
        else:
            course.lose(some)
    if left and not course.payloads and not course.gaps:
        return course.ended(TOO_FEW)
    if left and not course.touches(left):
        course.gaps.update(dict.fromkeys(left, False))
    elif left:
        last = course.payloads[-1]
        answer = course.answer([*last.made, *left])
        if answer.success:
            course.payloads[-1] = Payload([*last.made, *left], [*last.holds, *left])
        elif answer is FAILURE and case.on_failure != "stop":
            course.lose(left)
        else:
            return course.ended(answer, dropped=1)
    return course.ended(_iterated(course, case))


def _apart(course: Course, case: Case) -> Course:
    """The same where nothing is merged."""
    for name in course.names:
        answer = course.answer([name])
        if answer.success:
            course.payloads.append(Payload([name], [name]))
        elif answer is TOO_FEW and case.on_short == "gap":
            course.gaps[name] = False
        elif answer is FAILURE and case.on_failure != "stop":
            course.lose([name])
        else:
            return course.ended(answer)
    return course.ended(_iterated(course, case))


def _iterated(course: Course, case: Case) -> Result:
    answers = [case.answer(course.joined(one.made)) for one in course.payloads]
    return Result.ITERATE if Result.ITERATE in answers else Result.OK


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
        if before is not None and any(run.exp == exp for run in before.own):
            pieces = _kept(exp, before, data)
        course = expected_of_experiment(exp, pieces, case)
        owners: dict[int, ExpRun | str] = dict.fromkeys(course.gaps, "gap")
        for one in course.payloads:
            made = course.joined(one.made)
            owners.update(dict.fromkeys(one.holds, made[0]))
            total.own.update(dict.fromkeys(made, made[0]))
            total.told.update(ExpRun(exp, piece) for piece in one.made[1:] if ExpRun(exp, piece) in given)
            total.merged.update([made[0]] if len(one.made) > 1 else [])
            if lost := course.joined([piece for piece in one.holds if piece not in one.made]):
                total.kept[made[0]] = lost
        total.failed.update(course.joined([piece for piece, failed in course.gaps.items() if failed]))
        for cell, piece in enumerate(pieces):
            cells[exp * WIDTH + cell] = owners.get(piece)
        total.executed.extend(course.executed)
        ended = course.result
        result = Result.ITERATE if Result.ITERATE in (result, ended) and ended.success else ended
        if not ended.success:
            break
    if result.success and all(cells[place(*run)] == "gap" for run in case.data):
        result = FAILURE if total.failed else TOO_FEW
    _cover(cells, case)
    return evolve(total, result=result)


def _kept(exp: int, before: Expected, data: Sequence[int]) -> list[int]:
    """Pieces that are the payloads of the previous iteration, and what had none of its own between them; what
    none held belongs to the nearest one."""
    cells = before.cells[exp * WIDTH : (exp + 1) * WIDTH]
    owners = [before.own.get(ExpRun(exp, run)) for run in data]
    starts: list[int] = []
    for number, (run, owner) in enumerate(zip(data, owners, strict=True)):
        if owner == ExpRun(exp, run):
            starts.append(cells.index(owner))
        elif number == 0 or owner != owners[number - 1]:
            # It failed, or comes behind one that did.
            starts.append(run)
    return [max((start for start in starts if start <= cell), default=starts[0]) for cell in range(WIDTH)]


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
    found = [
        note.partition(":")[0]
        for note in done.verdict.notes
        if not note.startswith("the algorithm failed on")
    ]
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
        iov = meant[one.runs]
        assert iov == one.iov or (one.kept and iov.first == one.iov.first and one.iov.contains(iov))
        assert case.answer(one.runs).success
        assert ("merged" in one.reason) is (one.runs[0] in wanted.merged)
        assert one.reason
        assert ("kept for" in one.reason) is bool(one.kept)
    assert {one.runs[0]: one.kept for one in done.commits if one.kept} == wanted.kept
    if wanted.result.success:
        gaps = [gap.iov for gap in done.verdict.gaps if gap.failed]
        assert {run for run in case.data if any(run in iov for iov in gaps)} == wanted.failed
        lost = wanted.failed.union(*wanted.kept.values())
        assert any(note.startswith("the algorithm failed on") for note in done.verdict.notes) is bool(lost)
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
