"""Dialogues on recorded answers."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from caf_core.errors import BackendError, PollError, SubmissionError
from caf_core.jobs.backend import SchedulerState, Submission
from caf_core.processes.command import OUTPUT_LIMIT
from caf_core.testing.replay import Replay
from caf_slurm import Slurm, accounting, ids, site
from caf_slurm.site import Memory, Site

HERE = Path(__file__).parent / "transcripts"
QUEUED, RUNNING, HELD = SchedulerState.QUEUED, SchedulerState.RUNNING, SchedulerState.HELD
ENDED, SUSPENDED, UNKNOWN = SchedulerState.ENDED, SchedulerState.SUSPENDED, SchedulerState.UNKNOWN
FORGETFUL = Site(
    min_job_age=300.0, completion_path="/var/slurm/log/jobs.log", memory=Memory.FILETXT, cluster="caf"
)


def recorded(name):
    return HERE / f"{name}.json"


def text(name):
    return json.loads(recorded(name).read_text())["stdout"]


def squeue(stdout="", rc=0, stderr=""):
    return {"command": "squeue", "rc": rc, "stdout": stdout, "stderr": stderr}


NOTHING = squeue()
UNKNOWN_JOB = {"command": "scontrol", "rc": 1, "stderr": "slurm_load_jobs error: Invalid job id specified\n"}
NO_RECORD = {"command": "grep", "rc": 1}


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def backend(clock):
    backend = Slurm(clock=clock)
    backend._site = FORGETFUL
    return backend


def submission(size, backend):
    return Submission("tabc", "name", Path("/home/user/job"), size, backend_args=backend.backend_args)


# Submitting


def test_submitting(backend):
    sent = Replay(recorded("sbatch_array"))
    assert list(sent(backend.submitting(submission(3, backend)))) == ["917038_0", "917038_1", "917038_2"]
    (command,) = sent.commands
    assert command.submits
    assert command.cwd == Path("/home/user/job")
    assert command.argv[-1] == "./slurm.sh"
    assert list(Replay(recorded("sbatch_single"))(backend.submitting(submission(1, backend)))) == ["917039"]


@pytest.mark.parametrize(
    "stdout", ["Welcome to the cluster\n12\n", "12;caf\n", "12\n12 jobs allowed\n", " 12 \n", "12\n12\n"]
)
def test_sites_let_sbatch_say_more(backend, stdout):
    sent = Replay({"command": "sbatch", "stdout": stdout})
    assert list(sent(backend.submitting(submission(1, backend)))) == ["12"]


def test_two_numbers_are_no_id(backend):
    with pytest.raises(SubmissionError) as doubt:
        Replay({"stdout": "500\n12\n"})(backend.submitting(submission(1, backend)))
    assert doubt.value.transient  # it is searched by its name


def test_a_job_that_the_site_sent_to_another_cluster_is_ended_there_and_refused(backend):
    sent = Replay({"stdout": "12;other\n"}, {"command": "scancel"})
    with pytest.raises(
        SubmissionError, match="the job 12 to the cluster other, where it was canc"
    ) as refusal:
        sent(backend.submitting(submission(3, backend)))
    assert not refusal.value.transient
    assert sent.commands[1].argv == ("scancel", "-M", "other", "12")


@pytest.mark.parametrize("variable", ["SBATCH_CLUSTERS", "SLURM_CLUSTERS"])
def test_variables_that_send_jobs_to_another_cluster_are_refused(backend, monkeypatch, variable):
    monkeypatch.setenv(variable, "caf")
    sent = Replay({"stdout": "12;caf\n"})
    assert list(sent(backend.submitting(submission(1, backend)))) == ["12"]
    counted, cancelled = Replay({"stdout": ""}), Replay({"command": "scancel"})
    counted(backend.counting())
    cancelled(backend.cancelling(["12"]))
    commands = [*sent.commands, *counted.commands, *cancelled.commands]
    assert [command.env.get(variable, "kept") for command in commands] == [None] * 3
    monkeypatch.setenv(variable, "other,caf")
    with pytest.raises(SubmissionError, match=f"{variable}=other,caf sends jobs to another cluster"):
        Replay()(backend.submitting(submission(1, backend)))
    assert f"{variable}=other,caf" in backend.findings(backend.site)[-1].text


def test_jobs_of_others_with_several_parts_spoil_nothing(backend):
    lines = ["12+0|12|het|RUNNING|None|n1", "12+1|13|het|RUNNING|None|n2", "14_3|16|tok|RUNNING|None|n1"]
    lines += ["CLUSTER: caf", "14_[4-5%2]|14|tok|PENDING|Resources|n/a"]
    (told,) = [Replay({"stdout": "\n".join(lines) + "\n"})(backend.polling(["14_3", "14_5"]))]
    assert {one: report.state.value for one, report in told.items()} == {"14_3": "running", "14_5": "queued"}
    printed = "CLUSTER: caf\n12+0\n12+1\n14_3\n14_[4-5%2]\n"
    assert Replay({"stdout": printed})(backend.counting()) == 5


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("sbatch_no_such_partition", "sinfo -s"),
        ("sbatch_too_much_memory", "no more than a node has"),
        ("sbatch_too_much_disk", "no more than a node has"),
        ("sbatch_no_such_feature", "backend argument constraint"),
        ("sbatch_array_too_large", "array_limit"),
        ("sbatch_no_such_reservation", "scontrol show reservation"),
        ("sbatch_no_such_license", "scontrol show licenses"),
        ("sbatch_no_such_option", "extra_args"),
    ],
)
def test_refusals_are_certain(backend, name, remedy):
    with pytest.raises(SubmissionError, match=remedy) as refusal:
        Replay(recorded(name))(backend.submitting(submission(1, backend)))
    assert not refusal.value.transient


def test_no_room_for_more_jobs_is_waited_for(backend):
    said = "QOSMaxSubmitJobPerUserLimit\nsbatch: error: Job violates accounting/QOS policy"
    answer = {"command": "sbatch", "rc": 1, "stdout": "", "stderr": f"sbatch: error: {said}"}
    with pytest.raises(SubmissionError) as full:
        Replay(answer)(backend.submitting(submission(1, backend)))
    assert full.value.transient and full.value.full


@pytest.mark.parametrize(
    "answer",
    [
        recorded("sbatch_silent"),
        recorded("sbatch_down"),
        {"command": "sbatch", "rc": None, "stdout": "", "stderr": ""},
        {"command": "sbatch", "rc": 0, "stdout": "", "stderr": ""},
        {"command": "sbatch", "rc": 0, "stdout": "garbage", "stderr": ""},
        {"command": "sbatch", "rc": -9, "stdout": "", "stderr": "killed"},
        {"command": "sbatch", "rc": 1, "stdout": "", "stderr": ""},
        {
            "command": "sbatch",
            "rc": 1,
            "stderr": "sbatch: error: Slurm temporarily unable to accept job, sleeping",
        },
    ],
)
def test_what_is_not_certain_is_searched_for(backend, answer):
    with pytest.raises(SubmissionError) as doubt:
        Replay(answer)(backend.submitting(submission(1, backend)))
    assert doubt.value.transient
    assert not doubt.value.credentials


def test_credentials(backend):
    with pytest.raises(SubmissionError, match="Munge") as refusal:
        Replay(recorded("sbatch_no_munge"))(backend.submitting(submission(1, backend)))
    assert refusal.value.credentials


# Polling


def test_polling_a_mixture(backend):
    lines = [line.split("|") for line in text("squeue_all").splitlines()]
    asked = {line[2]: next(ids.read(line[0]).ids()) for line in lines}
    array = [f"917038_{index}" for index in range(8)]
    told = Replay(recorded("squeue_all"), recorded("squeue_exit_codes"))(
        backend.polling([*array, *asked.values(), "917040_4", "no-such-id"])
    )
    assert [told[identity].state for identity in array] == [ENDED] * 3 + [RUNNING] + [ENDED] * 4
    assert [told[identity].exit_code for identity in array[:3]] == [0, 7, None]
    assert told["917038_2"].signal == 11
    assert told["917038_4"].failure == "cancelled"
    assert told["917038_5"].failure == "out_of_memory"
    by_name = {name: told[identity] for name, identity in asked.items()}
    assert by_name["tdown"].state is QUEUED
    assert "partition is down" in told["917040_4"].reason
    for name in ("tmany", "tlong"):
        assert (by_name[name].state, by_name[name].failure) == (HELD, "submission")
    for name in ("theld", "trehold", "tspecial"):
        assert (by_name[name].state, by_name[name].failure) == (HELD, None)
    assert by_name["tlater"].state is QUEUED
    assert by_name["trequeue"].state is RUNNING
    assert by_name["tsuspend"].state is SUSPENDED
    assert by_name["tpreempt"].failure == "node_lost"
    assert by_name["tcancel"].failure == "cancelled"
    assert (by_name["tlog"].failure, by_name["tx"].failure) == ("submission", "submission")
    assert "no-such-id" not in told


def test_time_limit(backend):
    told = Replay(recorded("squeue_array_ended"), recorded("squeue_exit_codes"))(
        backend.polling([f"917038_{index}" for index in range(8)])
    )
    assert told["917038_3"].failure == "walltime"


def test_one_command_in_steady_state(backend):
    asked = [f"917040_{index}" for index in range(0, 60, 2)]
    sent = Replay(recorded("squeue_all"))
    assert set(sent(backend.polling(asked))) == set(asked)
    (command,) = sent.commands
    assert command.env["SLURM_BITSTR_LEN"] == "0"
    assert command.env["SQUEUE_PARTITION"] is None  # a user's choice for squeue hides no job from us
    assert command.argv[-2:] == ("-j", "917040")
    many = [str(number) for number in range(1000, 1500)]
    lines = "".join(f"{number}|{number}|t|RUNNING|None|n1\n" for number in many)
    sent = Replay(squeue(lines))
    assert len(sent(backend.polling(many))) == 500
    assert "-j" not in sent.commands[0].argv
    assert "-u" in sent.commands[0].argv


def test_a_shortened_expression_makes_no_task_gone(backend):
    told = Replay(recorded("squeue_cut"))(backend.polling(["917040_0", "917040_58", "917040_1"]))
    assert told["917040_0"].state is QUEUED
    assert told["917040_58"].state is UNKNOWN
    assert told["917040_1"].state is UNKNOWN


def test_odd_lines_spoil_nothing(backend):
    odd = "\n".join(
        [
            "",
            "|",
            "x|y",
            "7_1|8|t|RUNNING",
            "7_2|9|t|RU NNING|None|n",
            "CLUSTER: x",
            "7_3|7|t|RUNNING|None|n1",
            "7_",
        ]
    )
    told = Replay(squeue(odd))(backend.polling(["7_1", "7_2", "7_3"]))
    assert (told["7_3"].state, told["7_3"].host) == (RUNNING, "n1")
    assert told["7_1"].state is told["7_2"].state is UNKNOWN


@pytest.mark.parametrize("name", ["squeue_silent", "squeue_down", "squeue_no_munge"])
def test_no_answer_is_no_answer(backend, name):
    with pytest.raises(PollError):
        Replay(recorded(name))(backend.polling(["917038_0"]))
    with pytest.raises(BackendError):
        Replay(recorded(name))(backend.finding("tabc"))
    with pytest.raises(BackendError):
        Replay(recorded(name))(backend.counting())


def test_an_answer_that_is_too_long_is_none(backend):
    with pytest.raises(PollError, match="too long"):
        Replay(squeue("x" * OUTPUT_LIMIT))(backend.polling(["1"]))


@pytest.mark.parametrize("name", ["squeue_unknown", "squeue_unknown_two"])
def test_unknown_jobs_are_no_outage(backend, name):
    sent = Replay(recorded(name), recorded("scontrol_unknown"), NO_RECORD)
    assert dict(sent(backend.polling(["999999"]))) == {}
    assert sent.commands[1].argv[-1] == "999999"
    again = Replay(recorded(name), NO_RECORD)
    assert dict(again(backend.polling(["999999"]))) == {}, "what is forgotten is not looked up again"


def test_what_squeue_hides_is_looked_up(backend):
    """Its filters may come from the environment."""
    asked = [f"917038_{index}" for index in range(8)]
    told = Replay(NOTHING, recorded("scontrol_array"))(backend.polling(asked))
    assert [told[identity].state for identity in asked] == [ENDED] * 3 + [RUNNING] + [ENDED] * 4
    assert told["917038_1"].exit_code == 7
    waiting = Replay(NOTHING, recorded("scontrol_pending_array"))(backend.polling(["917040_2"]))
    assert waiting["917040_2"].state is QUEUED


def test_a_controller_that_vanishes_in_between(backend):
    told = Replay(NOTHING, recorded("scontrol_silent"))(backend.polling(["917038_1"]))
    assert told["917038_1"].state is UNKNOWN


def test_few_are_looked_up_in_one_poll(backend):
    asked = [str(number) for number in range(100, 150)]
    sent = Replay(NOTHING, *[UNKNOWN_JOB] * 20, NO_RECORD)
    told = sent(backend.polling(asked))
    assert set(told) == set(asked[20:])
    assert {report.state for report in told.values()} == {UNKNOWN}


def test_forgotten_endings_are_read_from_the_completion_record(backend):
    asked = [*(f"917038_{index}" for index in range(3)), "917038_5", "917039", "917059_2", "917038_99"]
    sent = Replay(NOTHING, *[UNKNOWN_JOB] * 3, recorded("filetxt"))
    told = sent(backend.polling(asked))
    assert {identity: report.state for identity, report in told.items()} == dict.fromkeys(asked[:-1], ENDED)
    assert [told[identity].exit_code for identity in asked[:3]] == [0, 7, None]
    assert told["917038_5"].failure == "out_of_memory"
    assert told["917059_2"].failure == "cancelled"
    assert sent.commands[-1].stdin.splitlines()[0] == "^JobId=917038 "
    again = Replay(NOTHING)(backend.polling(asked[:-1]))
    assert again == told


def test_a_task_that_vanishes_while_it_waits_was_cancelled(backend, clock):
    lines = "7_[1-3]|7|t|PENDING|Resources|n/a\n"
    Replay(squeue(lines))(backend.polling(["7_1", "7_2", "7_3"]))
    clock.now += 60
    rest = "7_[1-2]|7|t|PENDING|Resources|n/a\n"
    told = Replay(squeue(rest), NO_RECORD)(backend.polling(["7_1", "7_2", "7_3"]))
    assert told["7_3"].failure == "cancelled"
    assert told["7_1"].state is QUEUED


def test_after_a_long_silence_nothing_is_concluded(backend, clock):
    Replay(squeue("7_[1-3]|7|t|PENDING|Resources|n/a\n"))(backend.polling(["7_1", "7_3"]))
    clock.now += 400
    told = Replay(squeue("7_1|7|t|PENDING|Resources|n/a\n"), NO_RECORD)(backend.polling(["7_1", "7_3"]))
    assert set(told) == {"7_1"}


def test_an_array_that_the_controller_lost_is_not_called_cancelled(backend):
    Replay(squeue("7_[1-3]|7|t|PENDING|Resources|n/a\n"))(backend.polling(["7_1", "7_3"]))
    assert dict(Replay(NOTHING, UNKNOWN_JOB, NO_RECORD)(backend.polling(["7_1", "7_3"]))) == {}


KILLED = squeue("7_1|9|tabc|FAILED|JobLaunchFailure|n1\n7_2|10|tabc|FAILED|JobLaunchFailure|n1\n")
STATUSES = squeue(f"{'7_1':24}{9:<24}\n{'7_2':24}{9:<24}\n")


def test_the_log_tells_of_memory(backend):
    backend.directories["tabc"] = Path("/home/user/job")
    log = "slurmstepd: error: StepId=9.batch exceeded memory limit (328019968 > 104857600), being killed\n"
    told = Replay(KILLED, STATUSES, {"command": "grep", "stdout": log})(backend.polling(["7_1", "7_2"]))
    assert told["7_1"].failure == "out_of_memory"
    assert (told["7_2"].failure, told["7_2"].signal) == (None, 9)


def test_held_tasks_that_have_started_may_execute(backend):
    backend.directories["tabc"] = Path("/home/user/job")
    held = squeue("".join(f"7_{i}|{i}|tabc|PENDING|launch failed requeued held|n/a\n" for i in (1, 2)))
    told = Replay(held, {"command": "find", "stdout": "1\n"})(backend.polling(["7_1", "7_2"]))
    assert (told["7_1"].state, told["7_1"].failure) == (HELD, None)
    assert (told["7_2"].state, told["7_2"].failure) == (HELD, "node_lost")


# The rest


def test_finding(backend):
    found = Replay(recorded("squeue_by_name"), recorded("filetxt_by_name"))(
        backend.finding("tmixedabcdefghi")
    )
    assert found == {index: f"917038_{index}" for index in range(8)}
    assert Replay(recorded("squeue_by_unused_name"), NO_RECORD)(backend.finding("tnosuch")) == {}
    forgotten = Replay(NOTHING, recorded("filetxt_by_name"))(backend.finding("tmixedabcdefghi"))
    assert forgotten == found
    assert Replay(NOTHING, recorded("filetxt_by_name"))(backend.finding("tmixedabcdefgh")) == {}


def test_a_search_that_cannot_be_read_finds_nothing_out(backend):
    with pytest.raises(PollError):
        Replay(squeue("7_[1,3...|7|tabc|PENDING|Resources|n/a\n"), NO_RECORD)(backend.finding("tabc"))


def test_cancelling(backend):
    sent = Replay(recorded("scancel_unknown"))
    sent(backend.cancelling(["999999_3", "999999_4", "999998", "no-such-id"]))
    assert sent.commands[0].argv[1:] == ("999998", "999999_[3-4]")
    Replay(recorded("scancel_ended"))(backend.cancelling(["917038_0"]))
    Replay()(backend.cancelling(["no-such-id"]))
    for name in ("scancel_silent", "scancel_down"):
        with pytest.raises(BackendError):
            Replay(recorded(name))(backend.cancelling(["917041"]))


def test_cancelling_many_takes_few_commands(backend):
    singles = [str(number) for number in range(1_000_000, 1_030_000)]
    sent = Replay(*[{"command": "scancel"}] * 3)
    sent(backend.cancelling(singles))
    assert sum(len(command.argv) - 1 for command in sent.commands) == len(singles)


def test_counting(backend):
    # 31 tasks of one array and seven more jobs wait or execute.
    assert Replay(recorded("squeue_count"))(backend.counting()) >= 31
    assert Replay(squeue("1\n2_[0-9%3]\n3_4\n"))(backend.counting()) == 12
    assert Replay(NOTHING)(backend.counting()) == 0


def test_surveying(clock):
    backend = Slurm(clock=clock)
    answers = (recorded("scontrol_config"), recorded("sinfo_disk"), recorded("filetxt_probe"))
    found = Replay(*answers)(backend.surveying())
    assert found.version == "22.05.8"
    assert (found.max_array_size, found.max_jobs, found.min_job_age) == (100001, 100000, 300.0)
    assert (found.memory, found.disk, found.default_memory) == (Memory.FILETXT, False, "256 MB a cpu")
    assert backend.limits(found).array_limit == 99999
    assert backend.limits(None).array_limit == 1000
    with pytest.raises(PollError):
        Replay(recorded("scontrol_config_silent"))(backend.surveying())


def test_what_the_doctor_tells(backend):
    told = backend.findings(Site(min_job_age=60.0, message_timeout=200.0, disk=False))
    assert [finding.level for finding in told] == ["note", "note", "note", "warning"]
    assert told[-1].settings == {"command_timeout": 220}
    assert len(backend.findings(Site(memory=Memory.SACCT, default_memory="2000 MB a cpu"))) == 1


def test_a_site_with_accounting():
    config = "AccountingStorageType = accounting_storage/slurmdbd\nJobCompType = jobcomp/none\n"
    tool = "{}".format
    with_it = Replay(squeue() | {"command": "sinfo"}, {"command": "sacct"})
    assert with_it(site.completing(site.read(config), tool)).memory is Memory.SACCT
    without = Replay({"command": "sinfo"}, recorded("sacct_disabled"))
    assert without(site.completing(site.read(config), tool)).memory is Memory.NOBODY


def test_sites_are_read_tolerantly():
    assert site.read("") == Site()
    assert site.read("MaxArraySize = lots\nMaxArraySize\n=\n\0").max_array_size == 1001
    small = site.read(
        "MaxArraySize = 50000\nSchedulerParameters = bf_x,max_array_tasks=2000,y=1\nMaxJobCount = 900"
    )
    assert (small.max_array_size, small.array_limit) == (2000, 899)
    assert site.read("MaxArraySize = 0").array_limit == 1
    assert Slurm().limits(site.read("MinJobAge = 20 sec")).poll_interval == timedelta(seconds=10)


ODD = """\
13|a|b|TIMEOUT|0:0|n2|
14|tabc|FAILED|0:9|n2|
14.extern|extern|COMPLETED|0:0|n2|9G
14.batch|batch|OUT_OF_MEMORY|0:125|n2|1.5G
nonsense
15|tabc||0:0|n2|
"""


def test_sacct(backend):
    backend._site = Site(memory=Memory.SACCT)
    asked = [*(f"937001_{index}" for index in range(8)), "937002", "937003_2", "937003_3"]
    told = Replay(NOTHING, *[UNKNOWN_JOB] * 3, recorded("sacct"))(backend.polling(asked))
    assert [told[identity].failure for identity in asked[:-1]] == [
        *(None, "exit_code", None, "cancelled", "cancelled", "out_of_memory", None, None),
        *(None, "cancelled"),
    ]
    assert "937003_3" not in told
    assert (told["937001_1"].exit_code, told["937001_2"].signal, told["937001_5"].signal) == (7, 11, None)
    assert round(told["937001_5"].peak_memory_mb) == 26
    found = Replay(NOTHING, recorded("sacct_by_name"))(backend.finding("tacctabcdefghij"))
    assert found == {index: f"937001_{index}" for index in range(8)}
    assert Replay(NOTHING, recorded("sacct_no_name"))(backend.finding("tnosuch")) == {}
    assert dict(Replay(NOTHING, UNKNOWN_JOB, recorded("sacct_nothing"))(backend.polling(["999999"]))) == {}


def test_odd_answers_of_sacct(backend):
    records = list(accounting.records_of_sacct(ODD))
    told = accounting.told(records, ["13", "14", "15"])
    assert told["13"].state == "TIMEOUT"
    assert (told["14"].state, told["14"].peak_memory_mb) == ("OUT_OF_MEMORY", 1536)
    assert "15" not in told
    backend._site = Site(memory=Memory.SACCT)
    with pytest.raises(BackendError):
        Replay(NOTHING, {"command": "sacct", "rc": 1, "stderr": "Connection refused"})(
            backend.finding("tabc")
        )


def test_the_last_record_of_a_requeued_job_counts():
    twice = "JobId=5 Name=t JobState=NODE_FAIL ExitCode=0:0\nJobId=5 Name=t JobState=COMPLETED ExitCode=0:0\n"
    records = list(accounting.records_of_filetxt(twice))
    assert accounting.told(records, ["5"])["5"].state == "COMPLETED"
    assert ids.read("5").base == "5"
