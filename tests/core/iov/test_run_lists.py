"""Runs, and lists of them."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caf_core.errors import ConfigurationError, InvalidIoVError
from caf_core.iov import (
    ExpRun,
    IoV,
    as_exprun,
    as_runs,
    iov_of_runs,
    iovs_from_boundaries,
    iovs_of_runs,
    runs_by_boundaries,
    runs_overlapping,
    sorted_runs,
    split_by_experiment,
)

some_run = st.builds(ExpRun, st.integers(0, 3), st.integers(0, 6))
run_lists = st.lists(some_run, max_size=12)


@settings(deadline=None)
@given(some_run)
def test_a_run_comes_back_from_text_and_json(run: ExpRun) -> None:
    assert ExpRun.parse(str(run)) == run
    assert ExpRun.from_json(json.loads(json.dumps(run))) == run
    assert ExpRun.from_json(run.to_json()) == run
    assert as_exprun((run.exp, run.run)) == run
    assert isinstance(as_exprun((run.exp, run.run)), ExpRun)


def test_a_run_as_text() -> None:
    assert f"{ExpRun(1, 23)}" == "1,23"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("1", "has 1 numbers instead of 2"),
        ("1,x", "cannot be read"),
        ((1, 2, 3), "is not a run"),
        (5, "is not a run"),
        ((1, 2.5), "2.5 is not a whole number"),
        ((1, -1), "count from 0"),
    ],
)
def test_what_is_no_run_is_named(wrong: object, words: str) -> None:
    with pytest.raises(InvalidIoVError, match=words):
        as_exprun(wrong)  # type: ignore[arg-type]  # the point of this test


def test_runs_from_pairs_and_texts() -> None:
    assert as_runs([(1, 2), "1,3", ExpRun(2, 0)]) == (ExpRun(1, 2), ExpRun(1, 3), ExpRun(2, 0))
    for wrong in ("1,2", 5):
        with pytest.raises(InvalidIoVError, match="is not a sequence of runs"):
            as_runs(wrong)  # type: ignore[arg-type]  # the point of this test


@settings(deadline=None)
@given(run_lists)
def test_lists_of_runs(runs: list[ExpRun]) -> None:
    ordered = sorted_runs(runs)
    assert set(ordered) == set(runs)
    assert all(one < other for one, other in pairwise(ordered))
    split = split_by_experiment(runs)
    assert [run for group in split.values() for run in group] == list(ordered)
    assert all({run.exp for run in group} == {exp} for exp, group in split.items())
    assert list(split) == sorted(split)


@settings(deadline=None)
@given(run_lists)
def test_intervals_of_runs(runs: list[ExpRun]) -> None:
    around = iov_of_runs(runs)
    if runs:
        assert (around.first, ExpRun(around.exp_high, around.run_high)) == (min(runs), max(runs))
    else:
        assert around == IoV()
    exact = iovs_of_runs(runs)
    universe = [ExpRun(exp, run) for exp in range(4) for run in range(8)]
    assert {run for run in universe if any(run in iov for iov in exact)} == set(runs)


@settings(deadline=None)
@given(run_lists, some_run, some_run)
def test_runs_in_an_interval_keep_their_order(runs: list[ExpRun], one: ExpRun, other: ExpRun) -> None:
    low, high = sorted([one, other])
    assert runs_overlapping(runs, IoV(*low, *high)) == tuple(run for run in runs if low <= run <= high)


@settings(deadline=None)
@given(run_lists, run_lists)
def test_every_run_belongs_to_the_last_boundary_at_or_before_it(
    runs: list[ExpRun], boundaries: list[ExpRun]
) -> None:
    starts = [*boundaries, ExpRun(0, 0)]
    groups = runs_by_boundaries(starts, runs)
    assert list(groups) == sorted(set(starts))
    assert sorted(run for group in groups.values() for run in group) == sorted(set(runs))
    for start, group in groups.items():
        assert all(start == max(one for one in starts if one <= run) for run in group)
        assert list(group) == sorted(group)


def test_a_run_before_the_first_boundary_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="the run 1,2 lies before the first boundary 1,3"):
        runs_by_boundaries([ExpRun(1, 3)], [ExpRun(1, 2)])
    with pytest.raises(ConfigurationError, match="there are none"):
        runs_by_boundaries([], [ExpRun(1, 2)])
    assert runs_by_boundaries([], []) == {}


@settings(deadline=None)
@given(run_lists)
def test_intervals_between_boundaries_share_nothing_and_miss_nothing(boundaries: list[ExpRun]) -> None:
    iovs = iovs_from_boundaries(boundaries)
    assert [iov.first for iov in iovs] == sorted(set(boundaries))
    for exp in range(5):
        for run in range(9):
            here = ExpRun(exp, run)
            holding = [iov for iov in iovs if here in iov]
            assert len(holding) == (1 if any(start <= here for start in boundaries) else 0)
