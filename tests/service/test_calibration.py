"""A plan as a calibration of a CAF, and the muon momentum scale with resident workers."""

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from caf_core import CAF, CalibrationBase, CalibrationFailedError, IoV, LocalDatabase
from caf_core.control.reading.overview import read_overview
from caf_local import Local
from caf_service import ServiceCalibration
from caf_service.calibration import convergence_of
from service.rig import EXAMPLES, LAST, Rig, rig, use_plans

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
from caf_core import CAF
from caf_service import ServiceCalibration
from caf_service.calibration import convergence_of

plan = "service.toy_plan:PLAN"
toy = ServiceCalibration("toy", plan=plan, workers=2, quorum=1.0, settings={"seconds": 0.5})
caf = CAF(output_dir="out")
caf.add_calibration(toy)
caf.run()
"""


def test_a_script_that_is_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_plans(monkeypatch)
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    argv = [sys.executable, "script.py"]
    first = subprocess.Popen(argv, cwd=tmp_path)
    steps = tmp_path / "out" / "toy" / "steps.json"
    until = time.monotonic() + 60
    while not (steps.exists() and len(json.loads(steps.read_text())["steps"]) > 2):
        assert first.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)  # another process works
    first.kill()
    first.wait()
    known = json.loads((tmp_path / "out" / "toy" / "calibration.json").read_text())
    subprocess.run(argv, cwd=tmp_path, check=True, timeout=120, env=os.environ)
    told = json.loads(steps.read_text())
    assert told["id"] == known["id"] == 1
    assert [step["serial"] for step in told["steps"]] == list(range(1, LAST + 1))
    assert all(step["used"] == 2 for step in told["steps"])


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
        subprocess.run([sys.executable, "pair.py", kind], cwd=tmp_path, check=True, timeout=280)
    usual, service = (json.loads((tmp_path / f"{kind}.json").read_text()) for kind in ("usual", "service"))
    assert len(usual) > 40
    assert service == usual
