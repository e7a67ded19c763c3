"""What PBS says of a task becomes what caf knows of it."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.jobs.backend import SchedulerState
from caf_core.jobs.task import Resources
from caf_pbs.meaning import megabytes, report, seconds
from caf_pbs.options import clock, parts, resource_options

ENDED = {"job_state": "F", "substate": "93"}
TIME_UP = {"Resource_List.walltime": "00:01:00", "resources_used.walltime": "00:01:02"}


def told(torque=False, **record):
    return report("", {**ENDED, **record}, torque=torque)


@pytest.mark.parametrize(
    ("letter", "state"),
    [
        *[(letter, SchedulerState.QUEUED) for letter in "QWT"],
        *[(letter, SchedulerState.RUNNING) for letter in "REB"],
        *[(letter, SchedulerState.SUSPENDED) for letter in "SU"],
        *[(letter, SchedulerState.ENDED) for letter in "XFC"],
        ("H", SchedulerState.HELD),
        ("M", SchedulerState.UNKNOWN),
        ("?", SchedulerState.UNKNOWN),
    ],
)
def test_letters(letter, state):
    assert report(letter, None, torque=False).state is state
    assert report("", {"job_state": letter}, torque=False).state is state


@pytest.mark.parametrize(
    ("status", "exit_code", "signal", "failure"),
    [
        ("0", 0, None, None),
        ("3", 3, None, None),
        ("139", 139, None, None),
        ("265", None, 9, None),
        ("271", None, 15, "cancelled"),
        ("-29", None, None, "walltime"),
        ("-28", None, None, "walltime"),
        ("-27", None, None, "out_of_memory"),
        ("-26", None, None, "out_of_memory"),
        ("-3", None, None, "held"),
        ("-1", None, None, "node_lost"),
        ("-4", None, None, "node_lost"),
        ("-23", None, None, "credentials"),
        ("-99", None, None, "node_lost"),
        ("odd", None, None, None),
    ],
)
def test_exit_statuses(status, exit_code, signal, failure):
    said = told(Exit_status=status)
    assert (said.exit_code, said.signal, said.failure) == (exit_code, signal, failure)
    assert said.reason or failure is None


@pytest.mark.parametrize(
    ("status", "failure"), [("-11", "walltime"), ("-10", "out_of_memory"), ("271", "cancelled")]
)
def test_exit_statuses_of_torque(status, failure):
    assert told(torque=True, exit_status=status).failure == failure


@pytest.mark.parametrize("status", ["271", "143", "265", "0"])
def test_an_old_version_does_not_say_that_the_time_was_up(status):
    assert told(Exit_status=status, **TIME_UP).failure == "walltime"
    assert told(Exit_status=status, **{**TIME_UP, "substate": "91"}).failure == "cancelled"


def test_a_task_that_fails_late_fails_by_itself():
    assert told(Exit_status="3", **TIME_UP).failure is None


@pytest.mark.parametrize(
    ("comment", "failure"),
    [
        ("Job run at ... and exceeded resource walltime", "walltime"),
        ("Job run at ... and exceeded resource mem", "out_of_memory"),
        ("Job run at ... and exceeded resource vmem", "out_of_memory"),
        ("PBS: job killed: walltime 61 exceeded limit 60", "walltime"),
        ("Cgroup mem limit exceeded", "out_of_memory"),
        ("Job run at ... and finished", None),
    ],
)
def test_words_tell_more_than_numbers(comment, failure):
    assert told(Exit_status="137", comment=comment).failure == failure


@pytest.mark.parametrize("letter", ["Q", "R", "H", "E"])
def test_the_exit_status_of_what_lives_is_its_arrays(letter):
    said = told(job_state=letter, Exit_status="5")
    assert (said.exit_code, said.failure) == (None, None)


def test_an_ended_task_without_a_status_says_nothing():
    said = told(job_state="X")
    assert (said.state, said.exit_code, said.failure) == (SchedulerState.ENDED, None, None)


def test_holds():
    said = told(job_state="H", substate="20", comment="job held, too many failed attempts to run")
    assert (said.state, said.failure) == (SchedulerState.HELD, "held")
    said = told(job_state="H", substate="20", comment="Job held by user")
    assert (said.state, said.failure) == (SchedulerState.HELD, None)


def test_waiting_for_what_never_comes_is_a_hold():
    said = told(
        job_state="Q", comment="Can Never Run: Insufficient amount of resource: ncpus (R: 64 A: 8 T: 8)"
    )
    assert said.state is SchedulerState.HELD
    assert "ncpus" in said.reason
    said = told(job_state="Q", comment="Not Running: Insufficient amount of resource: ncpus")
    assert said.state is SchedulerState.QUEUED


@pytest.mark.parametrize(
    ("text", "size"),
    [("7400kb", 7400 / 1024), ("2gb", 2048), ("5mb", 5), ("1048576b", 1), ("0kb", None), ("x", None)],
)
def test_sizes(text, size):
    assert megabytes(text) == size


@pytest.mark.parametrize(
    ("text", "time"), [("00:01:02", 62), ("100:00:00", 360000), ("90", 90), ("", None), ("a:b", None)]
)
def test_times(text, time):
    assert seconds(text) == time


@given(st.timedeltas(timedelta(0), timedelta(days=400)))
def test_times_are_rounded_up(time):
    whole = seconds(clock(time))
    assert 0 <= whole - time.total_seconds() < 1.000001


# Options


def options(resource_list="", torque=False, **resources):
    return resource_options(Resources(**resources), {"resource_list": resource_list}, torque=torque)[1::2]


HOUR = timedelta(hours=1)


def test_resources_for_pbs():
    assert options() == ["select=1:ncpus=1"]
    assert options(cpus=4, memory_mb=2000, walltime=HOUR) == [
        "select=1:ncpus=4:mem=2000mb",
        "walltime=01:00:00",
    ]


def test_resources_for_torque():
    expected = ["nodes=1:ppn=4", "mem=2000mb", "walltime=01:00:00"]
    assert options(torque=True, cpus=4, memory_mb=2000, walltime=HOUR) == expected
    assert options("procs=2", torque=True) == ["procs=2"]


def test_what_the_user_wrote_stays():
    assert options("select=1:ncpus=8:mem=8gb,place=excl", memory_mb=2000) == [
        "select=1:ncpus=8:mem=8gb",
        "place=excl",
    ]
    assert options("ncpus=2,mem=1gb", cpus=4) == ["ncpus=2", "mem=1gb"]
    assert options({"walltime": "02:00:00", "ngpus": 1}, walltime=HOUR)[:2] == [
        "walltime=02:00:00",
        "ngpus=1",
    ]


def test_a_retry_gets_more_all_the_same():
    assert options("select=1:ncpus=8:mem=1gb", memory_mb=1500) == ["select=1:ncpus=8:mem=1500mb"]
    assert options("select=1:ncpus=8", memory_mb=1500) == ["select=1:ncpus=8:mem=1500mb"]
    assert options("ncpus=2,mem=1gb", memory_mb=1500) == ["ncpus=2", "mem=1500mb"]
    assert options("select=1:ncpus=1+1:ncpus=2:mem=1gb", memory_mb=1500) == [
        "select=1:ncpus=1+1:ncpus=2:mem=1gb"
    ]
    assert "walltime=01:00:00" in options("walltime=10", walltime=HOUR)
    assert "mem=1500mb" in options("mem=1gb", torque=True, memory_mb=1500)
    assert "mem=2gb" in options("mem=2gb", torque=True, memory_mb=1500)


def test_lists_of_resources():
    assert list(parts("a=1, b='x,y',c")) == [("a", "1"), ("b", "'x,y'"), ("c", "")]
    assert list(parts("")) == []
