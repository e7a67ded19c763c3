"""The controller, or everything, is killed in the middle of a plan: the next one goes on from the journal."""

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from caf_core.conditions.local import LocalDatabase
from caf_core.control.reading.overview import read_overview
from system.gates import PATIENCE, WAIT, Gate

SCRIPT = """
import fcntl
import os
from pathlib import Path
from caf_core import CAF, Algorithm, Calibration, Outcome

HERE = Path(__file__).parent
WAIT
def collect(context):
    for run in range(1, 7):
        context.put((1, run), [run], entries=1)

def fit(context):
    (run,) = context.data().merged()
    with open(HERE / "counts", "a") as counts:
        counts.write(f"{run}\\n")
    if run == 3:
        wait()
    return Outcome("ok", {"x": FACTOR * run})

def count(context):
    return Outcome("ok", {"entries": context.data().entries})

first = Algorithm(count, "count", strategy="SingleIOV")
cal = Calibration("cal", collect, [first, Algorithm(fit, "fit", strategy="SimpleRunByRun")], [HERE / "a"])
cal.runner = RUNNER
caf = CAF(HERE / "out")
caf.add_calibration(cal)
caf.run()
""".replace("WAIT", WAIT)


class Scene(Gate):
    """A calibration of six runs; the execution of the third waits for a lock that the test holds."""

    def start(self, factor: int = 1, runner: str = "sequential") -> "subprocess.Popen[str]":
        script = SCRIPT.replace("FACTOR", str(factor)).replace("RUNNER", repr(runner))
        (self.folder / "script.py").write_text(script)
        return self.execute("-j", "2")

    def wait_for_the_third(self) -> psutil.Process:
        """Until the execution of the third run waits for the lock; its process."""
        return psutil.Process(self.who_waits())

    def finish(self, process: "subprocess.Popen[str]") -> str:
        self.open()
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said
        return said

    @property
    def counts(self) -> Counter[int]:
        return Counter(map(int, (self.folder / "counts").read_text().split()))

    @property
    def constants(self) -> list[int]:
        database = LocalDatabase(self.folder / "out/outputdb")
        entries = sorted((one for one in database.entries() if one.name == "x"), key=lambda one: one.iov)
        return [json.loads(database.read(entry).data) for entry in entries]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    (tmp_path / "a").touch()
    with Scene.closed(tmp_path) as made:
        yield made


def kill(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


@pytest.mark.parametrize("runner", ["sequential", "parallel"])
def test_a_plan_outlives_its_controller(scene: Scene, runner: str) -> None:
    first = scene.start(runner=runner)
    third = scene.wait_for_the_third()
    (row,) = read_overview(scene.folder / "out").calibrations
    assert row.executions["running"] >= 1
    assert row.executions["ok"] >= 3, "that of the first algorithm, and two runs of the second"
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
