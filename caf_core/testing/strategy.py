"""What every strategy must keep, whatever an algorithm answers."""

# ruff: noqa: S101 - a suite is made of assertions

from collections.abc import Sequence
from copy import deepcopy

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from caf_core.calibration.carry_out import CarriedOut, carry_out
from caf_core.calibration.plans import Past, Result
from caf_core.calibration.runner import ParallelRunner
from caf_core.calibration.strategy import AlgorithmStrategy
from caf_core.errors import AlgorithmError, ConfigurationError
from caf_core.iov import ExpRun, first_overlap
from caf_core.testing.plans import (
    SETTINGS,
    MadeUpAlgorithm,
    in_tasks,
    moods,
    runs_with_data,
    without_keys,
)


class StrategyConformance:
    """Holds a strategy to the rules of plans; override ``strategy``.

    The runs are those of up to four experiments; override ``runs`` if the strategy's parameters only fit
    others. Runs for which it raises ``ConfigurationError`` are left out.
    """

    runs: st.SearchStrategy[tuple[ExpRun, ...]] = runs_with_data

    @pytest.fixture
    def strategy(self) -> AlgorithmStrategy:
        """The strategy, an instance."""
        raise NotImplementedError("override the fixture `strategy`: it returns an instance of your strategy")

    def test_is_an_attrs_class_that_says_what_it_can_use(self, strategy: AlgorithmStrategy) -> None:
        """Its parameters are attrs fields, and it takes data kept by run, all together, or both."""
        assert attrs.has(type(strategy))
        assert strategy.usable_granularities
        assert strategy.usable_granularities <= {"run", "all"}

    @SETTINGS
    @given(data=st.data())
    def test_keeps_the_rules(self, strategy: AlgorithmStrategy, data: st.DataObject) -> None:
        """Whatever the algorithm answers: only given runs, no overlaps, no commit of a failure, reasons."""
        runs, algorithm = self._example(data)
        before = deepcopy(strategy)
        done = self._carry_out(strategy, runs, Past(), algorithm)
        assert strategy == before, "a strategy may not change: its plan is made anew after a crash"
        self._check(runs, algorithm, done)

    @SETTINGS
    @given(data=st.data())
    def test_keeps_the_rules_in_a_later_iteration(
        self, strategy: AlgorithmStrategy, data: st.DataObject
    ) -> None:
        """The same with what an earlier iteration committed."""
        runs, algorithm = self._example(data)
        first = self._carry_out(strategy, runs, Past(), algorithm)
        again = MadeUpAlgorithm(data.draw, data.draw(moods), data.draw(st.integers(1, 4)))
        done = self._carry_out(strategy, runs, Past(1, first.commits), again)
        self._check(runs, again, done)

    @SETTINGS
    @given(data=st.data())
    def test_equal_answers_lead_to_equal_requests(
        self, strategy: AlgorithmStrategy, data: st.DataObject
    ) -> None:
        """Plans are replayed from recorded answers, so they may not depend on anything else."""
        runs, algorithm = self._example(data)
        done = self._carry_out(strategy, runs, Past(), algorithm)
        asked = list(algorithm.executed)
        algorithm.executed.clear()
        assert self._carry_out(deepcopy(strategy), runs, Past(), algorithm) == done
        assert algorithm.executed == asked

    @SETTINGS
    @given(data=st.data())
    def test_parts_may_be_carried_out_in_any_order(
        self, strategy: AlgorithmStrategy, data: st.DataObject
    ) -> None:
        """The parts of a plan share nothing, so a parallel runner comes to the same end."""
        runs, algorithm = self._example(data)
        done = self._carry_out(strategy, runs, Past(), algorithm)
        apart = in_tasks(ParallelRunner(), lambda: strategy.plan(runs, Past()), algorithm, data)
        assert without_keys(apart) == without_keys(done)

    @SETTINGS
    @given(data=st.data(), result=st.sampled_from([Result.NOT_ENOUGH_DATA, Result.FAILURE]))
    def test_nothing_comes_of_failures(
        self, strategy: AlgorithmStrategy, data: st.DataObject, result: Result
    ) -> None:
        """If every execution fails, nothing is committed and the plan fails."""
        done = self._carry_out(strategy, data.draw(self.runs), Past(), MadeUpAlgorithm(data.draw, (result,)))
        assert done.commits == ()
        assert not done.verdict.result.success

    def _example(self, data: st.DataObject) -> tuple[tuple[ExpRun, ...], MadeUpAlgorithm]:
        return data.draw(self.runs), MadeUpAlgorithm(
            data.draw, data.draw(moods), data.draw(st.integers(1, 4))
        )

    def _carry_out(
        self, strategy: AlgorithmStrategy, runs: tuple[ExpRun, ...], past: Past, algorithm: MadeUpAlgorithm
    ) -> CarriedOut:
        try:
            done = carry_out(
                strategy.plan(runs, past), algorithm.execute, algorithm.boundaries, algorithm.statistics
            )
        except ConfigurationError:
            assume(False)
            raise
        except AlgorithmError as error:
            raise AssertionError(f"{type(strategy).__name__}: {error}") from error
        return done

    def _check(self, runs: Sequence[ExpRun], algorithm: MadeUpAlgorithm, done: CarriedOut) -> None:
        assert algorithm.counted <= set(runs), "only runs with data are asked for their entries"
        for request in algorithm.executed:
            assert request.runs, "an execution needs runs"
            assert list(request.runs) == sorted(set(request.runs)), "runs are sorted, each once"
            assert set(request.runs) <= set(runs), "only runs with data are executed"
            assert all(request.iov.contains(run) for run in request.runs), "payloads hold for their own runs"
        for one in done.commits:
            assert algorithm.results[one.key].success, "only successes are committed"
            assert one.runs == algorithm.by_key[one.key].runs, "a commit names the runs of its execution"
            assert all(one.iov.contains(run) for run in one.runs), "payloads hold for their own runs"
        assert first_overlap(one.iov for one in done.commits) is None, "payloads of one name do not overlap"
        if done.verdict.result.success:
            assert done.commits, "a success has committed something"
            covered = [one.iov for one in done.commits] + [gap.iov for gap in done.verdict.gaps]
            lost = [run for run in runs if not any(iov.contains(run) for iov in covered)]
            assert not lost, "a success covers every run, or lists it in the gaps of the verdict"
            iterate = any(algorithm.results[one.key] is Result.ITERATE for one in done.commits)
            assert (done.verdict.result is Result.ITERATE) == iterate, (
                "the committed results decide on iterating"
            )
