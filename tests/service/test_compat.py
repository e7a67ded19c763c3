"""The functions of iLCDirac: the guide's three and a half lines, and the three dictionaries."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from caf_service import compat
from caf_service.compat import (
    changeDirectoryToCopyTo,
    cleanCalibrations,
    createCalibration,
    getResult,
    getUserCalibrationStatuses,
    killCalibrations,
    setConfig,
)
from service.rig import LIMIT, LONG, PLANS, Rig, rigged, use_plans

CLICS = {
    "toy_pandora": "service.toy_plan:PANDORA_PLAN",
}


@pytest.fixture
def particles(tmp_path: Path) -> list[str]:
    """Folders as in the guide."""
    folders = []
    for name in ("gamma/10", "mu-/10", "K0L/50", "Z_uds/91"):
        folder = tmp_path / "particles" / "CLIC_o3_v08" / name
        folder.mkdir(parents=True)
        for number in range(3):
            (folder / f"{number}.slcio").write_text("1 2\n")
        (folder / "notes.txt").write_text("not this one")
        folders.append(str(folder))
    return folders


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> Any:
    """A service that has a plan with the calorimeter's samples."""
    use_plans(monkeypatch)
    monkeypatch.setattr(compat, "_config", dict(compat._config))
    with rigged(tmp_path, plans={**PLANS, **CLICS}, database=database) as rig:
        answer = setConfig(url=rig.server.url, token=rig.token, plan="toy_pandora")
        assert answer == {"OK": True, "Value": None}
        yield rig
        for status in rig.client.statuses():
            rig.client.kill(status["id"])
        rig.dismissed()


def test_three_and_a_half_lines(service: Rig, particles: list[str], tmp_path: Path) -> None:
    (tmp_path / "steering_file.xml").write_text("<marlin/>")
    numberOfJobs = 2
    result = createCalibration(
        str(tmp_path / "steering_file.xml"), "software_version", particles, numberOfJobs
    )
    assert result["OK"], result
    number = result["Value"]
    status = service.client.wait(number, LIMIT)
    assert status["state"] == "finished", status["message"]
    assert status["workers"] == 2
    fetched = getResult(number, tmp_path / "result")
    assert fetched == {"OK": True, "Value": str(tmp_path / "result")}
    assert (tmp_path / "result" / "parameters.json").exists()
    statuses = getUserCalibrationStatuses()
    assert statuses["OK"]
    assert statuses["Value"][number]["state"] == "finished"
    assert changeDirectoryToCopyTo(number, "copies")["OK"]
    assert cleanCalibrations([number]) == {"OK": True, "Value": {number: "cleaned"}}


def test_three_dictionaries(service: Rig, particles: list[str], tmp_path: Path) -> None:
    (tmp_path / "steering_file.xml").write_text("<marlin/>")
    inputFiles: Mapping[str, Any] = {
        sample: sorted(map(str, Path(folder).glob("*.slcio")))
        for sample, folder in zip(("gamma", "muon", "kaon", "zuds"), particles, strict=True)
    }
    settings = {
        "numberOfJobs": 3,
        "fractionOfFinishedJobsNeededToStartNextStep": 0.9,
        "steeringFile": str(tmp_path / "steering_file.xml"),
        "seconds": LONG,
    }
    result = createCalibration(inputFiles, {"gamma": 10, "muon": 10, "kaon": 10, "zuds": 10}, settings)
    assert result["OK"], result
    status = service.client.status(result["Value"])
    assert (status["workers"], status["quorum"]) == (3, 0.9)
    assert killCalibrations([result["Value"]])["Value"] == {result["Value"]: "killed"}


def test_what_goes_wrong_is_a_message(service: Rig, particles: list[str], tmp_path: Path) -> None:
    assert getResult(4711)["OK"] is False
    assert "4711" in getResult(4711)["Message"]
    missing = createCalibration(str(tmp_path / "nothing.xml"), "v1", particles, 2)
    assert missing["OK"] is False
    assert "nothing.xml" in missing["Message"]
    (tmp_path / "s.xml").write_text("<marlin/>")
    odd = createCalibration(str(tmp_path / "s.xml"), "v1", [str(tmp_path)], 2)
    assert "does not tell which particles" in odd["Message"]
    assert "no option colour" in setConfig("colour", "blue")["Message"]
    wrong = createCalibration({"gamma": []}, {}, {"colour": "blue"})
    assert "colour" in wrong["Message"]
    assert createCalibration()["OK"] is False
