"""The functions of iLCDirac's calibration client, on a caf service.

They have the names of the original and answer as it does: ``{"OK": True, "Value": ...}`` or ``{"OK": False,
"Message": ...}``, and never raise because of the service. The service is found by ``setConfig``, the
environment or the user's file, as in ``caf_service.client``. ``CalibrationClient`` and ``RPCClient`` have the
same functions as methods.
"""

# ruff: noqa: N802, N803, N815 - the names of the original

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ParamSpec

from caf_core.errors import CafError, ConfigurationError
from caf_core.text import clause
from caf_service.client import Client
from caf_service.compat_inputs import FORM, by_name, by_sample, check_order, energies, listed, refuse_grid
from caf_service.plans import load_plan

Arguments = ParamSpec("Arguments")

PLAN = "pandora"
STEERING = "steering.xml"
"""Under this name the steering file comes along with a calibration."""

_FRACTION = "fractionOfFinishedJobsNeededToStartNextStep"
_OURS = ("numberOfJobs", _FRACTION, "steeringFile", "marlinVersion")
"""Settings of the original that the service takes by other ways; a plan gets them if it knows them."""
_MARKS = (*_OURS, "detectorModel", "digitisationAccuracy", "outputPath", "startStage", "stopStage")
"""By these names, settings are known from the other dictionaries."""

_config: dict[str, Any] = {
    "url": "",
    "token": "",
    "plan": PLAN,
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


class CalibrationNumber(int):
    """The number of a calibration.

    The original's form with dictionaries answers with a pair, the number and what was submitted at once. So
    this can be taken apart like that pair; workers are submitted afterwards here.
    """

    def __iter__(self) -> Iterator[Any]:
        return iter((int(self), {}))

    def __getitem__(self, place: int) -> Any:
        return (int(self), {})[place]


class CalibrationSettings:
    """Settings to begin with.

    Args:
        settings: By their names; those that are ``None`` have to be set.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settingsDict = dict(settings)

    def printSettings(self) -> None:
        """Print a table of them."""
        for name, value in self.settingsDict.items():
            sys.stdout.write(f"{name:<45} {value}\n")


def createCalibrationSettings(detectorModel: str) -> CalibrationSettings:
    """The settings of a detector, as ``settingsDict``.

    Args:
        detectorModel: ``CLIC`` or ``CLD``.
    Raises:
        ConfigurationError: If there are no settings of it.
        PluginError: If caf-pandora is not installed.
    """
    presets = load_plan(PLAN).presets
    if str(detectorModel).upper() not in presets:
        raise ConfigurationError(
            f"there are no settings of the detector {detectorModel!r}; there are those of "
            f"{', '.join(presets)}."
        )
    return CalibrationSettings(presets[str(detectorModel).upper()])


@_answering
def createCalibration(*args: Any, **kwargs: Any) -> CalibrationNumber:
    """Begin a calibration; the value is its number.

    Either ``createCalibration(steering_file, software_version, directories, number_of_jobs)``, where the
    directories tell by their names which particles their files hold, or
    ``createCalibration(inputFiles, numberOfEventsPerFile, calibSettingsDict)`` with dictionaries by sample.
    """
    dictionaries = (
        isinstance(args[0], Mapping | CalibrationSettings) if args else bool(kwargs.keys() & {*FORM})
    )
    form = _by_dictionaries if dictionaries else _by_directories
    try:
        inspect.signature(form).bind(*args, **kwargs)
    except TypeError as error:
        raise ValueError(
            "createCalibration takes (steering_file, software_version, directories, number_of_jobs) or "
            f"({', '.join(FORM)}), but {clause(error)}."
        ) from error
    wish = form(*args, **kwargs)
    plan = str(_config["plan"])
    wish["files"] = {**{name: Path(path) for name, path in _config["files"].items()}, **wish["files"]}
    more = {name: _config[name] for name in ("quorum", "backend", "backend_args") if _config.get(name)}
    with _client() as client:
        known = {name for one in client.plans() if one["name"] == plan for name in one["settings"]}
        offered = {name: value for name, value in wish.pop("offered").items() if name in known}
        wanted = {
            name: value for name, value in wish["settings"].items() if name in known or name not in _OURS
        }
        made = client.create_calibration(plan, **{**more, **wish, "settings": {**offered, **wanted}})
        return CalibrationNumber(made.id)


def _by_directories(
    SteeringFile: str | Path,
    SoftwareVersion: str,
    InputFiles: Iterable[str | Path] | str | Path,
    NumberOfJobs: int,
) -> dict[str, Any]:
    places = InputFiles if isinstance(InputFiles, str | Path) else list(InputFiles)
    refuse_grid({"SteeringFile": SteeringFile, "InputFiles": places})
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


def _by_dictionaries(inputFiles: Any, numberOfEventsPerFile: Any, calibSettingsDict: Any) -> dict[str, Any]:
    given = [
        one.settingsDict if isinstance(one, CalibrationSettings) else one
        for one in (inputFiles, numberOfEventsPerFile, calibSettingsDict)
    ]
    check_order(given, _MARKS)
    numbers = by_name(given[1], "numberOfEventsPerFile")
    files = {name: listed(some, name) for name, some in by_name(given[0], "inputFiles").items()}
    usual = {name: one for name, one in _config["settings"].items() if name != "numberOfEventsPerFile"}
    settings = usual | {name: one for name, one in given[2].items() if one is not None or name not in usual}
    refuse_grid({**files, **settings})
    quorum = settings.get(_FRACTION)
    wish: dict[str, Any] = {
        "workers": settings.get("numberOfJobs", 100),
        "settings": settings,
        "offered": {"numberOfEventsPerFile": numbers},
        "inputs": files,
        "files": {STEERING: Path(settings["steeringFile"])} if settings.get("steeringFile") else {},
    }
    if quorum is not None:
        wish["quorum"] = quorum
    return wish


@_answering
def getResult(calibrationID: int, folder: str | Path | None = None) -> str:
    """Fetch the result of a calibration that has finished; the value is the folder with its files."""
    with _client() as client:
        return str(client.get_result(_number(calibrationID), folder))


@_answering
def getUserCalibrationStatuses(calibIds: int | Iterable[int] | None = None) -> dict[int, dict[str, Any]]:
    """One's own calibrations, or some of them: number -> where it is."""
    with _client() as client:
        own = {one["id"]: dict(one) for one in client.statuses()}
    if calibIds is None:
        return own
    return {
        one: own.get(one, {"id": one, "state": "unknown", "message": _unknown(one)})
        for one in _numbers(calibIds)
    }


@_answering
def killCalibrations(calibIdsToKill: int | Iterable[int]) -> dict[int, str]:
    """End calibrations: number -> its state then. If one of them is unknown, none is ended."""
    return _each(calibIdsToKill, lambda client, one: str(client.kill(one)["state"]))


@_answering
def cleanCalibrations(calibIdsToClean: int | Iterable[int]) -> dict[int, str]:
    """Forget calibrations that have ended, with their files; those that go on are killed first.

    If one of them is unknown, none is forgotten.
    """

    def clean(client: Client, calibration: int) -> str:
        client.kill(calibration)
        client.clean(calibration)
        return "cleaned"

    return _each(calibIdsToClean, clean)


@_answering
def changeDirectoryToCopyTo(calibId: int, newPath: str | Path, newSE: str | None = None) -> str:
    """Let the service put the result somewhere else; the value is the folder.

    Args:
        calibId: The calibration.
        newPath: The folder.
        newSE: The storage element; there are none here, so it makes no difference.
    """
    del newSE
    refuse_grid({"newPath": newPath})
    with _client() as client:
        return str(client.change_output_dir(_number(calibId), newPath)["output_dir"])


class CalibrationClient:
    """The functions of this module as methods, as the original's client has them."""

    createCalibration = staticmethod(createCalibration)
    getResult = staticmethod(getResult)
    getUserCalibrationStatuses = staticmethod(getUserCalibrationStatuses)
    killCalibrations = staticmethod(killCalibrations)
    cleanCalibrations = staticmethod(cleanCalibrations)
    changeDirectoryToCopyTo = staticmethod(changeDirectoryToCopyTo)


def RPCClient(service: str) -> CalibrationClient:
    """What ``RPCClient("Calibration/Calibration")`` was for: the functions as methods.

    Raises:
        ValueError: If another service of DIRAC is meant.
    """
    if service != "Calibration/Calibration":
        raise ValueError(f"there is no service {service!r} here; there is Calibration/Calibration.")
    return CalibrationClient()


def _each(calibrations: int | Iterable[int], do: Callable[[Client, int], str]) -> dict[int, str]:
    numbers = _numbers(calibrations)
    with _client() as client:
        own = sorted(one["id"] for one in client.statuses())
        unknown = [number for number in numbers if number not in own]
        if unknown:
            raise ValueError(
                f"{' '.join(map(_unknown, unknown))} Nothing was done; there are: "
                f"{', '.join(map(str, own)) or 'none'}."
            )
        return {number: do(client, number) for number in numbers}


def _numbers(calibrations: int | Iterable[int]) -> list[int]:
    """The numbers of calibrations; a text is one of them, and not its digits."""
    given: Any = calibrations  # as a user wrote it
    several = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    wrong = [one for one in several if isinstance(one, bool) or not str(one).isdecimal()]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no number of a calibration; give one, or a list of them.")
    return [int(one) for one in several]


def _number(calibration: int) -> int:
    return _numbers([calibration])[0]


def _unknown(calibration: int) -> str:
    return f"There is no calibration {calibration} of yours."


def _client() -> Client:
    return Client(str(_config["url"]), str(_config["token"]))
