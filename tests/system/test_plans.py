"""The controller, or everything, is killed in the middle of a plan: the next one goes on from the journal."""

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from attrs import define

from caf_core.conditions.local import LocalDatabase

SCRIPT = """
import fcntl
import os
from pathlib import Path
from caf_core import CAF, Algorithm, Calibration, Outcome

HERE = Path(__file__).parent

def collect(context):
    for run in range(1, 7):
        context.put((1, run), [run], entries=1)

def fit(context):
    (run,) = context.data().merged()
    with open(HERE / "counts", "a") as counts:
        counts.write(f"{run}\\n")
    if run == 3:
        with open(HERE / "started", "w") as started:
            started.write(f"{os.getpid()}\\n")
        with open(HERE / "gate") as gate:
            fcntl.flock(gate, fcntl.LOCK_SH)
    return Outcome("ok", {"x": FACTOR * run})

cal = Calibration("cal", collect, [Algorithm(fit, "fit")], [HERE / "a"])
cal.strategies = "SimpleRunByRun"
cal.runner = RUNNER
caf = CAF(HERE / "out")
caf.add_calibration(cal)
caf.run()
"""
PATIENCE = 120


@define
class Scene:
    """A calibration of six runs; the execution of the third waits for a lock that the test holds."""

    folder: Path
    started: int
    gate: int

    def start(self, factor: int = 1, runner: str = "sequential") -> "subprocess.Popen[str]":
        script = self.folder / "script.py"
        script.write_text(SCRIPT.replace("FACTOR", str(factor)).replace("RUNNER", repr(runner)))
        return subprocess.Popen(
            [sys.executable, "-m", "caf_core.cli", "run", "-j", "2", str(script)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_the_third(self) -> psutil.Process:
        """Until the execution of the third run waits for the lock; its process."""
        assert select.select([self.started], [], [], PATIENCE)[0], "it never began"
        return psutil.Process(int(os.read(self.started, 100)))

    def finish(self, process: "subprocess.Popen[str]") -> str:
        fcntl.flock(self.gate, fcntl.LOCK_UN)
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said
        return said

    @property
    def counts(self) -> Counter[int]:
        return Counter(map(int, (self.folder / "counts").read_text().split()))

    @property
    def constants(self) -> list[int]:
        database = LocalDatabase(self.folder / "out/outputdb")
        return [
            json.loads(database.read(entry).data)
            for entry in sorted(database.entries(), key=lambda one: one.iov)
        ]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    (tmp_path / "a").touch()
    (tmp_path / "gate").touch()
    os.mkfifo(tmp_path / "started")
    started = os.open(tmp_path / "started", os.O_RDWR)
    gate = os.open(tmp_path / "gate", os.O_RDONLY)
    fcntl.flock(gate, fcntl.LOCK_EX)
    yield Scene(tmp_path, started, gate)
    os.close(gate)
    os.close(started)


def kill(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


@pytest.mark.parametrize("runner", ["sequential", "parallel"])
def test_a_plan_outlives_its_controller(scene: Scene, runner: str) -> None:
    first = scene.start(runner=runner)
    third = scene.wait_for_the_third()
    kill(first)
    second = scene.start(runner=runner)
    assert third.is_running()
    scene.finish(second)
    assert scene.counts == dict.fromkeys(range(1, 7), 1)
    assert scene.constants == [1, 2, 3, 4, 5, 6]


def test_a_plan_goes_on_from_its_journal_where_everything_was_killed(scene: Scene) -> None:
    first = scene.start()
    third = scene.wait_for_the_third()
    everybody = [*third.parents()[: third.parents().index(psutil.Process(os.getpid()))], third]
    for one in [*everybody, psutil.Process(first.pid)]:
        one.send_signal(signal.SIGKILL)
    first.communicate()
    scene.finish(scene.start())
    assert scene.counts == {**dict.fromkeys(range(1, 7), 1), 3: 2}
    assert scene.constants == [1, 2, 3, 4, 5, 6]


def test_a_plan_that_nobody_wants_any_more_is_ended(scene: Scene) -> None:
    first = scene.start()
    third = scene.wait_for_the_third()
    kill(first)
    second = scene.start(factor=10)
    fourth = scene.wait_for_the_third()
    assert fourth.pid != third.pid
    scene.finish(second)
    assert not third.is_running() or third.status() == psutil.STATUS_ZOMBIE
    assert scene.counts == {**dict.fromkeys([4, 5, 6], 1), **dict.fromkeys([1, 2, 3], 2)}
    assert scene.constants == [10, 20, 30, 40, 50, 60]
