"""Recorded answers of a real OpenPBS are read as they are meant."""

import json
from pathlib import Path

import pytest

from caf_core.errors import SubmissionError
from caf_core.jobs.backend import SchedulerState, Submission
from caf_core.testing.replay import Replay
from caf_pbs import PBS
from caf_pbs.meaning import report
from caf_pbs.records import from_text, read
from caf_pbs.site import Format, Site

FOLDER = Path(__file__).parent / "transcripts"
ENDINGS = (("exit_7_record", "207"), ("signal_9_record", "208"))
SITE = Site(version="23.06.06", history=True)
NO_QUEUES = {"command": "qstat -Q", "rc": 255}


def recorded(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def record(name, key, form=Format.JSON):
    return read(recorded(name)["stdout"], form)[key]


@pytest.fixture
def backend():
    backend = PBS()
    backend._site = SITE
    return backend


def submission(size):
    return Submission("caf0123456789ab", "name", Path("/folder"), size)


# qsub


@pytest.mark.parametrize(
    ("name", "number"), [("ok", 308), ("fail", 309), ("slow", 311), ("hold", 312), ("walltime", 313)]
)
def test_a_single_job_is_taken(backend, name, number):
    assert Replay(FOLDER / f"qsub_{name}.json")(backend.submitting(submission(1))) == [f"{number}.vm"]


def test_an_array_is_taken(backend):
    ids = Replay(FOLDER / "qsub_array.json")(backend.submitting(submission(6)))
    assert ids == [f"310[{index}].vm" for index in range(6)]


def test_the_script_is_read_from_a_file(backend):
    # Recorded: of a script that comes through a pipe whose writer dies, an array of nothing is accepted.
    replay = Replay(FOLDER / "qsub_empty_script_array.json")
    replay(backend.submitting(submission(2)))
    assert replay.commands[0].stdin == Path("/folder/pbs.sh")
    assert list(backend.files(submission(2))) == ["pbs.sh"]


@pytest.mark.parametrize(
    ("name", "words", "further"),
    [
        ("bad_name", "illegal -N value", ()),
        ("one_element_array", "illegal -J value", ()),
        ("over_limit", "violates queue and/or server resource limits; ask for less", ()),
        ("unknown_queue", "Unknown queue; choose a queue", (NO_QUEUES,)),
    ],
)
def test_a_refusal_is_final_and_names_the_remedy(backend, name, words, further):
    with pytest.raises(SubmissionError, match=words) as caught:
        Replay(FOLDER / f"qsub_{name}.json", *further)(backend.submitting(submission(1)))
    assert not caught.value.transient
    assert caught.value.returncode == recorded(f"qsub_{name}")["rc"]


# qdel


@pytest.mark.parametrize("name", ["finished", "held", "running", "unknown"])
def test_cancelling_what_is_gone_is_no_error(backend, name):
    Replay(FOLDER / f"qdel_{name}.json")(backend.cancelling(["308.vm"]))


# qstat


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [
        ("qstat_finished", "308", (0, None, None)),
        ("qstat_known_and_unknown", "308", (0, None, None)),
        ("qstat_failed", "309", (3, None, None)),
        ("qstat_array_done", "310[2]", (5, None, None)),
        ("qstat_array_done", "310[3]", (0, None, None)),
        ("qstat_array_subjobs_history", "310[2]", (5, None, None)),
        ("qstat_deleted_running", "311", (None, 15, "cancelled")),
        ("qstat_deleted_held", "312", (None, None, "cancelled")),
        ("qstat_walltime_exceeded", "313", (None, None, "walltime")),
        ("exit_7_record", "207", (7, None, None)),
        ("signal_9_record", "208", (137, None, None)),
        ("nohistory_subjob_after_force_record", "209[2]", (1, None, "cancelled")),
    ],
)
def test_endings(name, key, expected):
    told = report("", record(name, key), torque=False)
    assert told.state is SchedulerState.ENDED
    assert (told.exit_code, told.signal, told.failure) == expected


def test_how_a_script_ended_is_told_in_words():
    said = {name: report("", record(*name), torque=False).reason for name in ENDINGS}
    assert said[ENDINGS[0]].startswith("its script ended with exit code 7 (Job run at")
    assert said[ENDINGS[1]].startswith("killed by signal 9 (Exit_status 137) (Job run at")


def test_a_held_array_is_told_as_held_although_its_tasks_are_listed_as_queued(backend):
    ids = [f"205[{index}].pbs-server" for index in range(4)]
    told = Replay(FOLDER / "held_array_listing.json", FOLDER / "held_array_record.json")(backend.polling(ids))
    assert {one.state for one in told.values()} == {SchedulerState.HELD}
    assert {one.reason for one in told.values()} == {"held by its owner (Hold_Types u); see qrls"}


def test_without_history_a_task_deleted_from_an_array_is_told_as_long_as_the_array_lives(backend):
    backend._site = Site(version="23.06.06")
    ids = [f"209[{index}].pbs-server" for index in (1, 2)]
    Replay(FOLDER / "nohistory_qdel_force_subjob.json")(backend.cancelling(ids[1:]))
    names = ("nohistory_subjob_after_force_listing", "nohistory_subjob_after_force_record")
    answers = [FOLDER / f"{name}.json" for name in names]
    told = Replay(*answers)(backend.polling(ids))
    assert [told[one].failure for one in ids] == [None, "cancelled"]


def test_what_else_a_record_tells():
    told = report("", record("qstat_walltime_exceeded", "313"), torque=False)
    assert told.host == "vm"
    assert told.peak_memory_mb == 7084 / 1024
    assert "exceeded resource walltime" in told.reason


@pytest.mark.parametrize(
    ("name", "key", "state"),
    [
        ("qstat_live_all", "310[]", SchedulerState.RUNNING),
        ("qstat_live_all", "311", SchedulerState.RUNNING),
        ("qstat_live_all", "312", SchedulerState.HELD),
        ("qstat_live_with_subjobs", "310[2]", SchedulerState.ENDED),
        ("qstat_live_with_subjobs", "310[3]", SchedulerState.RUNNING),
        ("qstat_array_subjobs_history", "310[5]", SchedulerState.RUNNING),
    ],
)
def test_states_of_what_lives(name, key, state):
    assert report("", record(name, key), torque=False).state is state


def test_the_text_form_tells_the_same():
    text = from_text(recorded("qstat_finished_text")["stdout"])["308.vm"]
    structured = record("qstat_finished", "308")
    for name in ("job_state", "Exit_status", "exec_host", "resources_used.walltime", "comment", "substate"):
        assert text[name] == structured[name]
    assert "PBS_O_SHELL=/bin/bash" in text["Variable_List"]
    assert "PBS_O_HOST=localhost" in text["Variable_List"]


def test_the_delimited_form_tells_the_same():
    lines = recorded("qstat_history_dsv")["stdout"].splitlines()
    for line in filter(None, lines):
        key = line.partition("|")[0].removeprefix("Job Id: ").partition(".")[0]
        fields = dict(field.partition("=")[::2] for field in line.split("|")[1:])
        structured = record("qstat_array_done", key)
        assert fields["Exit_status"] == structured["Exit_status"]


@pytest.mark.parametrize("name", ["qstat_unknown", "qstat_finished_without_x"])
def test_jobs_that_are_not_told_of_are_left_out(backend, name):
    nobody = {"command": "qstat -t -u somebody -w"}
    assert Replay(nobody, FOLDER / f"{name}.json")(backend.polling(["99999.vm"])) == {}


def test_every_recording_is_used():
    text = Path(__file__).read_text()
    stems = [path.stem for path in FOLDER.glob("*.json")]
    assert len(stems) > 20
    told = [[f'"{stem}"', f'"{stem}.json"', f'"{stem.partition("_")[2]}"'] for stem in stems]
    unused = [stem for stem, forms in zip(stems, told, strict=True) if not any(map(text.__contains__, forms))]
    assert not [stem for stem in unused if stem != "qsub_array"]
