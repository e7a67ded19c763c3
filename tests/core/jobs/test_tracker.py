"""The state of a job's tasks, event by event, with made-up times."""

from datetime import timedelta
from itertools import count

import pytest
from attrs import evolve

from caf_core.jobs.backend import Capabilities, Report, SchedulerState
from caf_core.jobs.effects import AskSoon, Cancel, Reissue, ScanRecords, Search, Settle, SplitTask
from caf_core.jobs.ledger import FailureKind, Intent, IntentState, JobRecord, TaskChange, TaskState
from caf_core.jobs.recovery import restore
from caf_core.jobs.retry import Remedy, RetryPolicy, Rule
from caf_core.jobs.task import Resources
from caf_core.jobs.terms import Terms
from caf_core.jobs.tracker import Tracker

POLLED = Capabilities(grace=timedelta(seconds=60), find_again_after=timedelta(seconds=120))
TERMS = Terms(POLLED)


@pytest.fixture
def tokens():
    numbers = count()
    return lambda: f"t{next(numbers)}"


def make(size, terms=TERMS, **kwargs):
    tracker = Tracker(size, terms, **kwargs)
    tracker.begin()
    return tracker


def record(token, position, **fields):
    return {position: {"token": token, "position": position, "attempt": 1, "exit_code": 0, **fields}}


def states(tracker):
    return [tracker.change(index).state.value for index in range(len(tracker.rows))]


def test_jobs_are_cut_by_array_limit_and_room(tokens):
    tracker = make(10, evolve(TERMS, capabilities=Capabilities(array_limit=4)))
    sizes = [len(tracker.next_submission(room, tokens).tasks) for room in (None, 3, 100)]
    assert sizes == [4, 3, 3]
    assert tracker.next_submission(None, tokens) is None
    assert tracker.next_submission(0, tokens) is None


def test_from_submission_to_the_end(tokens):
    tracker = make(2)
    start = tracker.next_submission(None, tokens)
    assert states(tracker) == ["init", "init"]
    tracker.issued(start.token, ["7.0", "7.1"], 10.0)
    assert tracker.take_effects() == [Settle("t0", IntentState.ISSUED, ("7.0", "7.1")), AskSoon(5.0)]
    assert list(tracker.outstanding()) == [("t0", 0, "7.0"), ("t0", 1, "7.1")]
    tracker.reported("t0", {0: Report(SchedulerState.RUNNING, host="n1")}, 11.0)
    assert states(tracker) == ["running", "submitted"]
    tracker.recorded("t0", record("t0", 0, host="n1") | record("t0", 1, exit_code=3), {}, 12.0, 12.0)
    assert states(tracker) == ["completed", "failed"]
    assert tracker.ended and not tracker.success and tracker.fraction == 0.5
    assert tracker.take_effects() == [Settle("t0", IntentState.ENDED)]
    change = tracker.change(0)
    assert (change.token, change.scheduler_id, change.host, change.attempt) == ("t0", "7.0", "n1", 1)


def test_min_fraction(tokens):
    tracker = make(2, evolve(TERMS, min_fraction=0.5))
    tracker.next_submission(None, tokens)
    tracker.issued("t0", ["a", "b"], 0.0)
    tracker.recorded("t0", record("t0", 0) | record("t0", 1, exit_code=1), {}, 1.0, 1.0)
    assert tracker.ended and tracker.success


def test_changes_are_told_once_and_each_failed_attempt_too(tokens):
    tracker = make(1)
    tracker.next_submission(None, tokens)
    tracker.issued("t0", ["a"], 0.0)
    tracker.recorded("t0", record("t0", 0, exit_code=None, failure="node_lost"), {}, 1.0, 1.0)
    tracker.next_submission(None, tokens)
    tracker.issued("t1", ["b"], 2.0)
    told = [(change.attempt, change.state.value, change.token) for change in tracker.take_changes()]
    assert told == [(1, "failed", "t0"), (2, "submitted", "t1")]
    assert tracker.take_changes() == []


def test_news_of_an_older_attempt_count_for_nothing(tokens):
    tracker = make(1)
    tracker.next_submission(None, tokens)
    tracker.issued("t0", ["a"], 0.0)
    tracker.reported("t0", {0: Report(SchedulerState.ENDED)}, 0.0)
    tracker.recorded("t0", {}, {}, 60.0, 60.0)
    assert states(tracker) == ["init"]  # lost, and about to be tried again
    tracker.recorded("t0", record("t0", 0), {}, 61.0, 61.0)
    tracker.next_submission(None, tokens)
    tracker.issued("t1", ["b"], 62.0)
    tracker.recorded("t0", record("t0", 0), {}, 63.0, 63.0)
    tracker.reported("t0", {0: Report(SchedulerState.RUNNING)}, 63.0)
    assert states(tracker) == ["submitted"]
    assert tracker.change(0).attempt == 2


def test_a_scheduler_that_does_not_answer_fails_nobody(tokens):
    tracker = make(1)
    tracker.next_submission(None, tokens)
    tracker.issued("t0", ["a"], 0.0)
    for minute in range(60):
        tracker.tick(60.0 * minute)
        tracker.recorded("t0", {}, {}, 60.0 * minute, 60.0 * minute)
    assert states(tracker) == ["submitted"]


def test_absence_begins_with_an_answer_and_is_taken_back(tokens):
    tracker = make(1)
    tracker.next_submission(None, tokens)
    tracker.issued("t0", ["a"], 0.0)
    tracker.polled("t0", {0: None}, 100.0)
    tracker.polled("t0", {0: Report(SchedulerState.RUNNING)}, 130.0)
    tracker.recorded("t0", {}, {}, 200.0, 200.0)
    assert states(tracker) == ["running"]
    tracker.polled("t0", {0: None}, 210.0)
    tracker.polled("t0", {0: Report(SchedulerState.UNKNOWN)}, 220.0)
    tracker.recorded("t0", {}, {}, None, 280.0)  # the directory could not be read
    assert tracker.next_deadline() > 280.0  # and is not read again in a tight loop
    assert states(tracker) == ["running"]
    tracker.recorded("t0", {}, {}, 270.0, 281.0)
    assert tracker.change(0).state is TaskState.INIT
    assert tracker.take_changes()[0].failure is FailureKind.NODE_LOST


def test_a_record_that_cannot_be_read_is_named_when_the_task_is_given_up(tokens):
    tracker = make(1, evolve(TERMS, retry=RetryPolicy.never()))
    tracker.next_submission(None, tokens)
    tracker.issued("t0", ["a"], 0.0)
    tracker.polled("t0", {0: None}, 1.0)
    tracker.recorded("t0", {}, {0: "records/0.json is not JSON"}, 61.0, 61.0)
    assert "records/0.json is not JSON" in tracker.change(0).reason


def test_a_silent_submission_is_searched_twice_before_it_is_issued_again(tokens):
    tracker = make(1)
    tracker.next_submission(None, tokens)
    tracker.doubtful("t0", "no answer", 0.0)
    tracker.tick(0.0)
    assert tracker.take_effects() == [Search("t0"), ScanRecords("t0")]
    tracker.recorded("t0", {}, {}, 0.0, 0.0)
    tracker.found("t0", {}, 1.0)
    tracker.tick(120.0)
    assert Search("t0") not in tracker.take_effects()
    tracker.recorded("t0", {}, {}, 120.0, 120.0)
    tracker.search_failed("t0", 120.5)  # no answer is not the answer "none"
    tracker.tick(151.0)
    assert Search("t0") in tracker.take_effects()
    tracker.found("t0", {}, 151.0)
    tracker.tick(200.0)
    assert Reissue("t0") in tracker.take_effects()  # under the same token, so that the claims hold
    assert tracker.next_submission(None, tokens) is None
    tracker.issued("t0", ["a"], 201.0)
    assert states(tracker) == ["submitted"]


def test_a_silent_submission_that_is_found_goes_on(tokens):
    tracker = make(2)
    tracker.next_submission(None, tokens)
    tracker.doubtful("t0", "no answer", 0.0)
    tracker.found("t0", {0: "9.0", 1: "9.1"}, 1.0)
    assert states(tracker) == ["submitted", "submitted"]
    assert tracker.change(1).scheduler_id == "9.1"


def test_a_record_proves_that_a_silent_submission_was_accepted(tokens):
    tracker = make(2)
    tracker.next_submission(None, tokens)
    tracker.doubtful("t0", "no answer", 0.0)
    tracker.recorded("t0", record("t0", 0), {}, 1.0, 1.0)
    tracker.found("t0", {}, 2.0)
    tracker.found("t0", {}, 200.0)
    tracker.tick(400.0)
    assert not [effect for effect in tracker.take_effects() if isinstance(effect, Reissue)]
    tracker.recorded("t0", record("t0", 1), {}, 401.0, 401.0)
    assert states(tracker) == ["completed", "completed"]


@pytest.mark.parametrize(("patience", "often"), [(timedelta(0), 3), (timedelta(hours=6), 8)])
def test_a_submission_is_not_issued_for_ever(tokens, patience, often):
    """Nobody takes it and nobody refuses it: that goes on for hours, and three times at least."""
    tracker = make(1, evolve(TERMS, retry=RetryPolicy(patience=patience)))
    tracker.next_submission(None, tokens)
    issues = 1
    now = 0.0
    tracker.doubtful("t0", "no answer", now)
    while not tracker.ended:
        now += 1000.0
        tracker.tick(now)
        for effect in tracker.take_effects():
            if isinstance(effect, Search):
                tracker.found("t0", {}, now)
            if isinstance(effect, Reissue):
                issues += 1
                tracker.doubtful("t0", "no answer", now)
    assert issues == often
    assert now >= patience.total_seconds()
    assert tracker.change(0).failure is FailureKind.SUBMISSION
    assert tracker.change(0).reason == "no answer"


def test_a_refused_submission_fails_its_tasks_at_once(tokens):
    tracker = make(1)
    tracker.next_submission(None, tokens)
    tracker.refused("t0", "no such queue", 0.0)
    assert tracker.ended
    assert (tracker.change(0).failure, tracker.change(0).reason) == (FailureKind.SUBMISSION, "no such queue")


def test_more_memory_goes_into_the_next_submission_and_only_what_failed(tokens):
    tracker = make(2, evolve(TERMS, resources=Resources(memory_mb=1000)))
    tracker.next_submission(None, tokens)
    tracker.issued("t0", ["a", "b"], 0.0)
    records = record("t0", 0) | record("t0", 1, exit_code=None, signal=9, failure="out_of_memory")
    tracker.recorded("t0", records, {}, 1.0, 1.0)
    again = tracker.next_submission(None, tokens)
    assert (again.tasks, again.attempts, again.resources.memory_mb) == ((1,), (2,), 1501)


def test_a_delayed_attempt_waits_for_its_time(tokens):
    policy = RetryPolicy().with_rule(FailureKind.EXIT_CODE, Rule(Remedy.AGAIN, 2, timedelta(seconds=30)))
    tracker = make(1, evolve(TERMS, retry=policy))
    tracker.next_submission(None, tokens)
    tracker.issued("t0", ["a"], 0.0)
    tracker.recorded("t0", record("t0", 0, exit_code=1), {}, 5.0, 5.0)
    assert tracker.next_submission(None, tokens) is None and not tracker.ended
    assert tracker.next_deadline() == 35.0
    tracker.tick(35.0)
    assert tracker.next_submission(None, tokens).attempts == (2,)


def test_splitting_isolates_a_bad_file(tokens):
    """Four files, the third is bad: three quarters of the task succeed."""
    policy = RetryPolicy().with_rule(FailureKind.EXIT_CODE, Rule(Remedy.SPLIT))
    contents = {0: ["a", "b", "BAD", "d"]}
    tracker = Tracker(1, evolve(TERMS, retry=policy, min_fraction=0.7), lambda index: len(contents[index]))
    tracker.begin()
    while start := tracker.next_submission(None, tokens):
        tracker.issued(start.token, [str(i) for i in start.tasks], 0.0)
        for position, index in enumerate(start.tasks):
            code = int("BAD" in contents[index])
            tracker.recorded(start.token, record(start.token, position, exit_code=code), {}, 0.0, 0.0)
        for effect in tracker.take_effects():
            if isinstance(effect, SplitTask):
                files = contents[effect.parent]
                half = (len(files) + 1) // 2
                contents |= {effect.children[0]: files[:half], effect.children[1]: files[half:]}
    assert [contents[index] for index in tracker.leaves()] == [["a", "b"], ["BAD"], ["d"]]
    assert [contents[index] for index in tracker.completed] == [["a", "b"], ["d"]]
    assert tracker.ended and tracker.fraction == 0.75 and tracker.success
    counts, failures = tracker.counts()
    assert counts[TaskState.COMPLETED] == 2 and failures == {FailureKind.EXIT_CODE: 1}


@pytest.mark.parametrize(("allowed", "success"), [(0, False), (1, False), (2, True), (3, True)])
def test_files_that_keep_failing_are_set_aside_up_to_a_number(tokens, allowed, success):
    """Two files, each alone in its task, fail in each attempt; a third fails for lack of a machine."""
    tracker = Tracker(3, evolve(TERMS, retry=RetryPolicy.isolating(allowed)), lambda _: 1)
    tracker.begin()
    attempts = []
    while start := tracker.next_submission(None, tokens):
        attempts.append(start.tasks)
        tracker.issued(start.token, [str(i) for i in start.tasks], 0.0)
        for position, (index, attempt) in enumerate(zip(start.tasks, start.attempts, strict=True)):
            news = record(start.token, position, exit_code=int(index < 2), attempt=attempt)
            tracker.recorded(start.token, news, {}, 0.0, 0.0)
    assert attempts == [(0, 1, 2), (0, 1)]
    assert tracker.ended and tracker.success is success
    assert tracker.quarantined == ([0, 1] if success else [])


def test_a_task_that_was_lost_sets_no_file_aside(tokens):
    tracker = Tracker(1, evolve(TERMS, retry=RetryPolicy(quarantine=5)), lambda _: 1)
    tracker.begin()
    while start := tracker.next_submission(None, tokens):
        tracker.issued(start.token, ["a"], 0.0)
        lost = record(start.token, 0, exit_code=None, failure="node_lost", attempt=start.attempts[0])
        tracker.recorded(start.token, lost, {}, 0.0, 0.0)
    assert tracker.ended and not tracker.success and not tracker.quarantined


def test_cancel(tokens):
    tracker = make(4, evolve(TERMS, capabilities=evolve(POLLED, array_limit=2)))
    tracker.next_submission(None, tokens)
    tracker.issued("t0", ["a", "b"], 0.0)
    tracker.recorded("t0", record("t0", 0), {}, 1.0, 1.0)
    tracker.take_effects()
    tracker.cancel(2.0)
    assert tracker.take_effects() == [Cancel("t0", ("b",))]
    assert tracker.next_submission(None, tokens) is None
    tracker.recorded("t0", record("t0", 1, exit_code=None, signal=15), {}, 3.0, 3.0)
    assert tracker.ended
    assert [tracker.change(index).failure for index in range(4)] == [None] + 3 * [FailureKind.CANCELLED]


def test_retry_failed_by_hand_has_a_fresh_budget(tokens):
    tracker = make(2)
    tracker.next_submission(None, tokens)
    tracker.issued("t0", ["a", "b"], 0.0)
    tracker.recorded("t0", record("t0", 0) | record("t0", 1, exit_code=1), {}, 1.0, 1.0)
    tracker.retry_failed()
    start = tracker.next_submission(None, tokens)
    assert (start.tasks, start.attempts) == ((1,), (2,))
    tracker.issued("t1", ["c"], 2.0)
    tracker.recorded("t1", record("t1", 0, attempt=2, failure="node_lost", exit_code=None), {}, 3.0, 3.0)
    assert tracker.next_submission(None, tokens).attempts == (3,)


def test_held_tasks_are_removed_and_tried_again(tokens):
    tracker = make(1)
    tracker.next_submission(None, tokens)
    tracker.issued("t0", ["a"], 0.0)
    tracker.take_effects()
    tracker.reported("t0", {0: Report(SchedulerState.HELD, reason="by user")}, 0.0)
    assert tracker.change(0).reason == "by user"
    tracker.tick(tracker.terms.held_for)
    assert Cancel("t0", ("a",)) in tracker.take_effects()
    assert tracker.next_submission(None, tokens).attempts == (2,)


def intent(token, tasks, attempts, tmp_path):
    return Intent(token, "job", "b", tmp_path, tasks, attempts)


def restored(size, record, capabilities=POLLED):
    tracker = Tracker(size, Terms(capabilities))
    restore(tracker, record, (), lambda _: Resources(), 100.0)
    tracker.tick(100.0)
    return tracker


def test_after_a_crash_an_intent_is_searched_for_before_anything_else(tmp_path, tokens):
    ledger = JobRecord(intents={"old": (intent("old", (0, 1), (1, 1), tmp_path), IntentState.INTENDED, ())})
    tracker = restored(3, ledger)
    assert Search("old") in tracker.take_effects()
    assert tracker.next_submission(None, tokens).tasks == (2,)
    tracker.found("old", {}, 101.0)
    tracker.tick(300.0)
    tracker.found("old", {}, 300.0)
    tracker.tick(300.0)
    assert Reissue("old") in tracker.take_effects()


def test_after_a_crash_issued_tasks_are_read_and_asked_for(tmp_path, tokens):
    done = TaskChange(0, TaskState.COMPLETED, 1, "old")
    ledger = JobRecord(
        {0: done}, {"old": (intent("old", (0, 1), (1, 1), tmp_path), IntentState.ISSUED, ("a", "b"))}
    )
    tracker = restored(2, ledger)
    assert ScanRecords("old") in tracker.take_effects()
    assert list(tracker.outstanding()) == [("old", 1, "b")]
    assert tracker.ended_positions("old") == [0]
    assert tracker.next_submission(None, tokens) is None


def test_after_a_crash_a_decided_retry_is_not_forgotten(tmp_path, tokens):
    lost = TaskChange(0, TaskState.FAILED, 1, "old", failure=FailureKind.NODE_LOST)
    ledger = JobRecord({0: lost}, {"old": (intent("old", (0,), (1,), tmp_path), IntentState.ENDED, ("a",))})
    assert restored(1, ledger).next_submission(None, tokens).attempts == (2,)


def test_after_a_crash_a_backend_that_notifies_is_asked_what_it_still_has(tmp_path):
    capabilities = Capabilities(poll_interval=None, grace=timedelta(0), find_again_after=None)
    entry = (intent("old", (0, 1), (1, 1), tmp_path), IntentState.ISSUED, ("a", "b"))
    tracker = restored(2, JobRecord(intents={"old": entry}), capabilities)
    assert Search("old") in tracker.take_effects()
    tracker.recorded("old", {}, {}, 100.0, 100.0)
    tracker.found("old", {0: "a"}, 101.0)
    tracker.tick(101.0)
    assert ScanRecords("old", (1,)) in tracker.take_effects()
    tracker.recorded("old", {}, {}, 101.0, 101.0)
    assert states(tracker) == ["submitted", "init"]
