"""What follows from the evidence about a task."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from caf_core.jobs.backend import Report, SchedulerState
from caf_core.jobs.evidence import Evidence, judge
from caf_core.jobs.ledger import FailureKind, TaskState

RUNNING = Evidence(attempt=2, state=TaskState.RUNNING, grace=60.0)
ENDED = (TaskState.FAILED, TaskState.COMPLETED)


def record(**fields):
    return {"attempt": 2, "exit_code": 0, "signal": None, "failure": None, "message": "", **fields}


def test_a_record_of_this_attempt_ends_it():
    assert judge(evolve(RUNNING, record=record()), 0.0).state is TaskState.COMPLETED
    failed = judge(evolve(RUNNING, record=record(exit_code=7)), 0.0)
    assert (failed.state, failed.failure, failed.reason) == (
        TaskState.FAILED,
        FailureKind.EXIT_CODE,
        "exit code 7",
    )


def test_a_record_of_an_older_attempt_never_counts():
    old = record(attempt=1)
    assert judge(evolve(RUNNING, record=old), 1e9).state is TaskState.RUNNING
    lost = judge(evolve(RUNNING, record=old, gone_since=0.0, scanned_at=60.0), 60.0)
    assert (lost.state, lost.failure) == (TaskState.FAILED, FailureKind.NODE_LOST)


def test_exit_code_zero_with_a_named_failure_is_a_failure():
    verdict = judge(evolve(RUNNING, record=record(failure="bad_output", message="no *.root")), 0.0)
    assert (verdict.failure, verdict.reason) == (FailureKind.BAD_OUTPUT, "no *.root")


def test_a_failure_kind_from_a_newer_version_is_still_a_failure():
    assert judge(evolve(RUNNING, record=record(failure="moonlight")), 0.0).failure is FailureKind.EXIT_CODE


@pytest.mark.parametrize(
    ("own", "reported", "kind"),
    [
        (
            {"exit_code": None, "signal": 9, "failure": "exit_code"},
            "out_of_memory",
            FailureKind.OUT_OF_MEMORY,
        ),
        ({"exit_code": 1}, "walltime", FailureKind.WALLTIME),
        ({"exit_code": 0, "failure": "bad_output"}, "out_of_memory", FailureKind.BAD_OUTPUT),
        ({"exit_code": 0}, None, None),
    ],
)
def test_the_scheduler_may_say_why_but_not_whether(own, reported, kind):
    report = Report(SchedulerState.ENDED, failure=reported, reason="its words")
    assert judge(evolve(RUNNING, record=record(**own), report=report), 0.0).failure is kind


def test_a_success_stays_one_whatever_the_scheduler_says_of_its_exit_code():
    report = Report(SchedulerState.ENDED, exit_code=1)
    assert judge(evolve(RUNNING, record=record(), report=report), 0.0).state is TaskState.COMPLETED


def test_lost_only_after_the_grace_period_and_a_fresh_reading():
    gone = evolve(RUNNING, gone_since=100.0)
    early = judge(gone, 130.0)
    assert (early.state, early.scan_from) == (TaskState.RUNNING, 160.0)
    # Late by the clock, but the records were last read before the period was over.
    assert judge(evolve(gone, scanned_at=159.9), 1e6).state is TaskState.RUNNING
    assert judge(evolve(gone, scanned_at=None), 1e6).state is TaskState.RUNNING
    lost = judge(evolve(gone, scanned_at=160.0), 160.0)
    assert (lost.state, lost.failure) == (TaskState.FAILED, FailureKind.NODE_LOST)


@pytest.mark.parametrize(
    ("code", "signal", "kind"),
    [
        (7, None, FailureKind.EXIT_CODE),  # lines at the head of the script
        *[(code, None, FailureKind.NODE_LOST) for code in (None, 0, 125, 126, 127, 137, 143)],
        (None, 9, FailureKind.NODE_LOST),
    ],
)
def test_how_a_job_ended_tells_whether_its_node_was_the_reason(code, signal, kind):
    report = Report(SchedulerState.ENDED, code, signal, "its words")
    gone = evolve(RUNNING, gone_since=0.0, scanned_at=60.0, report=report)
    assert judge(gone, 60.0).failure is kind


def test_the_schedulers_reason_for_an_ending_without_record_is_kept():
    report = Report(SchedulerState.ENDED, failure="walltime", reason="TIMEOUT")
    lost = judge(evolve(RUNNING, report=report, gone_since=0.0, scanned_at=61.0), 61.0)
    assert lost.failure is FailureKind.WALLTIME
    assert lost.reason.startswith("TIMEOUT")


def test_a_requeued_task_is_submitted_again():
    assert judge(evolve(RUNNING, report=Report(SchedulerState.QUEUED)), 0.0).state is TaskState.SUBMITTED


def test_suspended_is_running_and_unknown_is_what_it_was():
    assert judge(evolve(RUNNING, report=Report(SchedulerState.SUSPENDED)), 0.0).state is TaskState.RUNNING
    assert judge(evolve(RUNNING, report=Report(SchedulerState.UNKNOWN)), 1e9).state is TaskState.RUNNING


def test_held_waits_unless_the_hold_is_a_failure_or_lasts_too_long():
    held = evolve(
        RUNNING, report=Report(SchedulerState.HELD, reason="by user"), held_since=0.0, held_for=100.0
    )
    assert judge(held, 99.0).state is TaskState.SUBMITTED
    late = judge(held, 100.0)
    assert (late.failure, late.remove, late.reason) == (FailureKind.HELD, True, "by user")
    memory = judge(evolve(held, report=Report(SchedulerState.HELD, failure="out_of_memory")), 1.0)
    assert (memory.failure, memory.remove) == (FailureKind.OUT_OF_MEMORY, True)


def test_what_the_user_cancelled_failed_for_that_reason():
    cancelled = evolve(RUNNING, cancelling=True)
    killed = record(exit_code=None, signal=15, failure="exit_code")
    assert judge(evolve(cancelled, record=killed), 0.0).failure is FailureKind.CANCELLED
    assert judge(evolve(cancelled, gone_since=0.0, scanned_at=60.0), 60.0).failure is FailureKind.CANCELLED
    # It was quicker than its cancellation.
    assert judge(evolve(cancelled, record=record()), 0.0).state is TaskState.COMPLETED


times = st.floats(0, 1e6)
reports = st.builds(
    Report, st.sampled_from(SchedulerState), failure=st.sampled_from([None, "held", "node_lost"])
)
evidences = st.builds(
    Evidence,
    attempt=st.integers(1, 3),
    state=st.sampled_from([TaskState.SUBMITTED, TaskState.RUNNING]),
    record=st.none() | st.builds(record, attempt=st.integers(1, 3), exit_code=st.integers(0, 1)),
    report=st.none() | reports,
    gone_since=st.none() | times,
    held_since=st.none() | times,
    scanned_at=st.none() | times,
    grace=st.floats(0, 1e4),
    held_for=st.floats(0, 1e6),
    cancelling=st.booleans(),
)


@given(evidences, times)
def test_without_record_or_a_proven_absence_nothing_ends(evidence, now):
    verdict = judge(evidence, now)
    counts = evidence.record is not None and evidence.record["attempt"] == evidence.attempt
    if verdict.state is TaskState.COMPLETED:
        assert counts
    held = evidence.report is not None and evidence.report.state is SchedulerState.HELD
    read = evidence.scanned_at is not None and evidence.gone_since is not None
    if verdict.state is TaskState.FAILED and not counts and not held:
        assert read and evidence.scanned_at >= evidence.gone_since + evidence.grace
    assert (verdict.failure is not None) == (verdict.state is TaskState.FAILED)


@given(evidences, times)
def test_a_record_that_counts_settles_it_at_any_time(evidence, now):
    verdict = judge(evolve(evidence, record=record(attempt=evidence.attempt)), now)
    assert verdict.state in ENDED
