"""A plan as a calibration of a CAF, and the muon momentum scale with resident workers."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from caf_core import CAF, CalibrationBase, CalibrationFailedError, IoV, LocalDatabase
from caf_core.control.lease import Lease
from caf_core.control.reading.overview import read_overview
from caf_core.control.session import make_private
from caf_core.testing.bench import wait_until
from caf_local import Local
from caf_service import ServiceCalibration
from caf_service.calibration import convergence_of
from caf_service.quarters import python_path
from service.rig import EXAMPLES, LAST, LIMIT, Rig, rig, use_plans, worker_pids

__all__ = ["rig"]

TOY = "service.toy_plan:PLAN"


class After(CalibrationBase):
    """Looks at what it depends on."""

    seen: Any = None

    def run(self) -> None:
        """Read the constants of the dependency."""
        (before,) = self.dependencies
        assert before.output_database_dir is not None
        database = LocalDatabase(before.output_database_dir)
        (entry,) = database.entries()
        self.seen = entry.iov, database.load(entry)

    def is_valid(self) -> bool:
        """Always."""
        return True


def iteration_of(output: Path, name: str) -> tuple[int, int]:
    """What ``caf status`` says: the iteration, and the last one that is allowed."""
    (row,) = (one for one in read_overview(output).calibrations if one.name == name)
    return row.iteration, row.max_iterations


def test_a_plan_in_a_caf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_plans(monkeypatch)
    toy = ServiceCalibration("toy", plan=TOY, workers=2, quorum=1.0, settings={"rounds": 1})
    after = After("after")
    after.depends_on(toy)
    caf = CAF(output_dir=tmp_path / "out", backend=Local(max_processes=1))
    caf.add_calibration(toy)
    caf.add_calibration(after)
    report = caf.run()
    assert report.calibrations["toy"].state == "completed"
    iov, content = after.seen
    assert iov == IoV.always()
    assert content["history"] == pytest.approx([1.5, 0.75, 0.375])
    steps = json.loads((tmp_path / "out" / "toy" / "steps.json").read_text())["steps"]
    assert [step["converged"] for step in steps] == [True] * 3
    assert (tmp_path / "out" / "toy" / "result" / "history.txt").exists()
    assert iteration_of(tmp_path / "out", "toy") == (2, 1000 + 20 + 20 - 1)
    database = LocalDatabase(tmp_path / "out" / "outputdb")
    (entry,) = database.entries()
    origin = database.provenance(entry)
    assert origin is not None
    assert (origin.calibration, origin.algorithm, origin.iteration) == ("toy", "toy 1", 2)


def test_workers_find_what_lies_beside_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    folders = python_path({"PYTHONPATH": f"/a/site-packages::{tmp_path}"}).split(os.pathsep)
    assert folders[0] == str(tmp_path)
    assert folders[-1] == "/a/site-packages"
    assert folders.count(str(tmp_path)) == 1
    assert not any(Path(one).is_relative_to(sysconfig.get_path("purelib")) for one in folders)
    assert "" not in folders


def test_what_is_said_of_convergence() -> None:
    def step(phase: str, converged: bool) -> dict[str, Any]:
        return {"stage": "one", "phase": phase, "converged": converged}

    done = [step("first", False), step("first", True)]
    assert convergence_of({"steps": done}) == "converged"
    assert convergence_of({"steps": [*done, step("second", False)]}) == "max_iterations"


def test_a_plan_that_fails_fails_the_calibration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_plans(monkeypatch)
    caf = CAF(output_dir=tmp_path / "out", backend=Local(max_processes=1))
    settings = {"failing": [0]}
    caf.add_calibration(ServiceCalibration("toy", plan=TOY, workers=1, settings=settings))
    with pytest.raises(CalibrationFailedError, match="as many as there are"):
        caf.run()
    assert worker_pids(tmp_path / "out" / "toy" / "service" / "agent" / "calibrations" / "1") == {}


def test_an_agent_that_cannot_work_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_plans(monkeypatch)
    private = make_private(tmp_path / "out" / "toy" / "service" / "agent")
    lease = Lease(private)
    try:
        caf = CAF(output_dir=tmp_path / "out", backend=Local(max_processes=1))
        caf.add_calibration(ServiceCalibration("toy", plan=TOY, workers=1))
        with pytest.raises(CalibrationFailedError, match="another controller"):
            caf.run()
    finally:
        lease.release()


def test_a_service_elsewhere(rig: Rig, tmp_path: Path) -> None:
    toy = ServiceCalibration(
        "toy",
        plan="toy",
        workers=2,
        settings=lambda calibration: {"rounds": len(calibration.name) - 2},
        url=rig.server.url,
        token=rig.token,
    )
    caf = CAF(output_dir=tmp_path / "out", backend=Local(max_processes=1))
    caf.add_calibration(toy)
    caf.run()
    (status,) = rig.client.statuses()
    assert (status["name"], status["serial"]) == ("toy", LAST // 2)


def test_an_unknown_plan_is_not_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    use_plans(monkeypatch)
    assert ServiceCalibration("toy", plan=TOY).is_valid()
    assert not ServiceCalibration("toy", plan="service.toy_plan:NOTHING").is_valid()
    assert not ServiceCalibration("toy", plan="nobody-has-this-plan").is_valid()
    assert not ServiceCalibration("toy", plan=TOY, workers=0).is_valid()


SCRIPT = """
import sys
from caf_core import CAF
from caf_service import ServiceCalibration, own_service

own_service.PATIENCE = float(sys.argv[1])
settings = {"gate": "GATE", "gate_after": 3, "rounds": int(sys.argv[2])}
toy = ServiceCalibration("toy", plan="service.toy_plan:PLAN", workers=2, quorum=1.0, settings=settings)
caf = CAF(output_dir="out")
caf.add_calibration(toy)
caf.run()
"""


class Script:
    """A CAF in a process of its own, which is killed in the midst of its fourth step."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.out = home / "out" / "toy"
        (home / "script.py").write_text(SCRIPT.replace("GATE", str(home / "gate")))

    def _argv(self, patience: float, rounds: int) -> list[str]:
        return [sys.executable, "script.py", str(patience), str(rounds)]

    def kill(self, patience: float = 300.0) -> dict[int, int]:
        """Begin it and kill it; returns its workers."""
        with subprocess.Popen(self._argv(patience, 2), cwd=self.home) as first:
            try:
                wait_until(lambda: first.poll() is not None or self._steps() == 4, LIMIT, "the fourth step")
                assert first.poll() is None
                wait_until(
                    lambda: iteration_of(self.home / "out", "toy")[0] == 3, LIMIT, "caf status says so"
                )
            finally:
                first.kill()
        return self.workers()

    def finish(self, rounds: int = 2) -> Any:
        """Execute it again, to its end; returns what it says about its calibration."""
        (self.home / "gate").touch()
        subprocess.run(self._argv(300.0, rounds), cwd=self.home, check=True, timeout=LIMIT)
        return json.loads((self.out / "steps.json").read_text())

    def workers(self, calibration: int = 1) -> dict[int, int]:
        """The workers of a calibration that execute."""
        return worker_pids(self.out / "service" / "agent" / "calibrations" / str(calibration))

    def calibrations(self) -> list[str]:
        """The calibrations of its service."""
        return sorted(one.name for one in (self.out / "service" / "calibrations").iterdir())

    def _steps(self) -> int:
        file = self.out / "steps.json"
        return len(json.loads(file.read_text())["steps"]) if file.exists() else 0


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """A CAF that can be killed."""
    use_plans(monkeypatch)
    return Script(tmp_path)


def check_steps(told: Any, rounds: int = 2) -> None:
    """Every step is there once, with the results of both workers."""
    assert [step["serial"] for step in told["steps"]] == list(range(1, 3 * rounds + 1))
    assert all(step["used"] == 2 for step in told["steps"])


def test_a_script_that_is_killed_goes_on(script: Script) -> None:
    before = script.kill()
    assert sorted(before) == [0, 1]
    told = script.finish()
    assert (told["id"], script.calibrations()) == (1, ["1"])
    check_steps(told)
    assert script.workers() == {}


def test_a_script_goes_on_when_its_workers_are_tired_of_waiting(script: Script) -> None:
    script.kill(patience=0.5)
    # They have something to do until then.
    (script.home / "gate").touch()
    wait_until(lambda: not script.workers(), LIMIT, "its workers have ended")
    told = script.finish()
    assert (told["id"], script.calibrations()) == (1, ["1"])
    check_steps(told)


def test_a_script_that_was_changed_begins_anew_and_leaves_nobody_behind(script: Script) -> None:
    script.kill()
    told = script.finish(rounds=3)
    assert told["id"] == 2
    check_steps(told, rounds=3)
    assert script.workers(1) == script.workers(2) == {}


PAIR = """
import json, sys
from pathlib import Path
sys.path.insert(0, {examples!r})
from muon_scale import CONSTANT, muon_scale
from muon_scale_service import muon_scale_service
from toy_data import Truth, make_toy
from caf_core import CAF, LocalDatabase

data = make_toy(Path("toy").absolute())
truth, files = Truth.read(data), sorted(data.glob("*.root"))
kind = sys.argv[1]
if kind == "usual":
    calibration = muon_scale(files, truth.ignored, max_files_per_collector_job=30)
else:
    calibration = muon_scale_service(files, truth.ignored, workers=3)
caf = CAF(output_dir=kind)
caf.add_calibration(calibration)
database = LocalDatabase(caf.run().calibrations[CONSTANT].database)
found = {{str(entry.iov): database.load(entry) for entry in database.entries()}}
Path(kind + ".json").write_text(json.dumps(found, sort_keys=True))
"""


@pytest.mark.slow
def test_the_muon_momentum_scale_has_the_same_constants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_plans(monkeypatch)
    (tmp_path / "pair.py").write_text(PAIR.format(examples=str(EXAMPLES)))
    for kind in ("usual", "service"):
        subprocess.run([sys.executable, "pair.py", kind], cwd=tmp_path, check=True, timeout=1200)
    usual, service = (json.loads((tmp_path / f"{kind}.json").read_text()) for kind in ("usual", "service"))
    assert len(usual) > 40
    assert service == usual
