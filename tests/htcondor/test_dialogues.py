"""What is asked of HTCondor and how its answers are read: dialogues with recorded answers."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from caf_core.errors import BackendError, ConfigurationError, PollError, SubmissionError
from caf_core.jobs.backend import SchedulerState
from caf_core.jobs.findings import Level
from caf_core.jobs.task import Resources
from caf_core.processes.command import CommandResult
from caf_core.testing.bench import shell, submission
from caf_core.testing.replay import Replay
from caf_htcondor import HTCondor, answers
from caf_htcondor.site import Site, findings, site_of

RECORDED = Path(__file__).parent / "recorded"
QUEUED, RUNNING, HELD = SchedulerState.QUEUED, SchedulerState.RUNNING, SchedulerState.HELD
ENDED, UNKNOWN = SchedulerState.ENDED, SchedulerState.UNKNOWN


def replay(*names):
    return Replay(*(RECORDED / f"{name}.json" if isinstance(name, str) else name for name in names))


@pytest.fixture
def backend():
    return HTCondor()


@pytest.fixture
def three(backend, tmp_path):
    return submission(tmp_path / "job", [shell(tmp_path / str(i), "true") for i in range(3)], backend)


# Submitting


def test_a_submission_is_one_command(backend, three):
    sent = replay("condor_submit_three")
    assert sent(backend.submitting(three)) == ["21.0", "21.1", "21.2"]
    (command,) = sent.commands
    assert (command.argv, command.cwd, command.submits) == (
        ("condor_submit", "-terse", "submit.sub"),
        three.directory,
        True,
    )


def test_where_the_commands_lie_and_which_schedd(tmp_path):
    elsewhere = HTCondor(backend_args={"path_prefix": "/opt/bin", "schedd": "sched1", "pool": "cm"})
    one = submission(tmp_path / "job", [shell(tmp_path / "0", "true")], elsewhere)
    sent = replay("condor_submit_one")
    sent(elsewhere.submitting(one))
    begin = ("/opt/bin/condor_submit", "-pool", "cm", "-name", "sched1")
    assert sent.commands[0].argv[:5] == begin


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("condor_submit_bad_requirements", "Parse error in expression"),
        ("condor_submit_bad_universe", "'nosuch' universe"),
        ("condor_submit_bad_line", "on Line 9 of submit file"),
        ("condor_submit_too_many", "exceed MAX_JOBS_PER_SUBMISSION"),
    ],
)
def test_mistakes_are_refused_in_its_own_words(backend, three, name, words):
    with pytest.raises(SubmissionError, match=words) as refusal:
        replay(name)(backend.submitting(three))
    assert (refusal.value.transient, refusal.value.credentials) == (False, False)


def test_lines_that_it_does_not_know_are_found_before(tmp_path):
    strict = HTCondor(backend_args={"extra_lines": "no_such_keyword = 5"})
    one = submission(tmp_path / "job", [shell(tmp_path / "0", "true")], strict)
    sent = replay("condor_submit_dry_unknown")
    with pytest.raises(SubmissionError, match="was unused by condor_submit") as refusal:
        sent(strict.submitting(one))
    assert not refusal.value.transient
    (command,) = sent.commands
    assert "-dry-run" in command.argv
    assert not command.submits
    assert command.stdin.endswith("no_such_keyword = 5\nqueue 1\n")


def test_lines_are_tried_once(tmp_path):
    backend = HTCondor(backend_args={"extra_lines": "rank = Memory"})
    one = submission(tmp_path / "job", [shell(tmp_path / "0", "true")], backend)
    replay({"stdout": "1.0 - 1.0\n"}, "condor_submit_one")(backend.submitting(one))
    replay("condor_submit_one")(backend.submitting(one))


@pytest.mark.parametrize(
    "answer",
    [
        "condor_submit_schedd_down",
        "condor_submit_three",  # of one task
        {"rc": None},
        {"rc": -9},
        {"rc": 1, "stderr": "\nERROR: Failed to commit job submission into the queue.\n"},
        {"rc": 1, "stderr": "ERROR: Number of submitted jobs would exceed MAX_JOBS_PER_OWNER\n"},
        {"rc": 0, "stdout": "garbage"},
        {"rc": 0, "stdout": ""},
    ],
)
def test_what_is_not_certain_is_in_doubt(backend, tmp_path, answer):
    one = submission(tmp_path / "job", [shell(tmp_path / "0", "true")], backend)
    with pytest.raises(SubmissionError) as doubt:
        replay(answer)(backend.submitting(one))
    assert doubt.value.transient
    assert not doubt.value.credentials
    assert doubt.value.full == ("MAX_JOBS_PER_OWNER" in doubt.value.output)


@pytest.mark.parametrize("name", ["condor_submit_no_token", "condor_submit_no_kerberos"])
def test_missing_credentials_are_told(backend, three, name):
    with pytest.raises(SubmissionError, match="renew the credential") as refusal:
        replay(name)(backend.submitting(three))
    assert refusal.value.credentials


# Asking


def test_the_queue_is_asked_about_clusters(backend):
    sent = replay("condor_q_held")
    told = sent(backend.polling(["21.0", "21.1", "21.2"]))
    assert [told[one].state for one in ("21.0", "21.1", "21.2")] == [RUNNING, HELD, RUNNING]
    assert told["21.0"].host == "localhost"
    assert told["21.1"].failure is None
    assert "condor_hold" in told["21.1"].reason
    sent = replay("condor_q_nothing", "condor_history_removed")
    (report,) = sent(backend.polling(["21.2"])).values()
    assert (report.state, report.failure) == (ENDED, "cancelled")
    assert [command.argv[-1] for command in sent.commands] == ["21", "21"]


def test_what_is_in_neither_is_left_out(backend):
    assert replay("condor_q_nothing", "condor_history_nothing")(backend.polling(["5.0", "6.1"])) == {}


def test_the_history_tells_how_tasks_ended(backend):
    told = replay("condor_q_nothing", "condor_history_ended")(backend.polling(["22.0", "23.0", "23.1"]))
    assert (told["22.0"].signal, told["22.0"].exit_code) == (9, None)
    assert [told[f"23.{proc}"].exit_code for proc in (0, 1)] == [0, 1]


def test_a_history_that_does_not_answer_ends_nothing(backend):
    told = replay("condor_q_running", {"rc": 1})(backend.polling(["21.0", "21.9"]))
    assert (told["21.0"].state, told["21.9"].state) == (RUNNING, UNKNOWN)


def test_tasks_that_are_not_made_yet_wait(backend):
    told = replay("condor_q_late")(backend.polling([f"24.{proc}" for proc in range(5)]))
    assert [told[f"24.{proc}"].state for proc in range(5)] == [RUNNING, RUNNING, QUEUED, QUEUED, QUEUED]


def test_what_no_machine_takes_is_told(backend):
    (report,) = replay("condor_q_no_match")(backend.polling(["25.0"])).values()
    assert report.state is QUEUED
    assert report.reason.startswith("no machine took it so far (no match found)")


def test_one_odd_record_spoils_nothing(backend):
    recording = answers_of("condor_q_running")
    odd = recording.replace('"ProcId": 1', '"ProcId": oops')
    told = replay({"stdout": odd}, {"stdout": "[\n"})(backend.polling(["21.0", "21.1", "21.2"]))
    assert set(told) == {"21.0", "21.2"}
    assert list(answers.ads("no json at all")) == []
    assert list(answers.ads('[{"ClusterId": "x", "ProcId": 1}, 5]')) == []


@pytest.mark.parametrize("answer", ["condor_q_schedd_down", "condor_q_no_token", {"rc": None}])
def test_no_answer_is_an_error(backend, answer):
    with pytest.raises(PollError):
        replay(answer)(backend.polling(["1.0"]))
    with pytest.raises(BackendError):
        replay(answer)(backend.finding("atoken"))
    with pytest.raises(BackendError):
        replay(answer)(backend.counting())


def test_a_token_is_found_in_the_log_of_its_directory(backend, three):
    backend.adopt(three.token, three.directory)
    (three.directory / "events.log").write_bytes((RECORDED / "three_exit_codes.log").read_bytes())
    assert replay()(backend.finding(three.token)) == {0: "1.0", 1: "1.1", 2: "1.2"}


def test_without_a_log_the_queue_and_the_history_are_asked(backend, three):
    backend.adopt(three.token, three.directory)
    sent = replay("condor_q_nothing", "condor_history_nothing")
    assert sent(backend.finding(three.token)) == {}
    assert sent.commands[0].argv[-2:] == ("-constraint", f'CafToken == "{three.token}"')
    since = f"EnteredCurrentStatus < {int((three.directory / 'manifest.jsonl').stat().st_mtime) - 300}"
    assert sent.commands[1].argv[-2:] == ("-since", f"{since} && StageInFinish =?= undefined")
    assert sent.commands[1].timeout == 120  # not the least, but what commands are given anyway
    late = replay("condor_q_late", "condor_history_nothing")(backend.finding("atoken"))
    assert late == {proc: f"24.{proc}" for proc in range(5)}


def test_the_history_of_a_known_submission_is_searched_no_further_than_its_beginning(backend, three):
    backend.adopt(three.token, three.directory)
    (three.directory / "events.log").write_bytes((RECORDED / "three_exit_codes.log").read_bytes())
    replay()(backend.finding(three.token))
    backend.backend_args["command_timeout"] = 5
    sent = replay("condor_q_nothing", "condor_history_nothing")
    sent(backend.polling(["1.0"]))
    assert sent.commands[1].argv[-3] == "-since"
    assert (sent.commands[0].timeout, sent.commands[1].timeout) == (None, 60)


def test_the_users_own_jobs_are_counted(backend):
    assert replay("condor_q_totals")(backend.counting()) == 3
    text = (
        "Total for query: 9 jobs; 1 completed, 2 removed, 6 idle, 0 running, 0 held, 0 suspended\n"
        "Total for me: 7 jobs; 1 completed, 1 removed, 5 idle, 0 running, 0 held, 0 suspended\n"
        "Total for all users: 99 jobs; 0 completed, 0 removed, 99 idle, 0 running, 0 held, 0 suspended\n"
    )
    assert answers.jobs_in_queue(text) == 5
    assert answers.jobs_in_queue("4 jobs; 0 completed, 1 removed, 3 idle") == 3
    assert answers.jobs_in_queue("nonsense") is None


# Telling


def test_tasks_are_removed_by_id_and_in_few_commands(backend):
    sent = replay("condor_rm_one", {}, {})
    sent(backend.cancelling([f"21.{proc}" for proc in range(5000)]))
    assert [len(command.argv) for command in sent.commands] == [2001, 2001, 1001]


def test_what_is_gone_already_is_no_error(backend):
    for name in ("condor_rm_gone", "condor_rm_cluster_gone"):
        replay(name)(backend.cancelling(["21.2", "21.7"]))
    for answer in ("condor_rm_schedd_down", {"rc": None}, {"rc": 1}):
        with pytest.raises(BackendError):
            replay(answer)(backend.cancelling(["21.2"]))


def test_held_tasks_are_given_more_and_released(backend):
    sent = replay("condor_qedit", "condor_release_not_held")
    sent(backend.releasing(["24.0", "24.1", "25.3"], Resources(2, 128, disk_mb=10)))
    edit, release = (command.argv for command in sent.commands)
    where = "(ClusterId == 24 && member(ProcId, {0, 1})) || (ClusterId == 25 && member(ProcId, {3}))"
    assert edit[1:3] == ("-constraint", where)
    assert edit[3:] == ("RequestCpus", "2", "RequestMemory", "128", "RequestDisk", "10240")
    assert release == ("condor_release", "24.0", "24.1", "25.3")
    sent = replay("condor_qedit", "condor_release")
    sent(backend.releasing(["24.0"], Resources(1, walltime=timedelta(minutes=2))))
    assert sent.commands[0].argv[-2:] == ("AllowedJobDuration", "240")
    for answer in ("condor_qedit_nothing", "condor_qedit_schedd_down"):
        with pytest.raises(BackendError, match="could not be given more"):
            replay(answer)(backend.releasing(["24.0"], Resources(1, 128)))


# The site


def test_a_site_is_surveyed(backend):
    sent = replay("condor_version", "condor_config_val", {"stdout": "htc.test\n"}, "condor_q_totals")
    site = sent(backend.surveying())
    assert site == Site((23, 9, 6), 20000, 100000, None, "htc.test", frozenset({"htc.test"}))
    can = backend.limits(site)
    assert (can.array_limit, can.job_limit, can.releases) == (20000, 100000, True)
    with pytest.raises(PollError):
        replay({}, {}, {}, "condor_q_schedd_down")(backend.surveying())


def test_commands_that_tell_nothing_limit_nothing(backend):
    assert site_of("", "Not defined", "undefined\n") == Site()
    assert backend.limits(Site()).array_limit is None


def test_machines_that_share_no_files_are_found():
    apart = Site((23, 0, 0), domain="submit.site", domains=frozenset({"node1", "node2"}))
    (finding,) = findings(apart, transfer=False)
    assert finding.level is Level.PROBLEM
    assert finding.settings == {"transfer": True}
    assert not list(findings(apart, transfer=True))
    (old,) = findings(Site((8, 8, 0)), transfer=False)
    assert old.level is Level.NOTE


def test_the_sentence_of_a_command_that_is_not_there(tmp_path):
    nowhere = HTCondor(backend_args={"path_prefix": str(tmp_path)})
    one = submission(tmp_path / "job", [shell(tmp_path / "0", "true")], nowhere)
    with pytest.raises(SubmissionError, match="path_prefix") as refusal:
        nowhere.start(one)
    assert not refusal.value.transient
    with pytest.raises(SubmissionError, match="one line"):
        nowhere.start(evolve(one, backend_args={"requirements": "a\nb"}))
    with pytest.raises(ConfigurationError):
        HTCondor(backend_args={"requirements": "a\nb"})


def answers_of(name):
    return json.loads((RECORDED / f"{name}.json").read_text())["stdout"]


def test_a_killed_submit_command_is_never_certain():
    assert not answers.refusal(CommandResult(("condor_submit",), None, "", "ERROR: Parse", 1.0)).certain
