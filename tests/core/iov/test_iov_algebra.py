"""The algebra of intervals against sets of runs.

The model: a universe of a few experiments and runs in which the last experiment and the last run stand for
all further ones ("infinity"). No interval that is drawn begins or ends with a number that infinity stands
for, so the sets are faithful.
"""

import json
from itertools import product

import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from caf_core.errors import ConfigurationError, InvalidIoVError
from caf_core.iov import ExpRun, IoV, as_iov, first_overlap, gaps, hull, merged

EXPS, RUNS = 4, 6
UNIVERSE = [ExpRun(exp, run) for exp, run in product(range(EXPS), range(RUNS))]
DRAWN_EXPS, DRAWN_RUNS = EXPS - 2, RUNS - 2
"""The highest numbers drawn: even the number that follows them is not infinity."""


def is_member(run: ExpRun, iov: IoV) -> bool:
    """Whether an interval holds a run, spelled out from the meaning of the four numbers."""
    if (iov.exp_low, iov.run_low, iov.exp_high, iov.run_high) == (-1, -1, -1, -1):
        return False
    if run.exp < iov.exp_low or (run.exp == iov.exp_low and run.run < iov.run_low):
        return False
    if iov.exp_high == -1 or run.exp < iov.exp_high:
        return True
    return run.exp == iov.exp_high and (iov.run_high == -1 or run.run <= iov.run_high)


def runs_of(*iovs: IoV) -> set[ExpRun]:
    """The runs of the universe that any of these intervals holds."""
    return {run for run in UNIVERSE if any(is_member(run, iov) for iov in iovs)}


def is_one_interval(members: set[ExpRun]) -> bool:
    """Whether no run is missing between the first and the last member."""
    return all(run in members for run in UNIVERSE if min(members) <= run <= max(members))


def missing_within_experiments(members: set[ExpRun]) -> set[ExpRun]:
    """Runs outside with members before and after them in the same experiment."""
    return {
        run
        for run in UNIVERSE
        if run not in members
        and any(other.exp == run.exp and other.run < run.run for other in members)
        and any(other.exp == run.exp and other.run > run.run for other in members)
    }


drawn_runs = st.builds(ExpRun, st.integers(0, DRAWN_EXPS), st.integers(0, DRAWN_RUNS))


@st.composite
def filled(draw: st.DrawFn) -> IoV:
    """An interval with runs: closed, open in its last experiment, or open for ever."""
    first, last = sorted(draw(st.tuples(drawn_runs, drawn_runs)))
    end = draw(st.sampled_from([tuple(last), (last.exp, -1), (-1, -1)]))
    return IoV(*first, *end)


any_iov = st.one_of(filled(), st.just(IoV()))


@settings(deadline=None)
@given(any_iov)
def test_contains_the_runs_that_its_numbers_mean(iov: IoV) -> None:
    assert {run for run in UNIVERSE if iov.contains(run)} == runs_of(iov)
    assert {run for run in UNIVERSE if run in iov} == runs_of(iov)
    assert iov.empty is (not runs_of(iov))


@settings(deadline=None)
@given(any_iov, any_iov)
def test_two_intervals_compare_like_their_sets(one: IoV, other: IoV) -> None:
    assert one.contains(other) is (runs_of(other) <= runs_of(one))
    assert one.overlaps(other) is bool(runs_of(one) & runs_of(other))
    assert (one == other) is (runs_of(one) == runs_of(other))
    assert runs_of(one.intersection(other)) == runs_of(one) & runs_of(other)


@settings(deadline=None)
@given(any_iov, any_iov)
@example(IoV(1, 0, 1, -1), IoV(2, 0, 2, 3))
@example(IoV(1, 0, 1, 3), IoV(1, 4, 1, 4))
@example(IoV(1, 0, 1, 3), IoV(2, 0, 2, 3))
def test_union_is_one_interval_or_none(one: IoV, other: IoV) -> None:
    union = one.union(other)
    together = runs_of(one, other)
    if not together or is_one_interval(together):
        assert union is not None
        assert runs_of(union) == together
    else:
        assert union is None
    assert union == other.union(one)


@settings(deadline=None)
@given(any_iov, drawn_runs)
def test_changed_ends(iov: IoV, run: ExpRun) -> None:
    members = runs_of(iov)
    assert runs_of(iov.starting_at(run)) == (
        {one for one in UNIVERSE if run <= one <= max(members)} if members else set()
    )
    assert runs_of(iov.ending_before(run)) == (
        {one for one in UNIVERSE if min(members) <= one < run} if members else set()
    )
    for_ever = {one for one in UNIVERSE if one >= min(members)} if members else set()
    assert runs_of(iov.open_for_ever()) == for_ever
    last_exp = EXPS if iov.exp_high == -1 else iov.exp_high
    assert runs_of(iov.open_in_experiment()) == {one for one in for_ever if one.exp <= last_exp}
    assert iov.open_ended is (bool(members) and iov in {iov.open_for_ever(), iov.open_in_experiment()})


def test_just_before_run_zero_is_open_in_the_experiment_before() -> None:
    assert IoV(1, 5, 9, 9).ending_before(ExpRun(3, 0)) == IoV(1, 5, 2, -1)
    assert IoV(1, 5, 1, 5).ending_before(ExpRun(1, 8)) == IoV(1, 5, 1, 7)
    assert IoV(0, 0, 1, 5).ending_before(ExpRun(0, 0)) == IoV()
    assert IoV(1, 5, 1, 5).ending_before(ExpRun(1, 5)) == IoV()


@settings(deadline=None)
@given(st.lists(any_iov, max_size=5))
def test_merged_holds_the_same_runs_in_the_fewest_intervals(iovs: list[IoV]) -> None:
    result = merged(iovs)
    assert runs_of(*result) == runs_of(*iovs)
    assert list(result) == sorted(result)
    for position, one in enumerate(result):
        assert not one.empty
        assert all(one.union(other) is None for other in result[position + 1 :])


@settings(deadline=None)
@given(st.lists(any_iov, max_size=5))
@example([IoV(1, 0, 1, 1), IoV(2, 2, 2, 3)])
@example([IoV(0, 0, 1, 1), IoV(1, 3, 2, 3)])
def test_gaps_are_what_is_missing_within_experiments(iovs: list[IoV]) -> None:
    found = gaps(iovs)
    assert runs_of(*found) == missing_within_experiments(runs_of(*iovs))
    assert all(gap.exp_low == gap.exp_high and not gap.open_ended for gap in found)
    assert found == merged(found)


@settings(deadline=None)
@given(st.lists(any_iov, max_size=5))
def test_hull_is_the_smallest_interval_around_all(iovs: list[IoV]) -> None:
    members = runs_of(*iovs)
    around = {run for run in UNIVERSE if min(members) <= run <= max(members)} if members else set()
    assert runs_of(hull(iovs)) == around


@settings(deadline=None)
@given(st.lists(any_iov, max_size=5))
def test_first_overlap_finds_two_that_share_a_run(iovs: list[IoV]) -> None:
    found = first_overlap(iovs)
    shared = any(runs_of(one) & runs_of(two) for i, one in enumerate(iovs) for two in iovs[i + 1 :])
    if shared:
        assert found is not None
        assert runs_of(found[0]) & runs_of(found[1])
        assert set(found) <= set(iovs)
    else:
        assert found is None


@settings(deadline=None)
@given(filled(), filled())
def test_order_is_by_beginning_then_by_end(one: IoV, other: IoV) -> None:
    mine, theirs = runs_of(one), runs_of(other)
    expected = (min(mine), max(mine)) < (min(theirs), max(theirs))
    assert (one < other) is expected
    assert (one >= other) is not expected
    assert one < IoV()


def test_order_with_something_else_is_an_error() -> None:
    with pytest.raises(TypeError):
        assert IoV() < "1,0,1,0"  # type: ignore[operator]  # the point of this test


@settings(deadline=None)
@given(any_iov)
def test_text_and_json_come_back(iov: IoV) -> None:
    assert IoV.parse(str(iov)) == iov
    assert IoV.from_json(json.loads(json.dumps(iov.to_json()))) == iov
    assert as_iov(iov) is iov
    assert as_iov(str(iov)) == iov
    assert eval(repr(iov)) == iov
    assert hash(as_iov(iov.to_json())) == hash(iov)


def test_text_is_the_four_numbers() -> None:
    assert str(IoV(1, 0, 2, -1)) == "1,0,2,-1"
    assert f"{IoV()}" == "-1,-1,-1,-1"
    assert IoV.parse(" 1, 0, 2, -1\n") == IoV(1, 0, 2, -1)


@settings(deadline=None)
@given(st.tuples(*[st.integers(-2, 3)] * 4))
def test_only_intervals_can_be_made(numbers: tuple[int, int, int, int]) -> None:
    exp_low, run_low, exp_high, run_high = numbers
    exists = numbers == (-1, -1, -1, -1) or (
        exp_low >= 0
        and run_low >= 0
        and (
            (exp_high, run_high) == (-1, -1)
            or (exp_high == exp_low and (run_high >= run_low or run_high == -1))
            or (exp_high > exp_low and run_high >= -1)
        )
    )
    if exists:
        assert IoV(*numbers).to_json() == list(numbers)
    else:
        with pytest.raises(InvalidIoVError, match=f"there is no IoV {exp_low},{run_low}"):
            IoV(*numbers)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("1,2,3", "has 3 numbers instead of 4"),
        ("1,2,3,four", "cannot be read"),
        ((1, 2, 3), "is not an IoV"),
        (17, "is not an IoV"),
        ((1.0, 0, 1, 1), "1.0 is not a whole number"),
        ((1, 2**63 - 1, 1, -1), "9223372036854775807 is too large for an experiment or a run"),
        ((1, 2, 2**63, 1), "is too large"),
        ((1, 5, 1, 4), "ends before it begins"),
        ((1, 5, -1, 4), "open for ever"),
        ((1, 5, 2, -3), "the only negative number is -1"),
        ((1, -1, 2, 3), "it must begin at a run"),
    ],
)
def test_what_is_no_interval_is_named(wrong: object, words: str) -> None:
    with pytest.raises(InvalidIoVError, match=words) as caught:
        as_iov(wrong)  # type: ignore[arg-type]  # the point of this test
    assert isinstance(caught.value, ConfigurationError)


class Whole:
    """A whole number of another kind, as numpy's are."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


def test_whole_numbers_of_other_kinds_become_int() -> None:
    iov = IoV(Whole(1), Whole(2), Whole(3), Whole(-1))
    assert iov.to_json() == [1, 2, 3, -1]
    assert all(type(number) is int for number in iov.to_json())


def test_always_is_everything_and_intervals_are_frozen() -> None:
    assert runs_of(IoV.always()) == set(UNIVERSE)
    assert IoV(1, 2).first == ExpRun(1, 2)
    with pytest.raises(FrozenInstanceError):
        IoV().exp_low = 1  # type: ignore[misc]  # the point of this test
