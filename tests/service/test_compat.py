"""The functions of iLCDirac: the guide's three and a half lines, and the three dictionaries."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from caf_core.errors import ConfigurationError
from caf_service import compat
from caf_service.compat import (
    CalibrationClient,
    RPCClient,
    changeDirectoryToCopyTo,
    cleanCalibrations,
    createCalibration,
    createCalibrationSettings,
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


@pytest.fixture
def given(particles: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, Any]:
    """The three dictionaries, with paths that begin at the current directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "steering_file.xml").write_text("<marlin/>")
    inputs = {
        sample: [str(path.relative_to(tmp_path)) for path in sorted(Path(folder).glob("*.slcio"))]
        for sample, folder in zip(("GAMMA", "MUON", "KAON", "ZUDS"), particles, strict=True)
    }
    return inputs, dict.fromkeys(inputs, 10), {"numberOfJobs": 2, "steeringFile": "steering_file.xml"}


def test_relative_inputs_are_found_by_workers(service: Rig, given: Any, particles: list[str]) -> None:
    """Workers are elsewhere; the plan reads the files, so it fails if they are not found."""
    result = CalibrationClient().createCalibration(*given)
    assert result["OK"], result
    number, submissions = result["Value"]
    assert (number, submissions, result["Value"][0]) == (result["Value"], {}, number)
    status = service.client.wait(number, LIMIT)
    assert status["state"] == "finished", status["message"]
    folders = [str(Path(one).relative_to(Path.cwd())) for one in particles]
    by_folders = createCalibration("steering_file.xml", "v1", folders, 2)["Value"]
    assert service.client.wait(by_folders, LIMIT)["state"] == "finished"
    fetched = RPCClient("Calibration/Calibration").getResult(by_folders)
    assert (Path(fetched["Value"]) / "parameters.json").exists()


def test_files_of_the_grid_are_refused_at_once(service: Rig, given: Any) -> None:
    inputs, numbers, settings = given
    lfn = "LFN:/ilc/user/o/ovi/a.slcio"
    for answer in (
        createCalibration({**inputs, "ZUDS": [lfn]}, numbers, settings),
        createCalibration({**inputs, "ZUDS": lfn.lower()}, numbers, settings),
        createCalibration({**inputs, "ZUDS": {lfn}}, numbers, settings),
        createCalibration({**inputs, "ZUDS": (name for name in [lfn])}, numbers, settings),
        createCalibration(inputs, numbers, {**settings, "steeringFile": lfn}),
        createCalibration(inputs, numbers, {**settings, "detectorModel": lfn}),
        createCalibration("steering_file.xml", "v1", [lfn], 2),
        createCalibration(lfn, "v1", ["gamma/10"], 2),
        changeDirectoryToCopyTo(1, lfn, "CERN-DST-EOS"),
    ):
        assert not answer["OK"]
        assert "a file of the grid, which workers do not reach here; copy it" in answer["Message"]
    for wrong in (None, 5, [[lfn]], [None], b"a.slcio"):
        answer = createCalibration({**inputs, "ZUDS": wrong}, numbers, settings)
        assert answer["Message"].startswith("inputFiles gives zuds ")
    assert service.client.statuses() == []


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (
            (1, 0, 2),
            "inputFiles looks like numberOfEventsPerFile and for numberOfEventsPerFile looks like inputF",
        ),
        ((0, 2, 1), "numberOfEventsPerFile looks like calibSettingsDict"),
        ((2, 1, 0), "inputFiles looks like calibSettingsDict"),
        ((2, 0, 1), "their order is inputFiles, numberOfEventsPerFile, calibSettingsDict"),
        ((0, 2), "createCalibration takes (steering_file, software_version, directories, number_of_jobs) or"),
    ],
)
def test_swapped_dictionaries_are_told(service: Rig, given: Any, order: Any, words: str) -> None:
    answer = createCalibration(*(given[place] for place in order))
    assert not answer["OK"]
    assert words in answer["Message"]


def test_what_would_be_lost_or_taken_apart_is_told(service: Rig, given: Any, particles: list[str]) -> None:
    inputs, numbers, settings = given
    twice = createCalibration({**inputs, "mu-": ["x.slcio"]}, numbers, settings)
    assert "inputFiles has a sample twice" in twice["Message"]
    assert "was given dict, dict, int" in createCalibration(inputs, numbers, 7)["Message"]
    assert createCalibration("steering_file.xml", "v1", particles[0], 2)["OK"]


def test_unknown_numbers(service: Rig, given: Any) -> None:
    """Kill and clean act on none of a list with an unknown one; statuses answer for each."""
    inputs, numbers, settings = given
    number = createCalibration(inputs, numbers, {**settings, "seconds": LONG})["Value"]
    for act in (killCalibrations, cleanCalibrations):
        answer = act([number, 4711])
        assert answer["Message"] == (
            f"There is no calibration 4711 of yours. Nothing was done; there are: {number}."
        )
    statuses = getUserCalibrationStatuses([4711, number])["Value"]
    assert statuses[number]["state"] == "running"
    assert (statuses[4711]["state"], statuses[4711]["message"]) == (
        "unknown",
        "There is no calibration 4711 of yours.",
    )
    assert "'no' is no number of a calibration" in killCalibrations(["no"])["Message"]
    assert "True is no number" in killCalibrations(True)["Message"]
    for wrong in (None, 1.5, -1, "x"):
        for function in (killCalibrations, getResult, getUserCalibrationStatuses):
            if (wrong, function) != (None, getUserCalibrationStatuses):
                assert f"{wrong!r} is no number of a calibration" in function(wrong)["Message"]
    assert "'/a' is no number of a calibration" in changeDirectoryToCopyTo("/a", 1)["Message"]
    assert killCalibrations("4711")["Message"].startswith("There is no calibration 4711")
    assert changeDirectoryToCopyTo(number, "elsewhere", "CERN-DST-EOS")["Value"].endswith("elsewhere")
    assert killCalibrations(f"{number}")["Value"] == {number: "killed"}


def test_settings_of_a_detector(service: Rig, given: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """They are complete but for what the user has to set, and the plan knows them all."""
    inputs, numbers, _ = given
    settings = createCalibrationSettings("CLD")
    assert settings.settingsDict["DDCaloDigiName"] == "MyDDCaloDigi_10ns"
    assert settings.settingsDict["ecalEndcapCosThetaRange"] == [0.766, 0.94]
    assert {name for name, one in settings.settingsDict.items() if one is None} == {"outputPath", "outputSE"}
    settings.printSettings()
    assert "nHcalLayers" in capsys.readouterr().out
    settings.settingsDict.update({"steeringFile": "steering_file.xml", "numberOfJobs": 2})
    setConfig(plan="pandora-standin")
    unset = createCalibration(inputs, numbers, settings)
    assert "outputPath is None" in unset["Message"]
    assert "superfluous" not in unset["Message"]
    settings.settingsDict.update({"outputPath": "out", "outputSE": "CERN-DST-EOS"})
    assert "PandoraSettings.xml" in createCalibration(inputs, numbers, settings.settingsDict)["Message"]
    with pytest.raises(ConfigurationError, match="there are those of CLIC, CLD"):
        createCalibrationSettings("ILD")
    with pytest.raises(ValueError, match="there is Calibration/Calibration"):
        RPCClient("Jobs/Jobs")
