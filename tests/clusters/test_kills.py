"""The controller is killed (SIGKILL) while it submits and while tasks execute on a real batch system; started
again, it ends with the payloads of an undisturbed run on this machine, and every attempt has worked once.
"""

import fcntl
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from caf_core.control.crash import JOB_POINTS, VARIABLE
from clusters.experiment import PATIENCE, Experiment

PROGRAM = "counting.py"
KILLER = Path(__file__).parent / "programs" / "killer.sh"
POINTS = {
    "submission.intent.before": (1, 2, 1),
    "submission.intent.after": (1, 2, 2),
    "submission.command.after": (1, 1, 1),
    "submission.ids.after": (1, 1, 1),
    "records.change.before": (1, 2, 1),
    "records.change.after": (1, 2, 1),
}
"""At which passages it dies, start by start. The first submission is an array, the second a task that is
tried again, the third the next iteration.
"""
MOMENTS = {
    "instead of the command": ("before", "before", "before"),
    "before the command": ("orphan", "orphan", "orphan"),
    "long before the command": ("late:3", "late:1", "late:3"),
    "with the command": ("with:0.005", "with:0.1", "with:0.2"),
    "during the command": ("during:0.01", "during:0.1", "during:0.25"),
    "after the command": ("after", "after", "after"),
    "after the answer": ("told", "told", "told"),
}
"""In the submit command, start by start; see ``killer.sh``."""
SEEDS = range(6)
"""Each stands for some kills of one calibration, at random."""


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """What comes out on this machine, undisturbed; the processes of the tests share it."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "undisturbed"
    place.mkdir(exist_ok=True)
    experiment = Experiment("local", place)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not experiment.output.exists():
            experiment.finish(PROGRAM)
    assert set(experiment.work().values()) == {1}
    return experiment


@pytest.fixture
def settle(undisturbed, experiment, record_property):
    """Start again, let it end, and compare."""

    def settle(kills: int) -> None:
        experiment.finish(PROGRAM)
        expected, found = undisturbed.work(), experiment.work()
        lost, repeated = expected - found, found - expected
        for name, number in (("kill points", kills), ("lost", lost.total()), ("repeated", repeated.total())):
            record_property(name, number)
        assert (lost, repeated) == ({}, {})
        assert experiment.result() == undisturbed.result()

    return settle


def died(process: "subprocess.Popen[str]", timeout: float | None = None) -> bool:
    """Whether it was killed before its end; it is killed here after so many seconds [s]."""
    try:
        _, errors = process.communicate(timeout=timeout or PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        assert timeout is not None, "it hangs"
        return True
    assert process.returncode in (0, -signal.SIGKILL), errors
    return process.returncode != 0


def test_every_named_point_is_tried():
    assert tuple(POINTS) == JOB_POINTS


@pytest.mark.parametrize("when", ["orphan", "late:0", "with:2", "during:0", "after", "told"])
def test_the_killer_hands_on_the_script_that_a_submit_command_reads(tmp_path, when):
    for folder, text in (("real", '#!/bin/sh\ncat >"$KILLER_PLACE/heard"\n'), ("first", KILLER.read_text())):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "qsub").write_text(text)
        (tmp_path / folder / "qsub").chmod(0o755)
    (tmp_path / "script").write_text("whole\n")
    (tmp_path / "armed").touch()
    environment = {"PATH": f"{tmp_path}/first:{tmp_path}/real:{os.environ['PATH']}"}
    environment |= {"KILLER_PLACE": str(tmp_path), "KILLER_WHEN": when}
    with subprocess.Popen(["sleep", "1000"]) as controller, (tmp_path / "script").open() as script:
        (tmp_path / "controller").write_text(str(controller.pid))
        subprocess.run(["qsub"], env=environment, stdin=script, stdout=subprocess.DEVNULL, timeout=60)
        assert controller.wait(PATIENCE) == -signal.SIGKILL
    assert (tmp_path / "heard").read_text() == "whole\n"


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_named_point(experiment, settle, point):
    kills = sum(
        died(experiment.start(PROGRAM, **{VARIABLE: f"{point}:{passage}"})) for passage in POINTS[point]
    )
    assert kills >= 2
    settle(kills)


@pytest.mark.parametrize("name", MOMENTS)
def test_killed_in_the_submit_command(experiment, settle, name):
    kills = sum(died(experiment.start(PROGRAM, KILLER_WHEN=moment)) for moment in MOMENTS[name])
    assert kills >= 2
    settle(kills)


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_any_moment(experiment, settle, seed):
    moments = random.Random(seed)
    settle(sum(died(experiment.start(PROGRAM), moments.uniform(0.5, 5)) for _ in range(4)))


def test_an_answer_that_never_comes(experiment, settle):
    """Nobody is killed, but the submit command: it was accepted, and is found by its token."""
    experiment.finish(PROGRAM, KILLER_WHEN="mute")
    settle(0)
