"""What every runner must keep."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.calibration.carry_out import carry_out
from caf_core.calibration.plans import Past
from caf_core.calibration.runner import AlgorithmsRunner
from caf_core.testing.plans import (
    SETTINGS,
    MadeUpAlgorithm,
    ScriptedStrategy,
    in_tasks,
    moods,
    scripts,
    without_keys,
)


class RunnerConformance:
    """Holds a runner to what ``carry_out`` does in its plain way; override ``make_runner``."""

    @pytest.fixture
    def make_runner(self) -> Callable[[], AlgorithmsRunner]:
        """The runner's class, or a function without arguments that makes one."""
        raise NotImplementedError("override the fixture `make_runner`: it returns your runner's class")

    @SETTINGS
    @given(data=st.data())
    def test_comes_to_the_same_end_in_any_order(
        self, make_runner: Callable[[], AlgorithmsRunner], data: st.DataObject
    ) -> None:
        """Verdict and commits are those of the plain way, however many tasks carry the plan out."""
        strategy = ScriptedStrategy(script=data.draw(scripts))
        algorithm = MadeUpAlgorithm(data.draw, data.draw(moods))
        plainly = carry_out(strategy.plan((), Past()), algorithm.execute, algorithm.boundaries)
        done = in_tasks(make_runner(), lambda: strategy.plan((), Past()), algorithm, data)
        assert without_keys(done) == without_keys(plainly)  # noqa: S101 - a suite is made of assertions
