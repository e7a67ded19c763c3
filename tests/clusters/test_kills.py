"""The controller is killed (SIGKILL) while it submits and while tasks execute on a real batch system; started
again, it ends with the payloads of an undisturbed run on this machine, and every attempt has worked once.
"""

import fcntl
import os
import random
import signal
import subprocess

import pytest

from caf_core.control.crash import JOB_POINTS, VARIABLE
from clusters.experiment import Experiment

PROGRAM = "counting.py"
PASSAGES = {"records.change.before": (1, 2), "records.change.after": (1, 2)}
"""The first submission is an array, the second a task that is tried again, the third the next iteration."""
POINTS = [f"{point}:{number}" for point in JOB_POINTS for number in PASSAGES.get(point, (1, 2, 3))]
MOMENTS = (
    *("before:1", "before:3", "orphan:1", "orphan:2", "late:1:3", "late:3:3"),
    *("with:1:0.005", "with:3:0.1", "with:1:0.2", "during:1:0.01", "during:2:0.1", "during:3:0.25"),
    *("after:1", "after:2", "after:3", "told:1", "told:2"),
)
"""In the submit command; see ``killer.sh``."""
SEEDS = range(8)
"""Each stands for three kills at random moments of one calibration."""


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


def died(process: "subprocess.Popen[str]", timeout: float) -> bool:
    """Whether it was killed; it is killed here if nothing else did."""
    try:
        _, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    assert process.returncode in (0, -signal.SIGKILL), errors
    return process.returncode != 0


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_named_point(experiment, settle, point):
    process = experiment.start(PROGRAM, **{VARIABLE: point})
    _, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, f"it never came to {point}: {errors}"
    settle(1)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_in_the_submit_command(experiment, settle, moment):
    process = experiment.start(PROGRAM, KILLER_WHEN=moment)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, f"it never came to {moment}: {errors}"
    settle(1)


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_any_moment(experiment, settle, seed):
    moments = random.Random(seed)
    kills = sum(died(experiment.start(PROGRAM), moments.uniform(0.5, 5)) for _ in range(3))
    settle(kills)


@pytest.mark.parametrize("number", [1, 3])
def test_an_answer_that_never_comes(experiment, settle, number):
    """Nobody is killed, but the submit command: it was accepted, and is found by its token."""
    experiment.finish(PROGRAM, KILLER_WHEN=f"mute:{number}")
    settle(0)
