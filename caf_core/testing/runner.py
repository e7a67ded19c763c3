"""What every runner must keep, whatever the order of the answers."""

# ruff: noqa: S101 - a suite is made of assertions

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.calibration.carry_out import CarriedOut, carry_out
from caf_core.calibration.plans import Executed, Past
from caf_core.calibration.runner import AlgorithmsRunner, PlannedAlgorithm
from caf_core.iov import ExpRun
from caf_core.testing.plans import SETTINGS, MadeUpAlgorithm, ScriptedStrategy, drive, moods, scripts

Planned = tuple[list[PlannedAlgorithm], list[MadeUpAlgorithm]]


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
        """Verdicts and commits are those of the plain way; an algorithm that fails stops those after it."""
        planned, algorithms = self._example(data)
        expected = _plainly(planned, algorithms)
        runner = make_runner()
        drive(runner, planned, algorithms, data)
        _same(runner, expected)
        assert runner.outstanding == ()

    @SETTINGS
    @given(data=st.data())
    def test_recorded_answers_are_not_asked_again(
        self, make_runner: Callable[[], AlgorithmsRunner], data: st.DataObject
    ) -> None:
        """After a crash the answers that were recorded are given again, and only the others are asked for."""
        planned, algorithms = self._example(data)
        first = make_runner()
        answers = drive(first, planned, algorithms, data)
        kept = {key: answer for key, answer in answers.items() if data.draw(st.booleans())}
        second = make_runner()
        asked = drive(second, planned, algorithms, data, kept)
        assert not set(asked) & set(kept)
        assert second.verdicts == first.verdicts
        assert second.commits == first.commits

    @SETTINGS
    @given(data=st.data())
    def test_says_what_it_waits_for(
        self, make_runner: Callable[[], AlgorithmsRunner], data: st.DataObject
    ) -> None:
        """Every question is outstanding until it is answered or does not matter any more."""
        planned, algorithms = self._example(data)
        runner = make_runner()
        waiting = {ask.key: ask for ask in runner.start(planned)}
        while not runner.finished:
            outstanding = {ask.key for ask in runner.outstanding}
            assert outstanding, "a runner that has not finished waits for something"
            assert outstanding <= set(waiting)
            ask = waiting.pop(data.draw(st.sampled_from(sorted(outstanding))))
            waiting.update(
                (more.key, more) for more in runner.answer(ask.key, algorithms[ask.algorithm].reply(ask))
            )

    def test_late_and_unknown_answers(self, make_runner: Callable[[], AlgorithmsRunner]) -> None:
        """An answer that comes again changes nothing; one to a question that was never asked is an error."""
        algorithm = MadeUpAlgorithm(lambda _: "ok", ())
        runner = make_runner()
        (ask,) = runner.start([PlannedAlgorithm(0, "one", ScriptedStrategy(script=(ExpRun(1, 1),)), ())])
        assert runner.answer(ask.key, algorithm.reply(ask)) == []
        assert runner.finished
        assert runner.answer(ask.key, algorithm.reply(ask)) == []
        with pytest.raises(KeyError):
            runner.answer("no such question", Executed("key", runner.verdicts[0].result))

    def _example(self, data: st.DataObject) -> Planned:
        written = data.draw(st.lists(scripts, min_size=1, max_size=3))
        planned = [
            PlannedAlgorithm(index, f"algorithm {index}", ScriptedStrategy(script=script), ())
            for index, script in enumerate(written)
        ]
        return planned, [MadeUpAlgorithm(data.draw, data.draw(moods)) for _ in planned]


def _plainly(planned: Sequence[PlannedAlgorithm], algorithms: Sequence[MadeUpAlgorithm]) -> list[CarriedOut]:
    done = []
    for one, algorithm in zip(planned, algorithms, strict=True):
        plan = one.strategy.plan(one.runs, Past())
        done.append(carry_out(plan, algorithm.execute, algorithm.boundaries))
        if not done[-1].verdict.result.success:
            break
    return done


def _same(runner: AlgorithmsRunner, expected: Sequence[CarriedOut]) -> None:
    """Keys apart, which a runner gives in its own way."""
    assert list(runner.verdicts) == [one.verdict for one in expected]
    found = [[(commit.runs, commit.iov) for commit in commits] for commits in runner.commits]
    assert found == [[(commit.runs, commit.iov) for commit in one.commits] for one in expected]
