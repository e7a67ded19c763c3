"""How a calibration goes through its plan: every rule, for whatever happens in whatever order."""

from math import ceil
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from caf_service.engine import advance, is_late, overdue
from caf_service.events import (
    BeginStep,
    Broken,
    Died,
    Effect,
    End,
    Event,
    Killed,
    MakeUpdate,
    Reported,
    Resubmit,
    Resubmitted,
    Updated,
    UpdateFailed,
)
from caf_service.plan import Update
from caf_service.snapshot import Snapshot, State, Stop

ROUTE = (Stop(0, 0, "first.coarse", 3, True), Stop(0, 1, "first.fine", 2, False))
AGAIN, DONE = Update({"a": 1}, converged=False), Update({"a": 2}, converged=True)


def begun(workers: int = 10, quorum: float = 0.9) -> Snapshot:
    """A calibration at its first step."""
    return Snapshot(ROUTE, workers, quorum)


def after(one: Snapshot, *events: Event) -> tuple[Snapshot, list[Effect]]:
    """Where events lead, and all that was to be done."""
    everything: list[Effect] = []
    for event in events:
        one, effects = advance(one, event)
        everything += effects
    return one, everything


def step_of(one: Snapshot, update: Update) -> tuple[Snapshot, list[Effect]]:
    """A whole step, with the results of all."""
    reports = [Reported(worker, one.serial) for worker in range(one.workers)]
    return after(one, *reports, Updated(one.serial, update))


# Reports


@given(st.integers(1, 200), st.floats(0.001, 1.0))
def test_a_step_needs_its_quorum_and_never_nobody(workers: int, quorum: float) -> None:
    one = begun(workers, quorum)
    assert 1 <= one.needed <= workers
    assert one.needed >= quorum * workers - 1e-6
    assert one.needed - 1 < quorum * workers or one.needed == 1
    assert one.needed + one.spare == workers


@pytest.mark.parametrize(
    ("workers", "quorum", "needed"), [(10, 0.9, 9), (100, 0.9, 90), (20, 0.9, 18), (3, 0.9, 3), (7, 0.3, 3)]
)
def test_what_a_quorum_means(workers: int, quorum: float, needed: int) -> None:
    assert begun(workers, quorum).needed == needed


def test_a_step_ends_with_its_quorum_and_names_the_missing() -> None:
    one, effects = after(begun(), *(Reported(worker, 1) for worker in (9, 8, 7, 6, 5, 4, 3, 2)))
    assert effects == []
    one, effects = advance(one, Reported(0, 1))
    assert one.state is State.UPDATING
    assert effects == [MakeUpdate(1, (0, 2, 3, 4, 5, 6, 7, 8, 9), (1,))]
    assert is_late(one, 1)
    late, effects = advance(one, Reported(1, 1))
    assert (late, effects) == (one, [])


def test_a_report_counts_once() -> None:
    once = after(begun(), Reported(3, 1))
    assert after(begun(), Reported(3, 1), Reported(3, 1)) == once


@pytest.mark.parametrize("report", [Reported(10, 1), Reported(-1, 1), Reported(0, 2), Reported(0, 0)])
def test_a_report_of_nobody_or_of_another_step_does_not_count(report: Reported) -> None:
    assert after(begun(), report) == (begun(), [])


# Steps and phases


def test_a_phase_is_repeated_until_it_converges() -> None:
    one, effects = step_of(begun(), AGAIN)
    assert (one.at, one.step, one.serial, one.reported, one.used) == (0, 1, 2, frozenset(), ())
    assert effects[-1] == BeginStep(one.position, {"a": 1})
    one, effects = step_of(one, DONE)
    assert (one.at, one.step, one.serial) == (1, 0, 3)
    one, effects = step_of(one, DONE)
    assert one.state is State.FINISHED
    assert effects[-1] == End(State.FINISHED, "", {"a": 2})


def test_a_phase_that_does_not_converge_fails_at_its_maximum() -> None:
    one = begun()
    for _ in range(2):
        one, _ = step_of(one, AGAIN)
    one, effects = step_of(one, AGAIN)
    assert one.state is State.FAILED
    assert one.message == "phase first.coarse, step 2: not converged after 3 steps"
    assert effects[-1] == End(State.FAILED, one.message)


def test_a_phase_may_go_on_at_its_maximum() -> None:
    one, _ = step_of(begun(), DONE)
    one, _ = step_of(one, AGAIN)
    one, effects = step_of(one, AGAIN)
    assert one.state is State.FINISHED
    assert effects[-1] == End(State.FINISHED, "", {"a": 1})


def test_an_update_that_fails_is_an_error_and_never_convergence() -> None:
    one, _ = after(begun(1), Reported(0, 1))
    one, effects = advance(one, UpdateFailed(1, "there are no results"))
    assert (one.state, one.message) == (
        State.FAILED,
        "phase first.coarse, step 0: there are no results",
    )
    assert effects == [End(State.FAILED, one.message)]


@pytest.mark.parametrize("event", [Updated(1, DONE), UpdateFailed(1, "no")])
def test_an_update_that_nobody_waits_for_changes_nothing(event: Event) -> None:
    assert after(begun(), event) == (begun(), [])
    updating, _ = after(begun(1), Reported(0, 1))
    assert after(updating, evolve(event, serial=2)) == (updating, [])


# Deaths


@given(st.integers(1, 100), st.floats(0.05, 1.0))
def test_the_dead_are_submitted_again_before_the_quorum_is_out_of_reach(workers: int, quorum: float) -> None:
    one = begun(workers, quorum)
    enough = workers - ceil(round(quorum * workers, 9)) + 1
    enough = min(enough, workers - 1)  # as many deaths as workers end it
    for dead in range(1, enough):
        one, effects = advance(one, Died([dead - 1], 0.0))
        assert effects == []
        assert overdue(one, 1.0, 600.0) == []
    if enough >= 1 and workers > 1:
        one, effects = advance(one, Died([enough - 1], 0.0))
        wanted = [Resubmit(tuple(range(enough)))] if enough > one.spare else []
        assert effects == wanted == overdue(one, 1.0, 600.0)


def test_the_dead_wait_no_longer_than_they_must() -> None:
    one, effects = after(begun(20), Died([4], 100.0), Died([2], 200.0))
    assert effects == []
    assert overdue(one, 699.0, 600.0) == []
    assert overdue(one, 700.0, 600.0) == [Resubmit((2, 4))]
    # Who will have died was written down by an earlier process, whose clock was ahead.
    assert overdue(one, 99.0, 600.0) == [Resubmit((2, 4))]
    back, _ = advance(one, Resubmitted([2, 4]))
    assert (back.dead, back.failures, back.resubmissions) == ({}, 2, 1)
    assert overdue(back, 10_000.0, 600.0) == []


def test_as_many_failures_as_workers_end_it() -> None:
    one = begun(3, 0.3)
    for number in range(2):
        one, _ = after(one, Died([0], float(number)), Resubmitted([0]))
        assert one.state is State.RUNNING
    one, effects = advance(one, Died([0], 3.0, "out of memory"))
    assert one.state is State.FAILED
    assert one.message == "3 workers have failed, as many as there are; the last one, worker 0: out of memory"
    assert effects == [End(State.FAILED, one.message)]


def test_a_death_counts_once() -> None:
    once = after(begun(), Died([1], 0.0))
    assert after(begun(), Died([1, 1], 0.0)) == once
    assert after(begun(), Died([1], 0.0), Died([1], 5.0)) == once
    assert after(begun(), Died([10, -1], 0.0))[0].failures == 0


def test_whoever_is_excused_has_not_failed() -> None:
    everybody = list(range(4))
    one = begun(4)
    for serial in (1, 2):
        one, effects = advance(one, Died(everybody, 0.0, "time limit", everybody))
        assert (one.state, one.failures, sorted(one.dead)) == (State.RUNNING, 0, everybody)
        assert effects == [Resubmit(tuple(everybody))]
        one, _ = advance(one, Resubmitted(everybody))
        assert one.serial == serial
        one, _ = step_of(one, AGAIN)


def test_nobody_is_excused_for_ever() -> None:
    # Their time limit is shorter than a step.
    one, _ = after(begun(2), Died([0, 1], 0.0, "", [0, 1]), Resubmitted([0, 1]))
    assert (one.state, one.failures) == (State.RUNNING, 0)
    one, _ = advance(one, Died([0, 1], 1.0, "time limit", [0, 1]))
    assert one.state is State.FAILED


# Ends


@pytest.mark.parametrize(
    ("event", "state", "message"),
    [
        (Killed("ada"), State.KILLED, "killed by ada"),
        (Broken("there is no such backend"), State.FAILED, "there is no such backend"),
    ],
)
def test_how_it_may_end(event: Event, state: State, message: str) -> None:
    for one in (begun(), after(begun(1), Reported(0, 1))[0]):
        ended, effects = advance(one, event)
        assert (ended.state, ended.message) == (state, message)
        assert effects == [End(state, message)]


def events(workers: int) -> st.SearchStrategy[Any]:
    """Anything that may happen, sensible or not."""
    numbers, serials = st.integers(-1, workers), st.integers(0, 6)
    several = st.lists(numbers, max_size=3)
    return st.one_of(
        st.builds(Reported, numbers, serials),
        st.builds(Died, several, st.floats(0, 100), st.just(""), several),
        st.builds(Resubmitted, several),
        st.builds(Updated, serials, st.sampled_from([AGAIN, DONE])),
        st.builds(UpdateFailed, serials, st.just("no peak")),
        st.builds(Killed, st.just("ada")),
    )


@given(st.data())
def test_whatever_happens(data: st.DataObject) -> None:
    workers = data.draw(st.integers(1, 6))
    one = begun(workers, data.draw(st.sampled_from([0.2, 0.5, 0.9, 1.0])))
    for event in data.draw(st.lists(events(workers), max_size=40)):
        before = one
        one, effects = advance(before, event)
        if before.state.ended:
            assert (one, effects) == (before, [])
            continue
        check(before, one, effects)


def check(before: Snapshot, one: Snapshot, effects: list[Effect]) -> None:
    """What holds after every event."""
    assert one.serial - before.serial in (0, 1)
    assert one.failures >= before.failures
    assert one.reported <= set(range(one.workers))
    assert set(one.dead) <= set(range(one.workers))
    assert sum(isinstance(effect, End) for effect in effects) == one.state.ended
    assert one.state is not State.FINISHED or before.state is State.UPDATING
    assert one.state.ended or one.failures < one.workers
    assert (one.serial > before.serial) == any(isinstance(effect, BeginStep) for effect in effects)
    for effect in effects:
        if isinstance(effect, MakeUpdate):
            assert len(effect.used) >= one.needed >= 1
            assert sorted([*effect.used, *effect.missing]) == list(range(one.workers))
            assert set(effect.used) == set(one.reported)
    if one.state is State.UPDATING and before.state is State.UPDATING:
        assert (one.used, one.reported) == (before.used, before.reported)
