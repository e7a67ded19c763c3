"""Tasks that others ended, held, requeued or accepted twice: the scheduler and the claim decide."""

from datetime import timedelta
from itertools import count

import pytest
from attrs import evolve

from caf_core.jobs.backend import Capabilities, Report, SchedulerState
from caf_core.jobs.effects import AskSoon, Cancel, Reissue, Release, ScanRecords, Search
from caf_core.jobs.ledger import FailureKind
from caf_core.jobs.task import Resources
from caf_core.jobs.terms import Terms
from caf_core.jobs.tracker import Tracker

TERMS = Terms(Capabilities(grace=timedelta(seconds=60), find_again_after=timedelta(seconds=120)))
QUEUED, RUNNING, ENDED, HELD = (
    Report(SchedulerState.QUEUED),
    Report(SchedulerState.RUNNING),
    Report(SchedulerState.ENDED),
    Report(SchedulerState.HELD, reason="memory", failure="out_of_memory"),
)
CANCELLED = {"exit_code": None, "signal": 15, "failure": "cancelled"}
KILLED = {"exit_code": None, "signal": 9, "failure": "exit_code"}


@pytest.fixture
def tokens():
    numbers = count()
    return lambda: f"t{next(numbers)}"


@pytest.fixture
def make(tokens):
    """A tracker of one task that executes as job ``a``."""

    def make(terms=TERMS):
        tracker = Tracker(1, terms)
        tracker.begin()
        tracker.next_submission(None, tokens)
        tracker.issued("t0", ["a"], 0.0)
        tracker.polled("t0", {0: RUNNING}, 1.0)
        tracker.take_effects()
        return tracker

    return make


def record(**fields):
    return {0: {"token": "t0", "position": 0, "attempt": 1, "exit_code": 0, **fields}}


def told(tracker):
    change = tracker.change(0)
    return change.state.value, change.failure


@pytest.mark.parametrize("content", [CANCELLED, KILLED])
def test_the_scheduler_is_asked_why(make, content):
    tracker = make()
    tracker.recorded("t0", record(**content), {}, 2.0, 2.0)
    assert told(tracker) == ("running", None)
    assert AskSoon() in tracker.take_effects()
    report = evolve(ENDED, failure="walltime", reason="TIMEOUT")
    tracker.polled("t0", {0: report}, 3.0)
    assert tracker.change(0).reason == "TIMEOUT"
    assert told(tracker)[1] is FailureKind.WALLTIME


@pytest.mark.parametrize("content", [CANCELLED, KILLED, KILLED | {"exit_code": 137, "signal": None}])
@pytest.mark.parametrize("answer", [ENDED, evolve(ENDED, failure="exit_code"), None])
def test_a_scheduler_that_does_not_know_why(make, content, answer):
    tracker = make(evolve(TERMS, retry=TERMS.retry.never()))
    tracker.recorded("t0", record(**content), {}, 2.0, 2.0)
    tracker.polled("t0", {0: answer}, 3.0)
    assert told(tracker) == ("failed", FailureKind.NODE_LOST)


def test_what_the_scheduler_executes_again_is_waited_for(make):
    tracker = make()
    tracker.recorded("t0", record(**CANCELLED), {}, 2.0, 2.0)
    tracker.polled("t0", {0: QUEUED}, 3.0)
    assert told(tracker) == ("submitted", None)
    assert tracker.change(0).reason == "queued again by the scheduler"
    tracker.take_effects()
    tracker.recorded("t0", {}, {}, 4.0, 4.0)  # its second execution took the record away
    tracker.polled("t0", {0: RUNNING}, 5.0)
    assert told(tracker) == ("running", None)
    assert AskSoon() not in tracker.take_effects()
    tracker.recorded("t0", record(), {}, 6.0, 6.0)
    assert told(tracker) == ("completed", None)
    assert tracker.change(0).attempt == 1


def test_it_is_asked_again_while_it_says_that_it_still_executes(make):
    tracker = make()
    tracker.recorded("t0", record(**CANCELLED), {}, 2.0, 2.0)
    tracker.take_effects()
    tracker.polled("t0", {0: RUNNING}, 3.0)
    assert AskSoon() in tracker.take_effects()
    assert told(tracker) == ("running", None)


def test_what_the_user_cancelled_needs_no_explanation(make):
    tracker = make()
    tracker.cancel(2.0)
    tracker.recorded("t0", record(**CANCELLED), {}, 3.0, 3.0)
    assert told(tracker) == ("failed", FailureKind.CANCELLED)


def test_without_a_scheduler_to_ask_it_is_tried_again(make):
    can = Capabilities(poll_interval=None, grace=timedelta(0), find_again_after=None)
    tracker = make(evolve(TERMS, capabilities=can))
    tracker.recorded("t0", record(**CANCELLED), {}, 2.0, 2.0)
    assert told(tracker) == ("init", FailureKind.NODE_LOST)
    assert tracker.pending == 1


def test_a_submission_accepted_twice_is_followed_by_its_claim(make):
    tracker = make()
    tracker.polled("t0", {0: ENDED}, 2.0)
    tracker.tick(62.0)
    assert ScanRecords("t0", (0,)) in tracker.take_effects()
    tracker.recorded("t0", {}, {}, 62.0, 62.0, {0: "b"})
    assert told(tracker) == ("running", None)
    assert list(tracker.outstanding()) == [("t0", 0, "b")]
    tracker.polled("t0", {0: ENDED}, 63.0)
    tracker.tick(123.0)
    tracker.recorded("t0", {}, {}, 123.0, 123.0, {0: "b"})
    assert told(tracker) == ("init", FailureKind.NODE_LOST)


def test_a_held_task_is_released_with_more_memory(make, tokens):
    can = evolve(TERMS.capabilities, releases=True)
    tracker = make(evolve(TERMS, capabilities=can, resources=Resources(memory_mb=100)))
    for memory in (151, 227):
        tracker.polled("t0", {0: HELD}, 2.0)
        assert Release("t0", ("a",), Resources(memory_mb=memory)) in tracker.take_effects()
        assert told(tracker) == ("submitted", None)
        assert f"{memory} MB" in tracker.change(0).reason
    tracker.polled("t0", {0: HELD}, 3.0)  # three attempts is what the policy gives
    assert Cancel("t0", ("a",)) in tracker.take_effects()
    assert told(tracker) == ("failed", FailureKind.OUT_OF_MEMORY)
    assert tracker.change(0).reason == "memory; was held, and released with 151 MB, then 227 MB"


def test_a_released_task_that_completes_tells_of_it(make):
    can = evolve(TERMS.capabilities, releases=True)
    tracker = make(evolve(TERMS, capabilities=can, resources=Resources(memory_mb=100)))
    tracker.polled("t0", {0: HELD}, 2.0)
    tracker.recorded("t0", record(), {}, 3.0, 3.0)
    assert told(tracker) == ("completed", None)
    assert tracker.change(0).reason == "was held, and released with 151 MB"


def test_a_held_task_that_cannot_be_released_is_submitted_again(make, tokens):
    can = evolve(TERMS.capabilities, releases=True)
    tracker = make(evolve(TERMS, capabilities=can, resources=Resources(memory_mb=100)))
    tracker.polled("t0", {0: HELD}, 2.0)
    tracker.take_effects()
    tracker.released("t0", ("a",), "no permission", 3.0)
    assert Cancel("t0", ("a",)) in tracker.take_effects()
    assert tracker.next_submission(None, tokens).resources.memory_mb > 151


def test_a_full_queue_is_waited_for_however_long_it_takes(tokens):
    tracker = Tracker(1, TERMS)
    tracker.begin()
    tracker.next_submission(None, tokens)
    now = 0.0
    for _ in range(50):
        tracker.doubtful("t0", "the queue is full", now, full=True)
        for _ in range(2):
            tracker.tick(now)
            tracker.found("t0", {}, now)
            now += 120.0
        tracker.tick(now + 60.0)
        now += 60.0
        assert Reissue("t0") in tracker.take_effects()


def test_an_expired_credential_pauses_and_does_not_fail(tokens):
    tracker = Tracker(1, TERMS)
    tracker.begin()
    tracker.next_submission(None, tokens)
    now = 0.0
    for _ in range(20):
        tracker.doubtful("t0", "the ticket has expired", now, kind=FailureKind.CREDENTIALS)
        assert tracker.change(0).reason == "the ticket has expired"
        for _ in range(2):
            tracker.tick(now)
            assert Search("t0") in tracker.take_effects()
            tracker.found("t0", {}, now)
            now += 120.0
        tracker.tick(now + 600.0)
        now += 600.0
        assert Reissue("t0") in tracker.take_effects()
    tracker.issued("t0", ["a"], now)
    assert told(tracker) == ("submitted", None)
    assert not tracker.change(0).reason
