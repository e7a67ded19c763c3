"""The event log: cut anywhere it gives the same events, and events mean what HTCondor means by them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.jobs.backend import SchedulerState
from caf_htcondor.events import EventReader
from caf_htcondor.states import QUEUED, after

RECORDED = Path(__file__).parent / "recorded"
LOGS = {path.stem: path.read_bytes() for path in sorted(RECORDED.glob("*.log"))}
ENDED, HELD, RUNNING = SchedulerState.ENDED, SchedulerState.HELD, SchedulerState.RUNNING


def events(*pieces):
    reader = EventReader()
    return [event for piece in pieces for event in reader.feed(piece)]


def final(name, proc=0):
    """The report of a task after a recorded log."""
    report = QUEUED
    for event in events(LOGS[name]):
        if event.proc == proc:
            report = after(report, event)
    return report


@given(st.data())
def test_any_cut_gives_the_same_events(data):
    log = LOGS[data.draw(st.sampled_from(sorted(LOGS)))]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=12)))
    pieces = [log[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(log)], strict=True)]
    assert events(*pieces) == events(log)


@pytest.mark.parametrize("name", sorted(LOGS))
def test_every_event_of_a_log_is_found(name):
    assert len(events(LOGS[name])) == LOGS[name].count(b"\n...\n")


def test_the_last_event_is_kept_until_it_is_complete():
    log = LOGS["three_exit_codes"]
    assert len(events(log[:-3])) == len(events(log)) - 1


def test_an_event_that_was_not_finished_spoils_only_itself():
    first, second = b"005 (001.000.000) 2026-01-01 10:00:00 Job term", LOGS["hold_memory"]
    assert [event.number for event in events(first + b"\n" + second)][1:] == [
        e.number for e in events(second)
    ]
    assert len(events(b"garbage \xff\n...\n" + second)) == len(events(second))


def test_numbers_of_the_header():
    event = events(b"035 (1234567.-01.000) 2026-01-01 10:00:00 Cluster submitted\n...\n")[0]
    assert (event.number, event.cluster, event.proc) == (35, 1234567, -1)


def test_events_nobody_knows_change_nothing():
    (event,) = events(b"999 (001.000.000) 2026-01-01 10:00:00 Something new\n\tmore\n...\n")
    assert after(QUEUED, event) is QUEUED


def test_exit_codes_and_signals():
    assert [final("three_exit_codes", proc).exit_code for proc in range(3)] == [0, 1, 2]
    killed = final("killed_by_signal")
    assert (killed.state, killed.signal, killed.exit_code) == (ENDED, 9, None)
    assert killed.peak_memory_mb == 5.0
    assert killed.host == "localhost"


@pytest.mark.parametrize(
    ("name", "failure", "words"),
    [
        ("hold_memory", "out_of_memory", "memory usage exceeded request_memory (code 21/102)"),
        ("hold_policy_memory", "out_of_memory", "memory usage above request"),
        ("hold_execute_duration", "walltime", "allowed execute duration"),
        ("hold_job_duration", "walltime", "allowed job duration"),
        ("hold_no_executable", "submission", "set transfer = true"),
        ("hold_no_input", "submission", "as standard input: No such file"),
        ("hold_no_output_folder", "submission", "as standard output: No such file"),
        ("hold_transfer_input", "submission", "gone.txt"),
        ("hold_transfer_output", "submission", "gone.txt"),
    ],
)
def test_holds_are_explained(name, failure, words):
    report = final(name)
    assert (report.state, report.failure) == (HELD, failure)
    assert words in report.reason


def test_memory_that_was_not_measured_in_time_was_at_least_what_it_asked_for():
    log = LOGS["hold_memory"].replace(b":   296 ", b":     2 ").replace(b"\t296  -", b"\t2  -")
    assert log.count(b"296") == 0
    report = QUEUED
    for event in events(log):
        report = after(report, event)
    assert report.peak_memory_mb == 64.0
    assert final("hold_memory").peak_memory_mb == 296.0


def test_removals():
    report = final("periodic_remove")
    assert (report.state, report.failure) == (ENDED, "cancelled")
    assert "PeriodicRemove" in report.reason
    assert final("late_materialization_removed").reason == "via condor_rm (by user condoruser)"


def test_what_was_held_and_released_executes_again():
    states = []
    report = QUEUED
    for event in events(LOGS["late_materialization_removed"]):
        if event.proc == 1:
            report = after(report, event)
            states.append(str(report.state))
    assert [state for i, state in enumerate(states) if states[i - 1 : i] != [state]] == [
        *("queued", "running", "queued", "held", "queued", "running", "queued", "ended")
    ]


def test_a_disconnected_task_goes_on():
    report = QUEUED
    seen = []
    for event in events(LOGS["schedd_restarted"]):
        if event.proc == 0:
            report = after(report, event)
            seen.append((report.state, report.reason))
    assert (RUNNING, "disconnected: Local schedd and job shadow died, schedd now running again") in seen
    assert (report.state, report.exit_code, report.host) == (ENDED, 0, "localhost")
