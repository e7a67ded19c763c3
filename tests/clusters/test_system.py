"""Whole runs on real batch systems, nothing disturbed: calibrations, many tasks, failures, cancelling."""

import json
import signal
import sys
from pathlib import Path

import pytest

from caf_core.testing.bench import wait_until
from clusters.experiment import PATIENCE, Experiment, ended_well

COUNT = "echo x >> $0/counts/{index}"
"""Shell for a task: a line in a file of its own; ``$0`` is the folder of the experiment."""
HOG = "import time; taken = bytearray(b'x') * ({} << 20); time.sleep({})"
"""A Python program that takes so many MiB, so long."""


@pytest.fixture
def counts(experiment):
    (experiment.place / "counts").mkdir()
    return experiment


def attempts(experiment: Experiment, task: str = "0") -> list[dict[str, object]]:
    """What ``caf why`` tells about the attempts of a task."""
    told = json.loads(experiment.caf("why", "-p", "out", "--json", "job", task))
    return told["cases"][0]["attempts"]


def test_the_demo_gives_the_same_payloads_as_here(experiment, tmp_path):
    data = tmp_path / "toy"
    here = Experiment("local", tmp_path / "here")
    here.finish("demo_on.py", data)
    experiment.finish("demo_on.py", data)
    assert len(here.result()) > 10
    assert experiment.result() == here.result()


def test_a_thousand_subjobs_are_one_command(counts):
    behind = {"htcondor": "priority=-10", "slurm": "nice=1000"}  # the other tests need not wait for these
    words = ("-n", 1000, "--backend-arg", behind[counts.backend], "--", "sh", "-c", COUNT, counts.place)
    process = counts.submit(*words)
    ended_well(process)
    assert counts.submissions() == 1
    assert counts.work() == {str(index): 1 for index in range(1000)}


def test_a_subjob_that_fails_twice_and_then_succeeds(counts):
    shell = f"{COUNT}; test {{index}} != 1 || test $(wc -l < $0/counts/1) = 3 || exit 4"
    ended_well(counts.submit("-n", 3, "--attempts", 3, "--", "sh", "-c", shell, counts.place))
    assert counts.work() == {"0": 1, "1": 3, "2": 1}
    assert [(one["state"], one["exit_code"]) for one in attempts(counts, "1")] == [
        ("failed", 4),
        ("failed", 4),
        ("completed", 0),
    ]


def test_too_much_memory_gets_more(experiment):
    command = [sys.executable, "-c", HOG.format(170, 15 if experiment.backend == "htcondor" else 1)]
    ended_well(experiment.submit("--memory", "100MB", "--", *command))
    if experiment.backend == "slurm":
        found = attempts(experiment)
        assert [one["failure"] for one in found] == ["out_of_memory", "out_of_memory", ""]
        assert [one["memory_mb"] for one in found] == [100, 151, 227]
    else:  # a held job is not submitted again, but edited and released
        (log,) = experiment.output.rglob("events.log")
        assert log.read_text().count("\n012 (") == 2
        assert experiment.submissions() == 1


@pytest.mark.parametrize(
    ("options", "shell", "expected"),
    [
        ((), "exit 7", {"failure": "exit_code", "exit_code": 7}),
        ((), "kill -SEGV $$", {"failure": "exit_code", "signal": int(signal.SIGSEGV)}),
        (("--walltime", "3s"), "sleep 300", {"failure": "walltime"}),
        (("--outputs", "nothing"), "true", {"failure": "bad_output"}),
    ],
    ids=["exit code", "signal", "time", "output"],
)
def test_a_failure_has_its_kind(experiment, options, shell, expected):
    process = experiment.submit(*options, "--attempts", 1, "--", "sh", "-c", shell)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    (attempt,) = attempts(experiment)
    assert {key: attempt[key] for key in expected} == expected
    assert expected["failure"].replace("_", " ") in experiment.caf("why", "-p", "out", "job").replace(
        "_", " "
    )


def test_what_is_cancelled_ends(counts):
    told = counts.finish("cancelling.py", 6)
    assert told.splitlines() == ["failed cancelled"] * 6
    sleepers = [int(path.read_text()) for path in (counts.place / "counts").iterdir()]
    wait_until(lambda: not any(map(executes, sleepers)), 60, "the tasks' processes have ended")


def test_ctrl_c_leaves_to_the_cluster_what_executes_there(counts):
    command = ["-n", 4, "--", "sh", "-c", f"{COUNT}; sleep 6", counts.place]
    process = counts.submit(*command)
    wait_until(lambda: len(counts.work()) == 4, 100, "all tasks execute")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode not in (0, 1)
    ended_well(counts.submit(*command))
    assert counts.work() == {str(index): 1 for index in range(4)}
    assert counts.submissions() == 1


def executes(pid: int) -> bool:
    """Whether there is such a process, and it is not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
