"""The strategies on examples that a person can follow."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from attrs import fields

from caf_core.calibration.carry_out import CarriedOut, carry_out
from caf_core.calibration.plans import Commit, Execute, Executed, FindBoundaries, Past, Result
from caf_core.calibration.strategy import AlgorithmStrategy
from caf_core.errors import ConfigurationError, InvalidIoVError
from caf_core.iov import ExpRun, IoV
from caf_core.plugins.known import STRATEGY_PARAMETERS
from caf_strategies import SequentialBoundaries, SequentialRunByRun, SimpleRunByRun, SingleIOV

OK, ITERATE, TOO_FEW, FAILURE = Result.OK, Result.ITERATE, Result.NOT_ENOUGH_DATA, Result.FAILURE


def runs(*texts: str) -> tuple[ExpRun, ...]:
    """``"1:3-5,8"`` means the runs 3, 4, 5 and 8 of experiment 1."""
    result = []
    for text in texts:
        exp, _, numbers = text.partition(":")
        for part in numbers.split(","):
            low, _, high = part.partition("-")
            result += [ExpRun(int(exp), run) for run in range(int(low), int(high or low) + 1)]
    return tuple(result)


def events(counts: Mapping[ExpRun, int] | int, minimum: int = 10) -> Callable[[Execute], Executed]:
    """An algorithm that needs a minimum of events."""

    def execute(request: Execute) -> Executed:
        total = sum(counts if isinstance(counts, int) else counts.get(run, 10) for run in request.runs)
        return Executed(str(request.iov), OK if total >= minimum else TOO_FEW, f"{total} events")

    return execute


def results(*answers: Result) -> Callable[[Execute], Executed]:
    """An algorithm whose results are given, one execution after the other."""
    left = iter(answers)
    return lambda request: Executed(str(request.iov), next(left), "as told")


def committed(done: CarriedOut) -> list[str]:
    return [str(commit.iov) for commit in done.commits]


def test_every_run_has_enough() -> None:
    done = carry_out(SequentialRunByRun().plan(runs("1:3-5"), Past()), events(10))
    assert committed(done) == ["1,3,1,3", "1,4,1,4", "1,5,1,5"]
    assert done.verdict.result is OK


def test_ignored_and_absent_runs_belong_to_the_payload_before() -> None:
    done = carry_out(SequentialRunByRun().plan(runs("1:3,6,9-10"), Past()), events(10))
    assert committed(done) == ["1,3,1,5", "1,6,1,8", "1,9,1,9", "1,10,1,10"]


def test_too_few_at_the_start_and_in_the_middle_merge_forward() -> None:
    counts = {ExpRun(1, 3): 2, ExpRun(1, 4): 3, ExpRun(1, 8): 1}
    done = carry_out(SequentialRunByRun().plan(runs("1:3-9"), Past()), events(counts))
    assert [commit.runs for commit in done.commits] == [
        runs("1:3-5"), runs("1:6"), runs("1:7"), runs("1:8-9"),
    ]  # fmt: skip
    assert committed(done) == ["1,3,1,5", "1,6,1,6", "1,7,1,7", "1,8,1,9"]


def test_too_few_at_the_end_are_executed_again_with_the_last_success() -> None:
    asked: list[Execute] = []

    def execute(request: Execute) -> Executed:
        asked.append(request)
        return events({ExpRun(1, 6): 4, ExpRun(1, 8): 5})(request)

    done = carry_out(SequentialRunByRun().plan(runs("1:4-6,8"), Past()), execute)
    assert [request.runs for request in asked] == [
        runs("1:4"), runs("1:5"), runs("1:6"), runs("1:6,8"), runs("1:5,6,8"),
    ]  # fmt: skip
    assert committed(done) == ["1,4,1,4", "1,5,1,8"]


def test_experiments_end_open_and_begin_at_run_0() -> None:
    done = carry_out(SequentialRunByRun().plan(runs("1:3-4", "2:7-8", "5:2"), Past()), events(10))
    assert committed(done) == ["1,3,1,3", "1,4,1,-1", "2,0,2,7", "2,8,2,-1", "5,0,5,2"]


def test_iov_coverage_widens_the_first_and_the_last_experiment() -> None:
    strategy = SequentialRunByRun(iov_coverage=IoV(1, 1, 5, -1))
    done = carry_out(strategy.plan(runs("1:3", "2:7", "5:2"), Past()), events(10))
    assert committed(done) == ["1,1,1,-1", "2,0,2,-1", "5,0,5,-1"]
    done = carry_out(SequentialRunByRun(iov_coverage=(1, 0, 1, 9)).plan(runs("1:3,5"), Past()), events(10))
    assert committed(done) == ["1,0,1,4", "1,5,1,9"]
    done = carry_out(SequentialRunByRun(iov_coverage=(0, 0, -1, -1)).plan(runs("1:3,5"), Past()), events(10))
    assert committed(done) == ["0,0,1,4", "1,5,-1,-1"]


def test_step_size_adds_runs_in_steps() -> None:
    done = carry_out(SequentialRunByRun(step_size=2).plan(runs("1:1-7"), Past()), events(4))
    assert [commit.runs for commit in done.commits] == [runs("1:1-4"), runs("1:5-7")]


def test_too_few_in_an_experiment_fails_and_leaves_those_before_it() -> None:
    counts = {ExpRun(2, 1): 3, ExpRun(2, 2): 4}
    done = carry_out(SequentialRunByRun().plan(runs("1:1-2", "2:1-2", "3:1"), Past()), events(counts))
    assert done.verdict.result is TOO_FEW
    assert done.verdict.message == "there are too few data in the 2 runs from 2,1 to 2,2 in all: 7 events"
    assert committed(done) == ["1,1,1,1", "1,2,1,-1"]


def test_a_failure_may_be_covered_by_the_payload_before_it() -> None:
    plan = SequentialRunByRun(on_failure="keep_previous").plan
    done = carry_out(
        plan(runs("1:1-4", "2:1-2"), Past()), results(OK, FAILURE, FAILURE, OK, FAILURE, ITERATE)
    )
    assert done.verdict.result is ITERATE
    assert committed(done) == ["1,1,1,3", "1,4,1,-1", "2,2,2,2"]
    assert [commit.kept for commit in done.commits] == [runs("1:2-3"), (), ()]
    assert done.commits[0].reason == (
        "enough data; kept for run 1,2: failure: as told; kept for run 1,3: failure: as told"
    )
    assert [(str(gap.iov), gap.reason) for gap in done.verdict.gaps] == [
        ("2,0,2,1", "run 2,1: failure: as told")
    ]
    assert done.verdict.notes[0] == (
        "the algorithm failed on run 1,2, and the payload of run 1,1 is kept there "
        '(on_failure="keep_previous"): as told'
    )
    assert done.verdict.notes[2].startswith("the algorithm failed on run 2,1, and no payload holds there")


def test_a_failure_may_leave_a_gap_with_which_nothing_merges() -> None:
    plan = SequentialRunByRun(on_failure="gap").plan
    done = carry_out(plan(runs("1:1-3"), Past()), results(OK, FAILURE, TOO_FEW))
    assert (committed(done), done.verdict.result) == (["1,1,1,1"], OK)
    assert [str(gap.iov) for gap in done.verdict.gaps] == ["1,2,1,2", "1,3,1,3"]
    done = carry_out(plan(runs("1:1-2", "2:1"), Past()), results(FAILURE, TOO_FEW, FAILURE))
    assert (committed(done), done.verdict.result) == ([], FAILURE)
    assert done.verdict.message == (
        "the algorithm failed wherever the data were enough: run 1,1: failure: as told"
    )


def test_kept_boundaries_do_not_tie_a_run_to_one_on_which_the_algorithm_failed() -> None:
    strategy = SequentialRunByRun(keep_boundaries=True, on_failure="keep_previous")
    data = runs("1:1-3")
    first = carry_out(strategy.plan(data, Past()), results(OK, FAILURE, OK))
    assert committed(first) == ["1,1,1,2", "1,3,1,3"]
    second = carry_out(strategy.plan(data, Past(1, first.commits)), results(OK, FAILURE, OK))
    assert committed(second) == committed(first)
    assert [commit.runs for commit in second.commits] == [runs("1:1"), runs("1:3")]
    assert [commit.kept for commit in second.commits] == [runs("1:2"), ()]


def test_a_failure_drops_the_pending_success_and_keeps_the_earlier_ones() -> None:
    done = carry_out(SequentialRunByRun().plan(runs("1:1-4"), Past()), results(OK, ITERATE, FAILURE))
    assert done.verdict.result is FAILURE
    assert done.verdict.message == "the algorithm failed on run 1,3: as told"
    assert committed(done) == ["1,1,1,1"]


def test_a_backward_merge_that_does_not_succeed_fails() -> None:
    for last in (TOO_FEW, FAILURE):
        done = carry_out(SequentialRunByRun().plan(runs("1:1-3"), Past()), results(OK, OK, TOO_FEW, last))
        assert done.verdict.result is last
        assert committed(done) == ["1,1,1,1"]


def test_one_that_iterates_is_enough_unless_it_was_executed_again() -> None:
    plan = SequentialRunByRun().plan
    assert carry_out(plan(runs("1:1-3"), Past()), results(OK, ITERATE, OK)).verdict.result is ITERATE
    assert carry_out(plan(runs("1:1", "2:1"), Past()), results(ITERATE, OK)).verdict.result is ITERATE
    assert carry_out(plan(runs("1:1-2"), Past()), results(ITERATE, TOO_FEW, OK)).verdict.result is OK


def test_boundaries_of_the_user() -> None:
    boundaries = [(1, 0), (1, 2), (1, 6), (1, 7), (1, 12), (2, 5), (9, 0)]
    strategy = SequentialBoundaries(payload_boundaries=boundaries)
    done = carry_out(strategy.plan(runs("1:4-5,9-10", "2:3,6"), Past()), events(10))
    assert [commit.runs for commit in done.commits] == [
        runs("1:4-5"), runs("1:9-10"), runs("2:3"), runs("2:6"),
    ]  # fmt: skip
    assert committed(done) == ["1,4,1,6", "1,7,1,-1", "2,0,2,4", "2,5,2,6"]
    assert [commit.reason for commit in done.commits] == [
        "boundary given; no data from boundaries (1,0) and (1,6) to the next boundary",
        "boundary given; no data from boundary (1,12) to the next boundary",
        "enough data",
        "boundary given",
    ]
    assert done.verdict.notes == (
        "no payload begins at the given boundaries (1,0), (1,6), (1,12) and (9,0): no run from there to the "
        "next boundary has data",
    )


def short_pieces(counts: Mapping[ExpRun, int], **parameters: Any) -> CarriedOut:
    """Boundaries at the runs 2, 3, 4 and 7 of seven runs."""
    boundaries = [(1, 2), (1, 3), (1, 4), (1, 7)]
    strategy = SequentialBoundaries(payload_boundaries=boundaries, **parameters)
    return carry_out(strategy.plan(runs("1:1-7"), Past()), events(counts))


def test_given_boundaries_that_are_merged_away_are_told() -> None:
    done = short_pieces({ExpRun(1, 3): 2, ExpRun(1, 7): 1})
    assert committed(done) == ["1,1,1,1", "1,2,1,2", "1,3,1,7"]
    assert done.commits[-1].reason == (
        "boundary given; run 1,3 merged forward: not enough data: 2 events; "
        "run 1,7 merged backward at the end of experiment 1: not enough data: 1 events"
    )
    hint = '(on_short="gap" or "fail" does not merge)'
    begin = "no payload begins at the given boundary"
    assert done.verdict.notes == (
        f"{begin} 1,4: too few data in run 1,3, merged with the runs after it: 2 events {hint}",
        f"{begin} 1,7: too few data in run 1,7, merged with the runs before it: 1 events {hint}",
    )


def test_given_boundaries_may_leave_gaps_or_fail_instead() -> None:
    counts = {ExpRun(1, 3): 2, ExpRun(1, 7): 1}
    done = short_pieces(counts, on_short="gap", iov_coverage=(0, 0, -1, -1))
    assert (committed(done), done.verdict.result) == (["0,0,1,1", "1,2,1,2", "1,4,1,6"], OK)
    assert [(str(gap.iov), gap.reason) for gap in done.verdict.gaps] == [
        ("1,3,1,3", "run 1,3: not enough data: 2 events"),
        ("1,7,-1,-1", "run 1,7: not enough data: 1 events"),
    ]
    done = short_pieces(counts, on_short="fail")
    assert (committed(done), done.verdict.result) == (["1,1,1,1", "1,2,1,2"], TOO_FEW)
    assert done.verdict.message == "the algorithm had too few data on run 1,3: 2 events"
    done = short_pieces({ExpRun(1, run): 1 for run in range(1, 8)}, on_short="gap")
    assert (committed(done), done.verdict.result) == ([], TOO_FEW)
    assert done.verdict.message == "there are too few data between all boundaries"


def test_boundaries_of_the_algorithm_are_asked_for_by_experiment() -> None:
    asked: list[FindBoundaries] = []

    def find(request: FindBoundaries) -> tuple[ExpRun, ...]:
        asked.append(request)
        return request.runs[2:3]

    done = carry_out(SequentialBoundaries().plan(runs("1:4-7", "2:1-3"), Past()), events(10), find)
    assert [request.runs for request in asked] == [runs("1:4-7"), runs("2:1-3")]
    assert committed(done) == ["1,4,1,5", "1,6,1,-1", "2,0,2,2", "2,3,2,3"]


def test_no_boundaries_make_one_payload_an_experiment_without_asking() -> None:
    def find(request: FindBoundaries) -> tuple[ExpRun, ...]:
        raise AssertionError("nothing was to be asked")

    strategy = SequentialBoundaries(payload_boundaries=[])
    done = carry_out(strategy.plan(runs("1:4-7", "2:1-3"), Past()), events(10), find)
    assert committed(done) == ["1,4,1,-1", "2,0,2,3"]


def test_boundaries_that_cannot_be_found_fail() -> None:
    lost = Executed("", FAILURE, "no luminosity")
    done = carry_out(SequentialBoundaries().plan(runs("1:4-7"), Past()), events(10), lambda request: lost)
    assert done.verdict.result is FAILURE
    assert "no luminosity" in done.verdict.message


def test_kept_boundaries_are_not_asked_for_and_merge_if_data_are_too_few_now() -> None:
    strategy = SequentialRunByRun(keep_boundaries=True)
    counts = {ExpRun(1, run): 5 for run in range(1, 7)}
    first = carry_out(strategy.plan(runs("1:1-6"), Past()), events(counts))
    assert committed(first) == ["1,1,1,2", "1,3,1,4", "1,5,1,6"]
    second = carry_out(strategy.plan(runs("1:1-6"), Past(1, first.commits)), events(20, minimum=20))
    assert committed(second) == committed(first)
    third = carry_out(strategy.plan(runs("1:1-6"), Past(2, second.commits)), events(counts, minimum=15))
    assert committed(third) == ["1,1,1,6"]

    def find(request: FindBoundaries) -> tuple[ExpRun, ...]:
        raise AssertionError("the boundaries are known")

    boundaries = SequentialBoundaries(keep_boundaries=True)
    again = carry_out(boundaries.plan(runs("1:1-6"), Past(1, first.commits)), events(10), find)
    assert committed(again) == committed(first)


def test_an_experiment_that_is_new_in_this_iteration_has_no_boundaries_to_keep() -> None:
    strategy = SequentialRunByRun(keep_boundaries=True)
    first = carry_out(strategy.plan(runs("1:1-2"), Past()), events(5))
    second = carry_out(strategy.plan(runs("1:1-2", "2:1-2"), Past(1, first.commits)), events(10))
    assert committed(second) == ["1,1,1,-1", "2,0,2,1", "2,2,2,2"]


@pytest.mark.parametrize(
    ("coverage", "words"),
    [
        (IoV(1, 4, 2, -1), "iov_coverage is 1,4,2,-1, but there are data in 1,3,2,8"),
        (IoV(1, 3, 2, 7), "but there are data in 1,3,2,8"),
    ],
)
def test_a_coverage_that_does_not_fit_is_refused_before_anything_is_executed(
    coverage: IoV, words: str
) -> None:
    for strategy in (SequentialRunByRun, SequentialBoundaries):
        with pytest.raises(ConfigurationError, match=words):
            strategy(iov_coverage=coverage).plan(runs("1:3-4", "2:8"), Past())


def test_single_iov() -> None:
    data = runs("1:3-4", "2:8")
    done = carry_out(SingleIOV().plan(data, Past()), results(ITERATE))
    assert (committed(done), done.verdict.result) == (["1,3,2,8"], ITERATE)
    assert done.commits[0].runs == data
    done = carry_out(SingleIOV(apply_iov="0,0,-1,-1").plan(data, Past()), results(OK))
    assert (committed(done), done.verdict.result) == (["0,0,-1,-1"], OK)
    for result, words in ((TOO_FEW, "had too few data on"), (FAILURE, "failed on")):
        done = carry_out(SingleIOV().plan(data, Past()), results(result))
        assert (committed(done), done.verdict.result) == ([], result)
        assert done.verdict.message == f"the algorithm {words} the 3 runs from 1,3 to 2,8: as told"


def test_simple_run_by_run_goes_on_and_lists_what_is_missing() -> None:
    data = runs("1:2-3,7-8", "2:4")
    done = carry_out(SimpleRunByRun().plan(data, Past()), results(OK, TOO_FEW, OK, TOO_FEW, ITERATE))
    assert committed(done) == ["1,2,1,2", "1,7,1,7", "2,4,2,4"]
    assert done.verdict.result is ITERATE
    assert [(str(gap.iov), gap.reason) for gap in done.verdict.gaps] == [
        ("1,3,1,3", "not enough data: as told"),
        ("1,4,1,6", "no data"),
        ("1,8,1,8", "not enough data: as told"),
    ]


def test_simple_run_by_run_with_a_failure_neither_iterates_nor_completes() -> None:
    done = carry_out(SimpleRunByRun().plan(runs("1:2-4"), Past()), results(OK, FAILURE, ITERATE))
    assert committed(done) == ["1,2,1,2", "1,4,1,4"]
    assert done.verdict.result is FAILURE
    assert done.verdict.message == "the algorithm failed on 1 of 3 runs, first on 1,3: as told"
    assert [(str(gap.iov), gap.reason) for gap in done.verdict.gaps] == [("1,3,1,3", "failure: as told")]


def test_simple_run_by_run_with_too_few_in_all_fails() -> None:
    done = carry_out(SimpleRunByRun().plan(runs("1:2-4"), Past()), events(1))
    assert (committed(done), done.verdict.result) == ([], TOO_FEW)


@pytest.mark.parametrize(
    "strategy",
    [SingleIOV(), SequentialRunByRun(iov_coverage=(1, 0, 1, 1)), SimpleRunByRun(), SequentialBoundaries()],
)
def test_no_runs_at_all_are_too_few(strategy: AlgorithmStrategy) -> None:
    done = carry_out(strategy.plan((), Past()), results())
    assert (committed(done), done.verdict.result) == ([], TOO_FEW)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: SequentialRunByRun(step_size=0), ConfigurationError, "at least 1"),
        (lambda: SequentialRunByRun(step_size=1.5), ConfigurationError, "whole number of runs"),
        (lambda: SequentialRunByRun(step_size=True), ConfigurationError, "whole number of runs"),
        (lambda: SequentialRunByRun(keep_boundaries="no"), ConfigurationError, "True or False"),
        (lambda: SequentialRunByRun(iov_coverage=IoV()), ConfigurationError, "empty IoV"),
        (lambda: SequentialBoundaries(iov_coverage=(1, 2)), InvalidIoVError, "is not an IoV"),
        (lambda: SequentialBoundaries(payload_boundaries=[5]), InvalidIoVError, "boundaries: 5 is not a run"),
        (lambda: SequentialBoundaries(payload_boundaries="1,5"), InvalidIoVError, "put it into a list"),
        (
            lambda: SequentialBoundaries(payload_boundaries=[(1, 5), (1, 3)]),
            ConfigurationError,
            "1,3 after 1,5",
        ),
        (lambda: SequentialBoundaries(payload_boundaries=[(1, 5), (1, 5)]), ConfigurationError, "1,5 twice"),
        (
            lambda: SequentialBoundaries(payload_boundaries=[(1, 5)], iov_coverage=(1, 6, -1, -1)),
            ConfigurationError,
            "1,5, which is outside of iov_coverage, 1,6,-1,-1",
        ),
        (
            lambda: SequentialRunByRun(on_failure="keep_previos"),
            ConfigurationError,
            "do you mean 'keep_previous'",
        ),
        (lambda: SimpleRunByRun(on_failure=True), ConfigurationError, "it can be 'stop', 'keep_previous', "),
        (lambda: SequentialBoundaries(on_short="gaps"), ConfigurationError, "do you mean 'gap'"),
        (lambda: SequentialBoundaries(on_short=None), ConfigurationError, "it can be 'merge', 'gap', 'fail'"),
        (
            lambda: SequentialBoundaries(on_short="gap", keep_boundaries=True),
            ConfigurationError,
            "exclude each other",
        ),
        (lambda: SingleIOV(apply_iov="1,5,1,2"), InvalidIoVError, "ends before it begins"),
    ],
)
def test_parameters_are_checked_when_they_are_given(
    make: Callable[[], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        make()


def test_parameters_may_be_plain_numbers_and_may_be_changed() -> None:
    strategy = SequentialBoundaries(payload_boundaries=[[1, 5], "2,7"], iov_coverage=[1, 0, 2, -1])
    assert strategy.payload_boundaries == (ExpRun(1, 5), ExpRun(2, 7))
    assert strategy.iov_coverage == IoV(1, 0, 2, -1)
    strategy.iov_coverage = "1,1,2,-1"  # type: ignore[assignment]  # converted, as when it is made
    assert strategy.iov_coverage == IoV(1, 1, 2, -1)
    with pytest.raises(ConfigurationError):
        strategy.iov_coverage = IoV()


def test_granularities_that_can_be_used() -> None:
    assert SingleIOV.usable_granularities == {"run", "all"}
    for strategy in (SequentialRunByRun, SequentialBoundaries, SimpleRunByRun):
        assert strategy.usable_granularities == {"run"}


@pytest.mark.parametrize("keep", [False, True])
def test_iteration_0_and_the_default_keep_nothing(keep: bool) -> None:
    past = Past(0 if keep else 1, (Commit("", runs("1:1-2"), IoV(1, 1, 1, 2)),))
    done = carry_out(SequentialRunByRun(keep_boundaries=keep).plan(runs("1:1-2"), past), events(10))
    assert committed(done) == ["1,1,1,1", "1,2,1,2"]


def test_kept_boundaries_hold_although_other_runs_have_data_now() -> None:
    strategy = SequentialRunByRun(keep_boundaries=True)
    first = carry_out(strategy.plan(runs("1:2-6"), Past()), events({ExpRun(1, run): 5 for run in range(9)}))
    assert committed(first) == ["1,2,1,3", "1,4,1,6"]
    second = carry_out(strategy.plan(runs("1:1-2,5,9"), Past(1, first.commits)), events(10))
    assert [commit.runs for commit in second.commits] == [runs("1:1-2"), runs("1:5,9")]
    assert committed(second) == ["1,1,1,3", "1,4,1,9"]
    assert [commit.reason for commit in second.commits] == ["enough data", "boundary kept from iteration 0"]


def test_decisions_are_linear_in_the_number_of_runs() -> None:
    data = tuple(ExpRun(exp, run) for exp in range(2) for run in range(5_000))
    executed: list[Execute] = []

    def execute(request: Execute) -> Executed:
        executed.append(request)
        return Executed(str(request.iov), OK if len(request.runs) >= 7 else TOO_FEW)

    done = carry_out(SequentialRunByRun().plan(data, Past()), execute)
    assert len(executed) == 10_000 + 2  # 5,000 is no multiple of 7, so each experiment merges backward.
    assert sum(len(request.runs) for request in executed) < 5 * len(data)
    assert [len(commit.runs) for commit in done.commits] == ([7] * 713 + [9]) * 2


def test_the_core_knows_the_parameters_of_these_strategies() -> None:
    """It refuses them where they would be taken for the algorithm's."""
    found: dict[str, set[str]] = {}
    for strategy in (SingleIOV, SequentialRunByRun, SequentialBoundaries, SimpleRunByRun):
        for parameter in fields(strategy):
            found.setdefault(parameter.name, set()).add(strategy.__name__)
    assert found == {name: set(owners) for name, owners in STRATEGY_PARAMETERS.items()}
