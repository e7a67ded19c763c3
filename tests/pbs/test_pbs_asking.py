"""What is asked, in which order, and how little of it."""

import json
from pathlib import Path

import pytest

from caf_core.errors import BackendError, PollError
from caf_core.jobs.backend import SchedulerState, Submission
from caf_core.testing.replay import Replay
from caf_pbs import PBS
from caf_pbs.site import Format, Site, identify

HEADER = "\nJob ID    Username\n---- ----\n"
HISTORY = Site(version="23.06.06", history=True)
FORGETFUL = Site(version="23.06.06")
TORQUE = identify("Version: 6.1.2")
OLD = identify("pbs_version = PBSPro_13.0.2.153173")
SILENCE = {"rc": None}
DOWN = {"rc": 255, "stderr": "qstat: cannot connect to server vm (errno=15010)\n"}


def made(site):
    backend = PBS()
    backend._site = site
    return backend


def listing(**letters):
    """A listing of jobs: ``j7`` is the job 7, ``a7_3`` the task 3 of the array 7."""
    lines = []
    for name, letter in letters.items():
        number, _, index = name[1:].partition("_")
        key = f"{number}[{index}]" if name[0] == "a" else number
        lines.append(f"{key}.vm user workq tok -- 1 1 -- -- {letter} --\n")
    return {"command": "qstat -t -u user -w", "stdout": HEADER + "".join(lines) if lines else ""}


def full(records, **answer):
    jobs = {name: dict(record) for name, record in records.items()}
    return {"command": "qstat -f", "stdout": json.dumps({"Jobs": jobs}, indent=1), **answer}


def polled(backend, ids, *answers):
    replay = Replay(*answers)
    reports = replay(backend.polling(ids))
    return reports, [command.argv[1:] for command in replay.commands]


def task(number, *indices):
    return [f"{number}[{index}].vm" for index in indices]


# Polling


def test_one_question_for_everything_that_lives():
    ids = [*task(7, 0, 1), "8.vm", "9.vm", "no-such-id"]
    reports, asked = polled(made(FORGETFUL), ids, listing(a7_0="R", a7_1="Q", j8="S", j9="R", j1="R"))
    assert [reports[one].state.value for one in ids[:4]] == ["running", "queued", "suspended", "running"]
    assert "no-such-id" not in reports
    assert len(asked) == 1


def test_a_scheduler_that_does_not_answer_is_an_error():
    for answer in (SILENCE, DOWN, {"stdout": "garbage\n"}, {"stdout": listing(j7="R")["stdout"][:-3]}):
        with pytest.raises(PollError):
            polled(made(HISTORY), ["7.vm"], answer)


def test_options_that_an_old_version_does_not_know_are_left_out():
    _, asked = polled(made(OLD), ["7.vm"], {"rc": 2, "stderr": "usage: ..."}, listing(j7="R"))
    assert asked[0][-1] == "-w"
    assert "-w" not in asked[1]


def test_the_record_of_what_ended_is_asked_for_once():
    backend = made(HISTORY)
    answer = full({"7.vm": {"job_state": "F", "Exit_status": 3}})
    reports, asked = polled(backend, ["7.vm", "8.vm"], listing(j8="R"), answer)
    assert (reports["7.vm"].state, reports["7.vm"].exit_code) == (SchedulerState.ENDED, 3)
    assert asked[1] == ("-f", "-F", "json", "-x", "7.vm")
    reports, _ = polled(backend, ["7.vm", "8.vm"], listing(j8="R"))
    assert reports["7.vm"].exit_code == 3
    polled(backend, ["8.vm"], listing(j8="R"))
    assert not backend._questions._final


def test_without_history_nothing_is_asked_about_what_is_not_listed():
    assert polled(made(FORGETFUL), ["7.vm"], listing())[0] == {}


def test_without_history_an_array_that_goes_on_tells_of_its_ended_tasks():
    answer = full({"7[0].vm": {"job_state": "X", "Exit_status": -29}})
    reports, asked = polled(made(FORGETFUL), task(7, 0, 1), listing(a7_0="X", a7_1="R"), answer)
    assert reports["7[0].vm"].failure == "walltime"
    assert asked[1] == ("-f", "-F", "json", "7[0].vm")


def test_many_tasks_of_an_array_are_asked_for_together():
    records = {f"7[{index}].vm": {"job_state": "F", "Exit_status": index} for index in range(30)}
    reports, asked = polled(made(HISTORY), task(7, *range(30)), listing(), full(records))
    assert asked[1] == ("-f", "-F", "json", "-x", "-t", "7[].vm")
    assert [reports[one].exit_code for one in task(7, *range(30))] == list(range(30))


def test_a_few_of_a_large_array_are_asked_for_singly_and_the_others_later():
    backend = made(HISTORY)
    ids = task(7, *range(1000))
    letters = {f"a7_{index}": "X" if index < 30 else "R" for index in range(1000)}

    def one(index):
        return full({f"7[{index}].vm": {"job_state": "X", "Exit_status": 0}})

    reports, asked = polled(backend, ids, listing(**letters), *map(one, range(20)))
    assert len(asked) == 21
    assert [reports[identity].state.value for identity in ids[:31]] == ["ended"] * 20 + ["unknown"] * 10 + [
        "running"
    ]
    letters |= {f"a7_{index}": "X" for index in range(30, 41)}
    _, asked = polled(backend, ids, listing(**letters), *map(one, range(20, 40)))
    assert [words[-1] for words in asked[1:]] == task(7, *range(20, 40))


@pytest.mark.parametrize("answer", [SILENCE, DOWN, {"stdout": "garbage"}, {"stdout": ""}])
def test_a_record_that_cannot_be_had_says_nothing(answer):
    reports, _ = polled(made(HISTORY), ["7.vm", "8.vm"], listing(j8="R"), answer)
    assert reports["7.vm"].state is SchedulerState.UNKNOWN
    assert reports["8.vm"].state is SchedulerState.RUNNING


def test_after_silence_nobody_else_is_asked_for():
    reports, asked = polled(made(HISTORY), ["7.vm", "8.vm"], listing(), SILENCE)
    assert len(asked) == 2
    assert {report.state for report in reports.values()} == {SchedulerState.UNKNOWN}


def test_what_nobody_knows_is_left_out():
    unknown = {"rc": 153, "stderr": "qstat: Unknown Job Id 7.vm\n", "stdout": '{"timestamp": 1}'}
    assert polled(made(HISTORY), ["7.vm"], listing(), unknown)[0] == {}
    forgotten = {"stderr": "qstat: PBS is not configured to maintain job history 7.vm\n"}
    assert polled(made(HISTORY), ["7.vm"], listing(), forgotten)[0] == {}


def test_a_held_job_is_explained():
    words = "job held, too many failed attempts to run"
    answer = full({"7.vm": {"job_state": "H", "substate": 20, "comment": words}})
    reports, _ = polled(made(HISTORY), ["7.vm"], listing(j7="H"), answer)
    assert (reports["7.vm"].state, reports["7.vm"].failure) == (SchedulerState.HELD, "held")


def test_a_held_array_is_explained_by_one_question():
    words = "Job Array Held, too many failed attempts to run"
    answer = full({"7[].vm": {"job_state": "H", "comment": words}})
    reports, asked = polled(made(HISTORY), task(7, 0, 1, 2), listing(a7_0="H", a7_1="H", a7_2="Q"), answer)
    assert asked[1:] == [("-f", "-F", "json", "7[].vm")]
    assert {report.failure for report in reports.values()} == {"held"}


def test_what_waits_while_nothing_executes_is_explained():
    words = "Not Running: Insufficient amount of resource: ncpus"
    answer = full({"7[].vm": {"job_state": "B", "comment": words}})
    reports, _ = polled(made(FORGETFUL), task(7, 0, 1), listing(a7_0="Q", a7_1="Q"), answer)
    assert {(report.state, report.reason) for report in reports.values()} == {(SchedulerState.QUEUED, words)}
    assert len(polled(made(FORGETFUL), task(7, 0, 1), listing(a7_0="Q", a7_1="R"))[1]) == 1


def test_not_all_that_waits_is_explained_at_once():
    ids = [f"{number}.vm" for number in range(10, 30)]
    answers = [full({one: {"job_state": "Q", "comment": "why"}}) for one in ids[:5]]
    reports, _ = polled(
        made(FORGETFUL), ids, listing(**{f"j{number}": "Q" for number in range(10, 30)}), *answers
    )
    assert [report.reason for report in reports.values()].count("why") == 5
    assert len(reports) == 20


def test_torque_is_asked_by_its_own_options():
    job = "<Job><Job_Id>7[0].vm</Job_Id><job_state>C</job_state><exit_status>-11</exit_status></Job>"
    xml = f"<Data>{job}</Data>\n"
    reports, asked = polled(made(TORQUE), task(7, 0, 1), listing(a7_0="C", a7_1="R"), {"stdout": xml})
    assert reports["7[0].vm"].failure == "walltime"
    assert asked[0][:2] == ("-t", "-u")
    assert "-w" not in asked[0]
    assert asked[1] == ("-x", "7[0].vm")


def test_an_old_version_prints_text():
    site = Site(version="13", format=Format.TEXT, history=True)
    answer = {"stdout": "Job Id: 7.vm\n    job_state = F\n    Exit_status = 271\n    substate = 91\n"}
    reports, asked = polled(made(site), ["7.vm"], listing(), answer)
    assert reports["7.vm"].failure == "cancelled"
    assert asked[1] == ("-f", "-x", "7.vm")


def test_counting():
    backend = made(HISTORY)
    answer = listing(a7_0="X", a7_1="R", a7_2="Q", j8="H", j9="S", j3="F", a7_="B")
    assert Replay(answer)(backend.counting()) == 4


# Finding and cancelling


def found(backend, *answers):
    replay = Replay(*answers)
    return dict(replay(backend.finding("caf0123456789ab"))), replay.commands


def test_the_first_of_two_arrays_counts():
    brief = "Job id  Name\n------ ----\n9[].vm tok\n9[0].vm tok\n9[1].vm tok\n"
    ids, commands = found(made(HISTORY), {"stdout": "12[].vm\n9[].vm\n"}, {"stdout": brief})
    assert ids == {0: "9[0].vm", 1: "9[1].vm"}
    assert commands[0].argv[1:] == ("-x", "-N", "caf0123456789ab")
    assert commands[1].argv[1:] == ("-t", "-x", "9[].vm")


def test_a_single_job_is_found_by_one_question():
    assert found(made(FORGETFUL), {"stdout": "9.vm\n"})[0] == {0: "9.vm"}
    assert found(made(FORGETFUL), {"stdout": ""})[0] == {}


def test_an_array_may_end_between_two_questions():
    gone = {"rc": 153, "stderr": "qstat: Unknown Job Id 9[].vm\n"}
    assert found(made(FORGETFUL), {"stdout": "9[].vm\n"}, gone)[0] == {}


@pytest.mark.parametrize(
    "answers",
    [
        [SILENCE],
        [DOWN],
        [{"stdout": "garbage\n"}],
        [{"stdout": "9[].v"}],
        [{"stderr": "qselect: PBS is not configured to maintain job history\n"}, SILENCE],
        [{"stdout": "9[].vm\n"}, SILENCE],
        [{"stdout": "9[].vm\n"}, {"stdout": "garbage\n"}],
        [{"stdout": "9[].vm\n"}, {"stdout": "Job id\n------\n9[].vm a\n9[0].v\ufffdm a\n"}],
    ],
)
def test_no_answer_is_not_nothing(answers):
    with pytest.raises(BackendError):
        found(made(HISTORY), *answers)


def test_whole_arrays_are_cancelled_as_a_whole():
    backend = made(HISTORY)
    one = Submission("caf0123456789ab", "name", Path("/folder"), 3)
    Replay({"stdout": "7[].vm\n"})(backend.submitting(one))
    replay = Replay({"command": "qdel"})
    replay(backend.cancelling([*task(7, 0, 1, 2), *task(8, 1, 2), "9.vm", "no-such-id"]))
    assert replay.commands[0].argv[1:] == ("7[].vm", "8[1].vm", "8[2].vm", "9.vm")
    replay = Replay({"command": "qdel"})
    replay(backend.cancelling(task(7, 0, 1)))
    assert replay.commands[0].argv[1:] == ("7[0].vm", "7[1].vm")


def test_many_ids_are_cancelled_in_several_commands():
    backend = made(HISTORY)
    replay = Replay({}, {}, {})
    replay(backend.cancelling(task(7, *range(1200))))
    assert [len(command.argv) - 1 for command in replay.commands] == [500, 500, 200]
    Replay()(backend.cancelling(["no-such-id"]))


@pytest.mark.parametrize(
    ("answer", "fails"),
    [
        ({"rc": 55, "stderr": "qdel: Request invalid for finished array subjob 7[0].vm\n"}, False),
        ({"rc": 170, "stderr": "qdel: Request invalid for state of job MSG=... COMPLETE 7[0].vm\n"}, False),
        ({"rc": 35, "stderr": "qdel: Unknown Job Id 1.vm\nqdel: Job has finished 2.vm\n"}, False),
        ({"rc": 35, "stderr": "qdel: Unauthorized Request 1.vm\nqdel: Job has finished 2.vm\n"}, True),
        ({"rc": 162, "stderr": "qdel: cannot connect to server vm (errno=15010)\n"}, True),
        (SILENCE, True),
    ],
)
def test_what_a_cancellation_that_failed_means(answer, fails):
    backend = made(HISTORY)
    if fails:
        with pytest.raises(BackendError):
            Replay(answer)(backend.cancelling(task(7, 0)))
    else:
        Replay(answer)(backend.cancelling(task(7, 0)))


# The site


SERVER = {
    "command": "qstat -B -f",
    "stdout": "Server: vm\n    default_queue = workq\n    max_array_size = 500\n",
}
QUEUE = {
    "command": "qstat -Q -f workq",
    "stdout": "Queue: workq\n    enabled = True\n    max_array_size = 100\n",
}
VERSION = {"command": "qstat --version", "stdout": "pbs_version = 23.06.06\n"}


@pytest.mark.parametrize(
    ("words", "history"), [("", True), ("PBS is not configured to maintain job history\n", False)]
)
def test_a_site_is_surveyed(words, history):
    replay = Replay(VERSION, SERVER, QUEUE, {"command": "qselect -x -N cafNoSuchName", "stderr": words})
    backend = PBS()
    site = replay(backend.surveying())
    assert (site.torque, site.history, site.array_limit, site.queue) == (False, history, 100, "workq")
    assert backend.limits(site).array_limit == 100
    assert backend.limits(site).minimum_array == 2


def test_torque_is_surveyed():
    version = {"stderr": "Version: 6.1.2\nCommit: x\n"}
    server = {"stdout": "Server: vm\n    max_job_array_size = 50\n"}
    site = Replay(version, server)(PBS().surveying())
    assert (site.torque, site.array_limit) == (True, 50)


def test_a_site_that_does_not_answer_is_asked_again():
    for answers in (
        [SILENCE],
        [VERSION, DOWN],
        [VERSION, SERVER, QUEUE, SILENCE],
        [{"rc": 127, "stderr": "none"}],
    ):
        with pytest.raises(BackendError):
            Replay(*answers)(PBS().surveying())
    assert PBS().limits(None).array_limit == 10_000


def test_every_task_is_a_submission_where_arrays_are_too_old():
    assert PBS().limits(identify("version: 2.4.16")).array_limit == 1
