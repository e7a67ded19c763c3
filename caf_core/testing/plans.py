"""What the suites for strategies and runners share: made-up runs, plans and answers."""

# ruff: noqa: S101 - a suite is made of assertions

from collections.abc import Callable, Sequence
from typing import cast

from attrs import define, field, frozen
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from caf_core.calibration.carry_out import (
    CarriedOut,
    Question,
    Reply,
    Unanswered,
    first_parts,
    follow,
    follow_parts,
    with_statistics,
)
from caf_core.calibration.plans import (
    Commit,
    Execute,
    Executed,
    FindBoundaries,
    Parts,
    Past,
    Plan,
    Result,
    Statistics,
    Verdict,
)
from caf_core.calibration.runner import AlgorithmsRunner, cut_parts
from caf_core.calibration.strategy import AlgorithmStrategy
from caf_core.iov import ExpRun, IoV

SETTINGS = settings(
    max_examples=50,
    deadline=None,
    # The fixtures give values that no test changes, every plugin executes the same inherited tests, and a
    # busy machine is not the plugin's fault.
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.differing_executors,
        HealthCheck.too_slow,
    ],
)

runs_with_data: st.SearchStrategy[tuple[ExpRun, ...]] = st.lists(
    st.builds(ExpRun, st.integers(0, 3), st.integers(0, 15)), min_size=1, max_size=12, unique=True
).map(lambda runs: tuple(sorted(runs)))
"""Runs of up to four experiments, sorted, each once."""

moods: st.SearchStrategy[tuple[Result, ...]] = st.sampled_from(
    [
        (Result.OK,),
        (Result.ITERATE,),
        (Result.OK, Result.ITERATE),
        (Result.OK, Result.OK, Result.NOT_ENOUGH_DATA),
        (Result.OK, Result.ITERATE, Result.NOT_ENOUGH_DATA, Result.FAILURE),
        (Result.NOT_ENOUGH_DATA,),
        (Result.FAILURE,),
    ]
)
"""The results that an algorithm may have in one example."""


@define
class MadeUpAlgorithm:
    """Answers like an algorithm: equal questions get equal answers, whatever the order in which they come.

    Args:
        draw: Draws from a hypothesis strategy.
        mood: The results that occur.
        enough: Fewer runs than this are not enough data.
    """

    draw: Callable[[st.SearchStrategy[object]], object]
    mood: tuple[Result, ...]
    enough: int = 1
    executed: list[Execute] = field(factory=list)
    results: dict[str, Result] = field(factory=dict)
    by_key: dict[str, Execute] = field(factory=dict)
    counted: set[ExpRun] = field(factory=set)
    _known: dict[tuple[ExpRun, ...], object] = field(factory=dict)

    def execute(self, request: Execute, key: str = "") -> Executed:
        """Answer an ``Execute``."""
        key = key or f"execution-{len(self.executed)}"
        self.executed.append(request)
        self.results[key] = self.result_of(request.runs)
        self.by_key[key] = request
        return Executed(key, self.results[key])

    def result_of(self, runs: tuple[ExpRun, ...]) -> Result:
        """What comes of executing the algorithm on these runs."""
        if len(runs) < self.enough:
            return Result.NOT_ENOUGH_DATA
        if runs not in self._known:
            self._known[runs] = self.draw(st.sampled_from(self.mood))
        return Result(str(self._known[runs]))

    def boundaries(self, request: FindBoundaries) -> tuple[ExpRun, ...]:
        """Answer a ``FindBoundaries``."""
        key = (ExpRun(-1, -1), *request.runs)
        if key not in self._known:
            self._known[key] = self.draw(st.lists(st.sampled_from(request.runs), unique=True))
        chosen = self._known[key]
        return tuple(sorted(chosen)) if isinstance(chosen, list) else ()

    def statistics(self, request: Statistics) -> dict[ExpRun, int]:
        """Answer a ``Statistics``."""
        found = {}
        for run in request.runs:
            key = (ExpRun(-2, -2), run)
            if key not in self._known:
                self._known[key] = self.draw(st.integers(0, 200))
            found[run] = cast("int", self._known[key])
        self.counted.update(request.runs)
        return found

    def reply(self, key: str, question: Question) -> Reply:
        """Answer a question of a plan."""
        return self.execute(question, key) if isinstance(question, Execute) else self.boundaries(question)


@define(kw_only=True)
class ScriptedStrategy(AlgorithmStrategy):
    """A strategy whose plan is written down.

    Args:
        script: Its steps.
    """

    script: "Script"

    def plan(self, runs: Sequence[ExpRun], past: Past) -> Plan:  # noqa: ARG002 - the script says it all
        """Follow the script."""
        return _follow(self.script)


@frozen
class ScriptedParts:
    """A step of a script: parts, each with a script of its own."""

    scripts: "tuple[Script, ...]"
    stop_at_failure: bool


Script = tuple[ExpRun | ScriptedParts | None, ...]
"""Steps: a run to execute and commit, parts to wait for, or ``None`` to ask for boundaries."""


def _follow(script: Script) -> Plan:
    for step in script:
        if step is None:
            yield FindBoundaries((ExpRun(0, 0), ExpRun(0, 1)))
        elif isinstance(step, ScriptedParts):
            verdicts = yield Parts(tuple(_follow(part) for part in step.scripts), step.stop_at_failure)
            failed = [one for one in cast("tuple[Verdict, ...]", verdicts) if not one.result.success]
            if failed and step.stop_at_failure:
                return failed[0]
        else:
            iov = IoV(*step, *step)
            executed = cast("Executed", (yield Execute((step,), iov)))
            if not executed.result.success:
                return Verdict(executed.result, str(step))
            yield Commit(executed.key, (step,), iov, "the script says so")
    return Verdict(Result.OK)


def _script(steps: Sequence[ExpRun | ScriptedParts | None]) -> Script:
    return tuple(steps)


_runs = st.builds(ExpRun, st.just(1), st.integers(0, 10_000))

_simple = st.lists(st.one_of(_runs, _runs, st.none()), max_size=3).map(_script)


def _with_parts(inner: st.SearchStrategy[Script]) -> st.SearchStrategy[Script]:
    parts = st.builds(ScriptedParts, st.lists(inner, max_size=4).map(tuple), st.booleans())
    return st.lists(st.one_of(_runs, parts), max_size=3).map(_script)


scripts: st.SearchStrategy[Script] = st.recursive(_simple, _with_parts, max_leaves=8)
"""Scripts of plans, with parts within parts."""


def in_tasks(
    runner: AlgorithmsRunner, make: Callable[[], Plan], algorithm: MadeUpAlgorithm, data: st.DataObject
) -> CarriedOut:
    """Carry a plan out as a runner wants it: by several tasks, in an order that hypothesis chooses, and then
    once more from what they answered.

    Args:
        runner: The runner.
        make: Makes the plan, anew each time.
        algorithm: Answers.
        data: Chooses the order.
    """
    answers: dict[str, tuple[Question, Reply]] = {}

    def ask(key: str, question: Question) -> Reply:
        if key not in answers:
            answers[key] = question, algorithm.reply(key, question)
        return known(key, question)

    def known(key: str, question: Question) -> Reply:
        if key not in answers:
            raise Unanswered(key)
        asked, answer = answers[key]
        assert asked == question, "a part asks the same, whatever was carried out before it"
        return answer

    def made() -> Plan:
        return with_statistics(make(), algorithm.statistics)

    parts = first_parts(made())
    if parts is not None and parts.plans:
        at_once = runner.parts_at_once(parts)
        assert at_once >= 1, "a runner has at least one part on its way"
        cuts = cut_parts(range(len(parts.plans)), at_once)
        assert [position for cut in cuts for position in cut] == list(range(len(parts.plans)))
        for positions in data.draw(st.permutations(cuts)):
            follow_parts(made(), "", positions, ask, lambda _: None)
    follow(made(), "", ask, lambda _: None)
    commits: list[Commit] = []
    verdict = follow(made(), "", known, commits.append)
    return CarriedOut(verdict, tuple(commits))


def without_keys(done: CarriedOut) -> tuple[Verdict, list[tuple[tuple[ExpRun, ...], IoV]]]:
    """What came of a plan, without the keys of executions, which each way of carrying it out gives anew."""
    return done.verdict, [(one.runs, one.iov) for one in done.commits]
