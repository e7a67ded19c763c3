"""The controller's pure step: whatever happens, the table holds, dependencies are respected, and it ends."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caf_core.calibration.convergence import Convergence
from caf_core.calibration.plans import Result
from caf_core.calibration.states import END_STATES, TRANSITIONS, State
from caf_core.control import effects, events, step
from caf_core.control.step import Stage

ROWS = {(row.source, row.target) for row in TRANSITIONS}


class World:
    """Carries effects out by making things up, and checks every effect against the rules."""

    def __init__(self, stages, draw) -> None:
        self.system = {stage.name: stage for stage in stages}
        self.links = {stage.name: stage.depends_on for stage in stages}
        self.draw = draw
        self.pending: list[events.Event] = []
        self.states = dict.fromkeys(self.system, State.INIT)
        self.skipped: set[str] = set()
        self.stopped = False
        self.steps = 0

    def drive(self) -> None:
        """Feed events in any order until nothing is left to happen."""
        self.feed(events.Begin())
        while self.pending:
            self.steps += 1
            assert self.steps < 2000, "it never ends"
            self.feed(self.pending.pop(self.draw(st.integers(0, len(self.pending) - 1))))

    def feed(self, event: events.Event) -> None:
        assert not self.stopped or not isinstance(event, events.Decided)
        self.system, brought = step.step(self.system, event)
        for effect in brought:
            self.perform(effect)

    def perform(self, effect: effects.Effect) -> None:
        match effect:
            case effects.Stop():
                self.stopped = True
            case effects.Skip(name, because):
                assert because in self.links[name]
                assert self.states[because] is State.FAILED or because in self.skipped
                self.skipped.add(name)
            case effects.Decide(name):
                assert all(self.states[other] is State.COMPLETED for other in self.links[name])
                self.decide(name)
            case effects.Move(name, _, old, new):
                assert self.states[name] is old
                assert (old, new) in ROWS
                self.states[name] = new
            case _:
                assert name_is_alive(self, effect.name) or isinstance(effect, effects.Tidy)
                self.answer(effect)

    def decide(self, name: str) -> None:
        if self.draw(st.integers(0, 9)) == 0:
            self.pending.append(events.Failed(name, "no checkpoint"))
            return
        stage = self.system[name]
        state = self.draw(st.sampled_from([s for s in State if "failed" not in s]))
        self.states[name] = state
        self.pending.append(events.Decided(name, state, self.draw(st.integers(0, stage.max_iterations))))

    def answer(self, effect: effects.Effect) -> None:
        name = effect.name
        if not isinstance(effect, effects.Tidy) and self.draw(st.integers(0, 9)) == 0:
            self.pending.append(events.Failed(name, "the disk is full"))
            return
        match effect:
            case effects.SubmitCollectors():
                jobs = self.draw(st.frozensets(st.sampled_from(["a", "b", "c"]), max_size=3))
                # As in the loop, what follows at once is fed in order.
                self.feed(events.Submitted(name, jobs))
                self.pending += [events.JobEnded(name, job, self.draw(st.booleans()), "bad") for job in jobs]
                self.pending.append(events.JobEnded(name, "of an earlier iteration", False, "late"))
            case effects.Gather():
                self.pending.append(events.Gathered(name, self.draw(st.sampled_from(["", "", "no runs"]))))
            case effects.StartAlgorithms():
                result = self.draw(st.sampled_from([*Result, Result.OK, Result.ITERATE, Result.ITERATE]))
                label = Convergence.CONVERGED if result is Result.OK else Convergence.MAX_ITERATIONS
                self.pending.append(events.AlgorithmsEnded(name, result, "why", label))
            case effects.Finish():
                self.pending.append(events.Finished(name))
            case effects.StartOwnRun():
                self.pending.append(events.OwnRunEnded(name, self.draw(st.booleans()), "raised"))


def name_is_alive(world: World, name: str) -> bool:
    return world.states[name] not in END_STATES


@st.composite
def stages(draw):
    """Some calibrations, each depending on some before it."""
    names = ["a", "b", "c", "d"][: draw(st.integers(1, 4))]
    return [
        Stage(
            name,
            depends_on=tuple(draw(st.lists(st.sampled_from(names[:number]), unique=True)) if number else ()),
            max_iterations=draw(st.integers(0, 3)),
            require_convergence=draw(st.booleans()),
            own=draw(st.booleans()),
        )
        for number, name in enumerate(names)
    ]


@settings(max_examples=300, deadline=None)
@given(stages(), st.data())
def test_whatever_happens_it_ends_by_the_table(found, data) -> None:
    world = World(found, data.draw)
    world.drive()
    assert world.stopped
    for stage in found:
        state = world.states[stage.name]
        assert world.system[stage.name].over
        if stage.name in world.skipped:
            assert state is State.INIT
        else:
            assert state in END_STATES
        assert world.system[stage.name].iteration <= stage.max_iterations


def follow(stage: Stage, *happened: events.Event) -> tuple[Stage, list[effects.Effect]]:
    """One calibration through some events; the effects of all but the beginning."""
    system, _ = step.step({stage.name: stage}, events.Begin())
    brought: list[effects.Effect] = []
    for event in happened:
        system, new = step.step(system, event)
        brought += new
    return system[stage.name], brought


def moves(brought) -> list[State]:
    return [effect.new for effect in brought if isinstance(effect, effects.Move)]


COLLECTED = (
    events.Decided("a", State.INIT, 0),
    events.Submitted("a", frozenset({"x", "y"})),
    events.JobEnded("a", "y", True),
    events.JobEnded("a", "x", True),
    events.Gathered("a"),
)


def ended(result, convergence=Convergence.MAX_ITERATIONS) -> events.AlgorithmsEnded:
    return events.AlgorithmsEnded("a", result, "why", convergence)


def test_the_plain_way() -> None:
    stage, brought = follow(
        Stage("a"), *COLLECTED, ended(Result.OK, Convergence.CONVERGED), events.Finished("a")
    )
    assert stage.state is State.COMPLETED
    kinds = [type(effect).__name__ for effect in brought if not isinstance(effect, effects.Move)]
    assert kinds == ["SubmitCollectors", "Gather", "StartAlgorithms", "Finish", "Tidy", "Stop"]


def test_it_iterates_until_the_last_allowed_iteration() -> None:
    again = (events.Submitted("a", frozenset()), events.Gathered("a"), ended(Result.ITERATE))
    stage, brought = follow(Stage("a", max_iterations=1), *COLLECTED, ended(Result.ITERATE), *again)
    assert (stage.iteration, stage.state) == (1, State.ALGORITHMS_COMPLETED)
    assert brought[-1] == effects.Finish("a")


def test_output_is_removed_only_after_the_move_that_makes_it_useless() -> None:
    _, brought = follow(Stage("a"), *COLLECTED, ended(Result.ITERATE))
    tidy = brought.index(effects.Tidy("a", 0, last=False))
    assert brought[tidy - 1].new is State.RUNNING_COLLECTOR
    assert brought[tidy + 1] == effects.SubmitCollectors("a")
    _, brought = follow(Stage("a"), *COLLECTED, ended(Result.OK), events.Finished("a"))
    assert [type(effect) for effect in brought[-3:]] == [effects.Move, effects.Tidy, effects.Stop]


def test_require_convergence_makes_the_maximum_a_failure() -> None:
    stage, brought = follow(
        Stage("a", max_iterations=0, require_convergence=True), *COLLECTED, ended(Result.ITERATE)
    )
    assert stage.state is State.FAILED
    assert "did not converge in 1 iterations (max_iterations)" in brought[-2].reason


def test_the_reasons_of_all_failed_jobs_are_told() -> None:
    stage, brought = follow(
        Stage("a"),
        *COLLECTED[:2],
        events.JobEnded("a", "x", False, "x broke"),
        events.JobEnded("a", "y", False, "y broke"),
    )
    assert moves(brought)[-2:] == [State.COLLECTOR_FAILED, State.FAILED]
    assert brought[-2].reason == "x broke; y broke"
    assert stage.awaited == frozenset()


@pytest.mark.parametrize(
    "state",
    [
        State.RUNNING_COLLECTOR,
        State.COLLECTOR_COMPLETED,
        State.RUNNING_ALGORITHMS,
        State.ALGORITHMS_COMPLETED,
    ],
)
def test_an_own_calibration_goes_on_wherever_a_crash_left_it(state) -> None:
    _, brought = follow(Stage("a", own=True), events.Decided("a", state, 0))
    if state is State.RUNNING_COLLECTOR:
        assert brought == [effects.StartOwnRun("a")]
    else:
        assert brought[-1] == effects.Finish("a")
        assert effects.StartAlgorithms("a") not in brought
        assert moves(brought)[-1:] in ([State.ALGORITHMS_COMPLETED], [])


def test_a_failure_stops_only_those_that_depend_on_it() -> None:
    found = [Stage("a"), Stage("b", depends_on=("a",)), Stage("c", depends_on=("b",)), Stage("d")]
    system = {stage.name: stage for stage in found}
    system, brought = step.step(system, events.Begin())
    assert brought == (effects.Decide("a"), effects.Decide("d"))
    system, brought = step.step(system, events.Failed("a", "broken"))
    assert brought[1:] == (effects.Skip("b", "a"), effects.Skip("c", "b"))
    system, brought = step.step(system, events.Decided("d", State.COMPLETED, 0))
    assert brought == (effects.Stop(),)


@pytest.mark.parametrize("state", [State.INIT, State.RUNNING_COLLECTOR, State.COMPLETED, State.FAILED])
@pytest.mark.parametrize("own", [True, False])
def test_only_an_own_calibration_that_executes_tells_its_iteration(state, own) -> None:
    system = {"a": Stage("a", own=own, state=state, begun=state is not State.INIT)}
    system, brought = step.step(system, events.OwnIteration("a", 7, 20))
    noted = [effect for effect in brought if isinstance(effect, effects.NoteIteration)]
    counts = own and state is State.RUNNING_COLLECTOR
    assert noted == ([effects.NoteIteration("a", 7, 20)] if counts else [])
    assert system["a"].iteration == (7 if counts else 0)
