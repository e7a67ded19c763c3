"""The suites for strategies and runners catch what breaks the rules."""

import itertools
import random

import pytest
from attrs import define
from hypothesis.errors import Flaky

from caf_core.calibration.asking import carry_out_parts, combined, execute
from caf_core.calibration.plans import Commit, Result, Verdict
from caf_core.calibration.runner import SequentialRunner
from caf_core.calibration.strategy import AlgorithmStrategy
from caf_core.errors import AlgorithmError
from caf_core.iov import ExpRun, IoV, iov_of_runs
from caf_core.testing import RunnerConformance, StrategyConformance

# hypothesis reports a plan of chance as flaky or, as several faults at once, as a group
BROKEN = (AssertionError, AlgorithmError, ExceptionGroup, Flaky)


def each_run(runs):
    """A decent plan: one payload a run, all have to succeed."""
    verdicts = []
    for run in runs:
        done = yield from execute((run,), iov_of_runs([run]))
        if not done.result.success:
            return Verdict(done.result)
        yield Commit(done.key, (run,), iov_of_runs([run]), "enough data")
        verdicts.append(Verdict(done.result))
    return combined(verdicts)


@define(kw_only=True)
class Decent(AlgorithmStrategy):
    def plan(self, runs, past):
        return (yield from each_run(runs))


@define(kw_only=True)
class Overlapping(AlgorithmStrategy):
    def plan(self, runs, past):
        done = None
        for run in runs:
            done = yield from execute((run,), IoV.always())
            if not done.result.success:
                return Verdict(done.result)
            yield Commit(done.key, (run,), IoV.always(), "enough data")
        return Verdict(done.result)


@define(kw_only=True)
class CommitsFailures(AlgorithmStrategy):
    def plan(self, runs, past):
        done = yield from execute(tuple(runs), iov_of_runs(runs))
        yield Commit(done.key, tuple(runs), iov_of_runs(runs), "enough data")
        return Verdict(done.result)


@define(kw_only=True)
class SaysNoReason(AlgorithmStrategy):
    def plan(self, runs, past):
        done = yield from execute(tuple(runs), iov_of_runs(runs))
        if done.result.success:
            yield Commit(done.key, tuple(runs), iov_of_runs(runs))
        return Verdict(done.result)


@define(kw_only=True)
class LosesRuns(AlgorithmStrategy):
    def plan(self, runs, past):
        return (yield from each_run(runs[:1]))


@define(kw_only=True)
class ForeignRuns(AlgorithmStrategy):
    def plan(self, runs, past):
        return (yield from each_run((*runs, ExpRun(99, 99))))


@define(kw_only=True)
class ForgetsToIterate(AlgorithmStrategy):
    def plan(self, runs, past):
        verdict = yield from each_run(runs)
        return Verdict(Result.OK) if verdict.result.success else verdict


@define(kw_only=True)
class SucceedsWithNothing(AlgorithmStrategy):
    def plan(self, runs, past):
        yield from each_run(runs)
        return Verdict(Result.OK)


@define(kw_only=True)
class Changes(AlgorithmStrategy):
    count: int = 0

    def plan(self, runs, past):
        self.count += 1
        return (yield from each_run(runs))


@define(kw_only=True)
class Random(AlgorithmStrategy):
    def plan(self, runs, past):
        middle = random.SystemRandom().randrange(len(runs) + 1)
        return (yield from each_run(runs[middle:] + runs[:middle]))


@define(kw_only=True)
class SharesBetweenParts(AlgorithmStrategy):
    def plan(self, runs, past):
        begun = itertools.count()

        def part(run):
            done = yield from execute((run,), IoV.always() if next(begun) else iov_of_runs([run]))
            if not done.result.success:
                return Verdict(done.result)
            yield Commit(done.key, (run,), iov_of_runs([run]), "enough data")
            return Verdict(done.result)

        verdicts = yield from carry_out_parts([part(run) for run in runs])
        return combined(verdicts)


def check(suite, *arguments):
    """Let every test of a suite judge."""
    for name in dir(suite):
        if name.startswith("test_"):
            getattr(suite(), name)(*arguments)


def test_a_decent_strategy_passes():
    check(StrategyConformance, Decent())


# Slow, because hypothesis looks for the smallest example of each fault.
@pytest.mark.slow
@pytest.mark.parametrize(
    "strategy",
    [
        Overlapping(),
        CommitsFailures(),
        SaysNoReason(),
        LosesRuns(),
        ForeignRuns(),
        ForgetsToIterate(),
        SucceedsWithNothing(),
        Changes(),
        Random(),
        SharesBetweenParts(),
    ],
    ids=lambda strategy: type(strategy).__name__,
)
def test_a_strategy_that_breaks_the_rules_is_caught(strategy):
    with pytest.raises(BROKEN):
        check(StrategyConformance, strategy)


def test_a_commit_without_a_reason_names_its_strategy():
    with pytest.raises(AssertionError, match="SaysNoReason: the strategy commits payloads for"):
        StrategyConformance().test_keeps_the_rules(SaysNoReason())


def test_a_strategy_must_be_an_attrs_class_with_known_granularities():
    class Plain(AlgorithmStrategy):
        usable_granularities = frozenset({"event"})

        def plan(self, runs, past):
            return (yield from each_run(runs))

    with pytest.raises(AssertionError):
        StrategyConformance().test_is_an_attrs_class_that_says_what_it_can_use(Plain())


class Idle(SequentialRunner):
    """Has nothing on its way."""

    def parts_at_once(self, parts):
        return 0


def test_a_runner_that_breaks_the_rules_is_caught():
    with pytest.raises(AssertionError):
        check(RunnerConformance, Idle)


@pytest.mark.parametrize(
    ("suite", "fixture"), [(StrategyConformance, "strategy"), (RunnerConformance, "make_runner")]
)
def test_a_suite_without_its_fixture_says_what_to_override(suite, fixture):
    definition = vars(suite)[fixture]
    with pytest.raises(NotImplementedError, match=f"`{fixture}`"):
        definition.__wrapped__(suite())
