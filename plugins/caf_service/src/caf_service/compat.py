"""The functions of iLCDirac's calibration client, on a caf service.

They have the names of the original and answer as it does: ``{"OK": True, "Value": ...}`` or ``{"OK": False,
"Message": ...}``, and never raise because of the service. The service is found by ``setConfig``, the
environment or the user's file, as in ``caf_service.client``.
"""

# ruff: noqa: N802, N803 - the names of the original

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ParamSpec

from caf_core.errors import CafError
from caf_service.client import Client

Arguments = ParamSpec("Arguments")

_SAMPLES = {"gamma": "gamma", "photon": "gamma", "mu-": "muon", "mu+": "muon", "mu": "muon", "muon": "muon"}
_SAMPLES |= {"k0l": "kaon", "kaon0l": "kaon", "kaon": "kaon", "zuds": "zuds", "z_uds": "zuds", "uds": "zuds"}
SUFFIXES = (".slcio", ".root")
STEERING = "steering.xml"
"""Under this name the steering file comes along with a calibration."""

_FRACTION = "fractionOfFinishedJobsNeededToStartNextStep"
_OURS = ("numberOfJobs", _FRACTION, "steeringFile", "marlinVersion")
"""Settings of the original that the service takes by other ways; a plan gets them if it knows them."""

_config: dict[str, Any] = {
    "url": "",
    "token": "",
    "plan": "pandora",
    "settings": {},
    "quorum": None,
    "files": {},
}


def S_OK(value: Any = None) -> dict[str, Any]:
    """The answer to what went well."""
    return {"OK": True, "Value": value}


def S_ERROR(message: str) -> dict[str, Any]:
    """The answer to what did not."""
    return {"OK": False, "Message": message}


def _answering(function: Callable[Arguments, Any]) -> Callable[Arguments, dict[str, Any]]:
    @functools.wraps(function)
    def answering(*args: Arguments.args, **kwargs: Arguments.kwargs) -> dict[str, Any]:
        try:
            return S_OK(function(*args, **kwargs))
        except (CafError, OSError, ValueError, TypeError) as error:
            return S_ERROR(str(error))

    return answering


@_answering
def setConfig(option: str | Mapping[str, Any] | None = None, value: Any = None, **options: Any) -> None:
    """Choose the service and what ``createCalibration`` leaves open.

    Args:
        option: The name of an option, or a dictionary of them: ``url``, ``token``, ``plan``, ``settings``,
            ``quorum``, ``backend``, ``backend_args``, and ``files`` that go with the steering file, as
            name -> path.
        value: Its value.
        options: The same by name.
    """
    given = dict(option) if isinstance(option, Mapping) else {} if option is None else {option: value}
    given |= options
    known = {*_config, "backend", "backend_args"}
    unknown = sorted(set(given) - known)
    if unknown:
        raise ValueError(f"there is no option {', '.join(unknown)}; there are: {', '.join(sorted(known))}.")
    _config.update(given)


@_answering
def createCalibration(*args: Any, **kwargs: Any) -> int:
    """Begin a calibration; the value is its number.

    Either ``createCalibration(steering_file, software_version, directories, number_of_jobs)``, where the
    directories tell by their names which particles their files hold, or
    ``createCalibration(inputFiles, numberOfEventsPerFile, calibSettingsDict)`` with dictionaries by sample.
    """
    dictionaries = isinstance(args[0], Mapping) if args else "inputFiles" in kwargs
    wish = _by_dictionaries(*args, **kwargs) if dictionaries else _by_directories(*args, **kwargs)
    plan = str(_config["plan"])
    wish["files"] = {**{name: Path(path) for name, path in _config["files"].items()}, **wish["files"]}
    more = {name: _config[name] for name in ("quorum", "backend", "backend_args") if _config.get(name)}
    with _client() as client:
        known = {name for one in client.plans() if one["name"] == plan for name in one["settings"]}
        offered = {name: value for name, value in wish.pop("offered").items() if name in known}
        wanted = {
            name: value for name, value in wish["settings"].items() if name in known or name not in _OURS
        }
        return client.create_calibration(plan, **{**more, **wish, "settings": {**offered, **wanted}}).id


def _by_directories(
    SteeringFile: str | Path,
    SoftwareVersion: str,
    InputFiles: Iterable[str | Path],
    NumberOfJobs: int,
) -> dict[str, Any]:
    places = list(InputFiles)
    offered = {
        "energies": energies(places),
        "marlinVersion": SoftwareVersion,
        "numberOfJobs": NumberOfJobs,
        "steeringFile": str(SteeringFile),
    }
    return {
        "workers": NumberOfJobs,
        "settings": dict(_config["settings"]),
        "offered": offered,
        "inputs": by_sample(places),
        "files": {STEERING: Path(SteeringFile)},
    }


def _by_dictionaries(
    inputFiles: Mapping[str, Sequence[str]],
    numberOfEventsPerFile: Mapping[str, int],
    calibSettingsDict: Mapping[str, Any],
) -> dict[str, Any]:
    usual = {name: one for name, one in _config["settings"].items() if name != "numberOfEventsPerFile"}
    settings = {**usual, **calibSettingsDict}
    quorum = settings.get(_FRACTION)
    offered = {"numberOfEventsPerFile": {_sample(name): n for name, n in numberOfEventsPerFile.items()}}
    wish: dict[str, Any] = {
        "workers": settings.get("numberOfJobs", 100),
        "settings": settings,
        "offered": offered,
        "inputs": {_sample(name): list(files) for name, files in inputFiles.items()},
        "files": {STEERING: Path(settings["steeringFile"])} if settings.get("steeringFile") else {},
    }
    if quorum is not None:
        wish["quorum"] = quorum
    return wish


def by_sample(places: Iterable[str | Path]) -> dict[str, list[str]]:
    """Files by sample, told by the names of the folders above them: ``.../gamma/10`` holds photons.

    Args:
        places: Folders, or files.
    Raises:
        ValueError: If no folder tells the particle, or one has no files.
    """
    found: dict[str, list[str]] = {}
    for place in places:
        parts = [part.lower() for part in Path(place).parts]
        samples = [_SAMPLES[part] for part in reversed(parts) if part in _SAMPLES]
        if not samples:
            raise ValueError(
                f"{place} does not tell which particles it holds; one folder of its path should be called "
                f"{', '.join(sorted(_SAMPLES))}."
            )
        path = Path(place)
        # Workers are elsewhere.
        files = sorted(map(str, path.absolute().rglob("*"))) if path.is_dir() else [str(place)]
        chosen = [file for file in files if file.endswith(SUFFIXES)]
        if not chosen:
            raise ValueError(f"{place} holds no files that end with {' or '.join(SUFFIXES)}.")
        found.setdefault(samples[0], []).extend(chosen)
    return found


def energies(places: Iterable[str | Path]) -> dict[str, float]:
    """True energies by sample [GeV], where folders tell them: ``.../gamma/10`` holds photons of 10 GeV.

    Args:
        places: Folders, or files.
    Raises:
        ValueError: If a sample has two energies.
    """
    found: dict[str, float] = {}
    for place in places:
        parts = Path(place).parts
        for name, value in pairwise(parts):
            sample = _SAMPLES.get(name.lower())
            if sample is None or not value.replace(".", "", 1).isdecimal():
                continue
            if found.setdefault(sample, float(value)) != float(value):
                raise ValueError(
                    f"the sample {sample} has {found[sample]:g} and {value} GeV; take one of them."
                )
    return found


@_answering
def getResult(calibrationID: int, folder: str | Path | None = None) -> str:
    """Fetch the result of a calibration that has finished; the value is the folder with its files."""
    with _client() as client:
        return str(client.get_result(int(calibrationID), folder))


@_answering
def getUserCalibrationStatuses() -> dict[int, dict[str, Any]]:
    """One's own calibrations: number -> where it is."""
    with _client() as client:
        return {one["id"]: dict(one) for one in client.statuses()}


@_answering
def killCalibrations(calibIdsToKill: int | Iterable[int]) -> dict[int, str]:
    """End calibrations: number -> its state then."""
    return _each(calibIdsToKill, lambda client, one: str(client.kill(one)["state"]))


@_answering
def cleanCalibrations(calibIdsToClean: int | Iterable[int]) -> dict[int, str]:
    """Forget calibrations that have ended, with their files; those that go on are killed first."""

    def clean(client: Client, calibration: int) -> str:
        client.kill(calibration)
        client.clean(calibration)
        return "cleaned"

    return _each(calibIdsToClean, clean)


@_answering
def changeDirectoryToCopyTo(calibId: int, newPath: str | Path) -> str:
    """Let the service put the result somewhere else; the value is the folder."""
    with _client() as client:
        return str(client.change_output_dir(int(calibId), newPath)["output_dir"])


def _each(calibrations: int | Iterable[int], do: Callable[[Client, int], str]) -> dict[int, str]:
    numbers = [calibrations] if isinstance(calibrations, int) else list(calibrations)
    with _client() as client:
        return {int(one): do(client, int(one)) for one in numbers}


def _client() -> Client:
    return Client(str(_config["url"]), str(_config["token"]))


def _sample(name: str) -> str:
    return _SAMPLES.get(name.lower(), name)
