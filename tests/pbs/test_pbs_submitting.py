"""What is submitted, and what a refusal means."""

from pathlib import Path

import pytest

from caf_core.errors import SubmissionError
from caf_core.jobs.backend import Submission
from caf_core.jobs.task import Resources
from caf_core.testing.replay import Replay
from caf_pbs import PBS
from caf_pbs.backend import SPARE_TIME
from caf_pbs.site import Site, identify

HISTORY = Site(version="23.06.06", history=True)
FORGETFUL = Site(version="23.06.06")
TORQUE = identify("Version: 6.1.2")
SILENCE = {"rc": None}


def made(site):
    backend = PBS()
    backend._site = site
    return backend


def task(number, *indices):
    return [f"{number}[{index}].vm" for index in indices]


def submission(size=2, **more):
    return Submission("caf0123456789ab", "a name", Path("/a folder's"), size, **more)


def sent(backend, one, *answers):
    replay = Replay(*answers)
    ids = replay(backend.submitting(one))
    return ids, replay.commands


def test_an_array_is_one_command():
    ids, (command,) = sent(made(HISTORY), submission(3), {"command": "qsub", "stdout": "7[].vm\n"})
    assert ids == task(7, 0, 1, 2)
    assert command.submits
    assert command.cwd == Path("/")
    words = " ".join(command.argv[1:])
    assert words == (
        "-N caf0123456789ab -S /bin/sh -m n -j oe -o localhost:/dev/null -f -J 0-2 -r y -l select=1:ncpus=1"
    )
    assert command.argv[0] == "qsub"


@pytest.mark.parametrize("noise", ["3\n", "3 jobs allowed\n", "22.05.6\n", "10.30\n", "12.5 hours left\n"])
def test_only_the_id_is_taken_for_it(noise):
    for stdout in (f"{noise}\n7.vm\n", f"7.vm\n{noise}"):
        assert sent(made(HISTORY), submission(1), {"stdout": stdout})[0] == ["7.vm"]


def test_torque_has_options_of_its_own():
    _, (command,) = sent(made(TORQUE), submission(3), {"stdout": "7[].vm\n"})
    words = " ".join(command.argv[1:])
    assert words == "-N caf0123456789ab -S /bin/sh -m n -j oe -o /dev/null -t 0-2 -r y -l nodes=1:ppn=1"


def test_arguments_of_the_user():
    args = {
        "queue": "short",
        "account": "acc",
        "project": "proj",
        "priority": 5,
        "extra_args": ["-l", "place=excl"],
    }
    one = submission(1, backend_args={**args, "path_prefix": "/opt/pbs/bin"})
    backend = PBS(backend_args={"path_prefix": "/opt/pbs/bin"})
    backend._site = HISTORY
    _, (command,) = sent(backend, one, {"stdout": "7.vm\n"})
    assert command.argv[0] == "/opt/pbs/bin/qsub"
    words = " ".join(command.argv)
    assert "-q short -A acc -p 5 -P proj" in words
    assert words.endswith("-l place=excl")
    backend._site = TORQUE
    assert "proj" not in sent(backend, one, {"stdout": "7.vm\n"})[1][0].argv


def test_the_script():
    backend = made(HISTORY)
    lines = ["#PBS -W umask=022", "module load x"]
    text = backend.script(submission(3, backend_args={"extra_lines": lines}))
    assert text.splitlines()[:3] == ["#!/bin/sh", *lines]
    assert "cd '/a folder'\"'\"'s' || exit 127" in text
    assert '"${PBS_ARRAY_INDEX:-$PBS_ARRAYID}" "$PBS_JOBID"' in text
    assert '"0" "$PBS_JOBID"' in backend.script(submission(1))
    assert "module load x\n" in backend.script(submission(1, backend_args={"extra_lines": "module load x"}))


def test_time_to_spare_where_nobody_would_tell():
    one = submission(1, resources=Resources(walltime=SPARE_TIME))
    _, (command,) = sent(made(HISTORY), one, {"stdout": "7.vm\n"})
    assert "walltime=00:01:00" in command.argv
    _, (command,) = sent(made(FORGETFUL), one, {"stdout": "7.vm\n"})
    assert "walltime=00:02:00" in command.argv
    refusal = {"rc": 188, "stderr": "qsub: Job violates queue and/or server resource limits\n"}
    _, commands = sent(made(FORGETFUL), one, refusal, {"stdout": "7.vm\n"})
    assert "walltime=00:01:00" in commands[1].argv


@pytest.mark.parametrize(
    "answer",
    [
        SILENCE,
        {"rc": 162, "stderr": "qsub: cannot connect to server vm (errno=15010)\n"},
        {"rc": 183, "stderr": "qsub: Batch protocol error\n"},
        {"rc": -9},
        {"rc": 1, "stderr": "connection lost\n"},
        {"rc": 0, "stdout": ""},
        {"rc": 0, "stdout": "7[].v"},
        {"rc": 0, "stdout": "7.vm\n"},  # no array
        {"rc": 0, "stdout": "3 jobs allowed, you have 123[].server\n"},
        {"rc": 0, "stdout": "7[].vm\n8[].vm\n"},
        {"rc": 198, "stderr": "qsub: Maximum number of jobs already in queue\n"},
        {"rc": 38, "stderr": "qsub: would exceed complex's per-user limit of jobs in 'Q' state\n"},
    ],
)
def test_what_may_be_tried_again(answer):
    with pytest.raises(SubmissionError) as caught:
        sent(made(HISTORY), submission(2), answer)
    assert caught.value.transient
    assert caught.value.full == (answer.get("rc") in (198, 38))


@pytest.mark.parametrize(
    ("site", "answer", "words"),
    [
        (HISTORY, {"rc": 187, "stderr": "qsub: Unknown resource Resource_List.x\n"}, "resource_list"),
        (HISTORY, {"rc": 3, "stderr": "qsub: Array job exceeds server or queue size limit\n"}, "array_limit"),
        (
            HISTORY,
            {"rc": 32, "stderr": "qsub: request rejected by the site's hook: no account\n"},
            "no account",
        ),
        (HISTORY, {"rc": 127, "stderr": "No such file or directory; is this a submit node"}, "submit node"),
        (
            TORQUE,
            {"rc": 172, "stderr": "qsub: submit error (Unknown queue MSG=cannot locate queue)\n"},
            "'queue'",
        ),
    ],
)
def test_what_is_refused_for_good(site, answer, words):
    queues = [{"command": "qstat -Q", "rc": 255}] if "queue)" in answer["stderr"] else []
    with pytest.raises(SubmissionError, match=words) as caught:
        sent(made(site), submission(2), answer, *queues)
    assert not caught.value.transient


def test_expired_credentials_pause():
    answer = {"rc": 172, "stderr": "qsub: Expired credential\n"}
    with pytest.raises(SubmissionError) as caught:
        sent(made(HISTORY), submission(1), answer)
    assert caught.value.credentials
