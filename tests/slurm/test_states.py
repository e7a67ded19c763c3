"""States and reasons."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.jobs.backend import SchedulerState
from caf_core.jobs.ledger import FailureKind
from caf_slurm.states import Row, report

QUEUED, RUNNING, HELD = SchedulerState.QUEUED, SchedulerState.RUNNING, SchedulerState.HELD
ENDED, SUSPENDED, UNKNOWN = SchedulerState.ENDED, SchedulerState.SUSPENDED, SchedulerState.UNKNOWN


@pytest.mark.parametrize(
    ("word", "state", "failure"),
    [
        ("PENDING", QUEUED, None),
        ("RUNNING", RUNNING, None),
        ("COMPLETING", RUNNING, None),
        ("CONFIGURING", QUEUED, None),
        ("REQUEUED", QUEUED, None),
        ("REQUEUE_HOLD", HELD, None),
        ("SPECIAL_EXIT", HELD, None),
        ("RESV_DEL_HOLD", HELD, None),
        ("SUSPENDED", SUSPENDED, None),
        ("STOPPED", SUSPENDED, None),
        ("COMPLETED", ENDED, None),
        ("CANCELLED", ENDED, "cancelled"),
        ("CANCELLED by 1000", ENDED, "cancelled"),
        ("CANCELLED+", ENDED, "cancelled"),
        ("TIMEOUT", ENDED, "walltime"),
        ("OUT_OF_MEMORY", ENDED, "out_of_memory"),
        ("NODE_FAIL", ENDED, "node_lost"),
        ("BOOT_FAIL", ENDED, "node_lost"),
        ("PREEMPTED", ENDED, "node_lost"),
        ("DEADLINE", ENDED, "cancelled"),
        ("REVOKED", UNKNOWN, None),
        ("SOMETHING_NEW", UNKNOWN, None),
    ],
)
def test_states(word, state, failure):
    told = report(Row(word))
    assert (told.state, told.failure) == (state, failure)


@pytest.mark.parametrize(
    "word",
    [
        *("PartitionConfig", "PartitionTimeLimit", "PartitionNodeLimit", "BadConstraints"),
        *("DependencyNeverSatisfied", "AccountNotAllowed", "InvalidAccount", "InvalidQOS"),
        *("QOSMaxCpuPerJobLimit", "QOSMaxWallDurationPerJobLimit", "QOSMaxMemoryPerJob"),
        *("AssocMaxNodePerJobLimit", "AssocMaxCpuMinutesPerJobLimit", "QOSMinCpuNotSatisfied"),
        "ReservationDeleted",
    ],
)
def test_what_never_ends_by_itself_is_a_failure(word):
    told = report(Row("PENDING", word))
    assert (told.state, told.failure) == (HELD, "submission")
    assert word in told.reason
    assert "for ever" in told.reason


@pytest.mark.parametrize(
    "word",
    [
        *("None", "", "Priority", "Resources", "Licenses", "PartitionDown", "PartitionInactive", "BeginTime"),
        *("JobArrayTaskLimit", "Dependency", "Reservation", "NodeDown", "QOSMaxJobsPerUserLimit"),
        *("QOSGrpCpuLimit", "AssocGrpCPUMinutesLimit", "AssocMaxJobsLimit", "QOSMaxCpuPerUserLimit"),
        "ReqNodeNotAvail, UnavailableNodes:n[1-3]",
        "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
        "SomethingNew",
    ],
)
def test_what_waits_is_waited_for(word):
    told = report(Row("PENDING", word))
    assert (told.state, told.failure) == (QUEUED, None)
    assert told.reason


def test_holds():
    assert report(Row("PENDING", "JobHeldUser")).failure is None
    assert report(Row("PENDING", "JobHeldAdmin")).state is HELD
    assert report(Row("PENDING", "job requeued in held state")).state is HELD
    launch = report(Row("PENDING", "launch failed requeued held"))
    assert (launch.state, launch.failure) == (HELD, "node_lost")


def test_failures():
    code = report(Row("FAILED", "NonZeroExitCode", "n1", 7, 0))
    assert (code.exit_code, code.signal, code.failure, code.host) == (7, None, "exit_code", "n1")
    crash = report(Row("FAILED", "JobLaunchFailure", "n1", 0, 11))
    assert (crash.exit_code, crash.signal, crash.failure) == (None, 11, None)
    launch = report(Row("FAILED", "JobLaunchFailure", "n1", 0, 53))
    assert (launch.exit_code, launch.signal, launch.failure) == (None, None, "submission")
    assert "n1 (0:53)" in launch.reason
    assert report(Row("FAILED", "BadConstraints")).failure == "submission"
    assert report(Row("TIMEOUT", exit_code=9)).exit_code == 9
    assert report(Row("COMPLETED", exit_code=0)).exit_code == 0


@given(st.text(), st.text(), st.none() | st.integers(0, 300), st.none() | st.integers(0, 64))
def test_everything_means_something(state, reason, code, signal):
    told = report(Row(state, reason, "", code, signal))
    assert told.failure is None or FailureKind(told.failure)
