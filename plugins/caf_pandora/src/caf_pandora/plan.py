"""The Pandora calibration as a plan of ``caf_service``.

A service imports this module to know the plan, so it imports no physics; what is done in a step is in
``caf_pandora.stepping``.
"""

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from caf_core.errors import ConfigurationError
from caf_pandora.checks import is_number
from caf_pandora.detectors import ABSORBER, DETECTORS, SCINTILLATOR
from caf_pandora.inputs import SAMPLES
from caf_pandora.order import STAGES, TRAINING_STAGE, chosen
from caf_pandora.settings import REQUIRED as NO_DEFAULT
from caf_pandora.settings import Settings
from caf_service.plan import Phase, Plan, Request, Stage
from caf_service.plans import route_of
from caf_service.settings import REQUIRED, Setting, complete

VERSION = "1"
QUORUM = 0.9
MIPS = 2
"""The phase that needs the K0L of the phase before."""
TIME_LIMIT = 86400.0

_UPDATE = "caf_pandora.stepping:update"
_DIGITISER, _PFA = "digitisationAccuracy", "pandoraPFAAccuracy"
_FRACTION = "fractionOfFinishedJobsNeededToStartNextStep"
_CALIBRATION = (
    Phase("ECalDigi", "gamma", _UPDATE, _DIGITISER),
    Phase("HCalDigi", "kaon", _UPDATE, _DIGITISER),
    Phase("MuonAndHCalOtherDigi", "muon", _UPDATE, max_steps=1),
    Phase("ElectroMagEnergy", "gamma", _UPDATE, _PFA),
    Phase("HadronicEnergy", "kaon", _UPDATE, _PFA),
)
_TRAINING = (Phase("PhotonTraining", "zuds", _UPDATE, max_steps=1),)


def _by_sample(number: type[int] | type[float]) -> Any:
    """Whether a value has numbers above 0 by sample."""
    return lambda value: all(
        str(name).lower() in SAMPLES and is_number(one) and isinstance(one, int | number) and one > 0
        for name, one in value.items()
    )


def _is_thickness(value: Mapping[str, Any]) -> bool:
    """Whether a value has a thickness for both regions."""
    return set(value) == {"endcap", "other"} and all(is_number(one) and one > 0 for one in value.values())


_MORE = {
    "detector": Setting(
        (str,),
        f"{', '.join(DETECTORS)}, whose defaults then hold, or nothing",
        "",
        lambda value: not value or value.upper() in DETECTORS,
    ),
    "numberOfEventsPerFile": Setting(
        (dict,),
        f"events in each file, whole numbers by sample ({', '.join(SAMPLES)})",
        REQUIRED,
        _by_sample(int),
    ),
    "energies": Setting(
        (dict,), "true energies by sample [GeV], where they are not the usual ones", {}, _by_sample(float)
    ),
    "hcalAbsorberThickness": Setting(
        (dict,),
        "thickness of the HCal's absorber layers in endcap and other [mm]",
        dict(ABSORBER),
        _is_thickness,
    ),
    "hcalScintillatorThickness": Setting(
        (dict,),
        "thickness of the HCal's scintillator layers in endcap and other [mm]",
        dict(SCINTILLATOR),
        _is_thickness,
    ),
    "PfoAnalysisName": Setting((str,), "the name of the processor PfoAnalysis", "MyPfoAnalysis", bool),
    "pictures": Setting(
        (bool,), "whether the fits of every step are drawn, if matplotlib is installed", True
    ),
    "reconstructionTimeLimit": Setting(
        (float,), "how long the reconstruction of a share may take [s]", TIME_LIMIT, lambda value: value > 0
    ),
}
"""Settings of the plan that a calibration without a service gets in other ways."""
_UNSAID = {"outputPath": "not copied", "outputSE": "local"}


def _settings() -> dict[str, Setting]:
    found = {}
    for known in Settings.known():
        default = _UNSAID.get(known.name, REQUIRED if known.default is NO_DEFAULT else known.default)
        check = known.check
        found[known.name] = Setting(check.types, check.meaning, default, check.accepts)
    return found | _MORE


SETTINGS: Mapping[str, Setting] = _settings()
"""All settings of the plan; what is required and belongs to a detector may be left out if that is named."""


def _preset(detector: str) -> dict[str, Any]:
    """What iLCDirac's settings of a detector are; ``None`` is what the user has to set."""
    defaults = {one.name: None if one.default is NO_DEFAULT else one.default for one in Settings.known()}
    special = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in DETECTORS[detector].items()
    }
    return {**defaults, **special, "detector": detector}


def of_plan(values: Mapping[str, Any]) -> Settings:
    """The settings of the calibration in those of the plan."""
    return Settings.of({name: value for name, value in values.items() if name not in _MORE})


def arrange(request: Request) -> Request:
    """Fill in the detector's defaults, and bring settings and what the service knows together.

    Number of jobs, quorum, start, stop and output can be said in the words of iLCDirac's settings or in those
    of the service, but not differently in both.
    """
    given = dict(request.settings)
    detector = DETECTORS.get(str(given.get("detector", "")).upper(), {})
    values = complete({**detector, **given}, SETTINGS, "a Pandora calibration")
    values["numberOfJobs"] = _agreed(given, "numberOfJobs", request.workers, "the number of workers")
    values[_FRACTION] = _agreed(given, _FRACTION, request.quorum, "the quorum", QUORUM)
    for word, place in (("start", request.start), ("stop", request.stop)):
        if place is not None:
            values |= _placed(given, word, place)
    settings = of_plan(values)
    stretch = chosen(settings)
    if not stretch:
        raise ConfigurationError("startCalibrationFinished leaves nothing to do; leave it out.")
    stage, number = stretch[0]
    # The K0L that phase 2 needs are reconstructed once if phase 1 is left out; see stepping.update.
    first = (stage, number - 1) if number == MIPS else (stage, number)
    output = request.output_dir or str(given.get("outputPath", ""))
    return evolve(
        request,
        settings=values,
        quorum=values[_FRACTION],
        inputs=_lowered(request.inputs),
        start=_place(*first),
        stop=_place(*stretch[-1]),
        output_dir=output,
    )


def _agreed(given: Mapping[str, Any], name: str, other: Any, what: str, default: Any = None) -> Any:
    """What is said as a setting or to the service."""
    if other is None:
        return given.get(name, default)
    if name in given and given[name] != other:
        raise ConfigurationError(f"{name} is {given[name]!r} and {what} is {other!r}; say it once.")
    return other


def _placed(given: Mapping[str, Any], word: str, place: Mapping[str, Any]) -> dict[str, int]:
    """The settings for a place that the service was told."""
    route = route_of(PLAN, place, place)
    stop = route[0] if word == "start" else route[-1]
    stage = stop.stage + 1
    found = {f"{word}Stage": stage, f"{word}Phase": STAGES[stage][stop.phase]}
    for name, value in found.items():
        _agreed(given, name, value, f"the place to {word}")
    return found


def _place(stage: int, number: int) -> dict[str, int]:
    return {"stage": stage - 1, "phase": STAGES[stage].index(number)}


def _lowered(inputs: Mapping[str, Any]) -> dict[str, Any]:
    lowered = {name.lower(): files for name, files in inputs.items()}
    return lowered if len(lowered) == len(inputs) else dict(inputs)


PLAN = Plan(
    name="pandora",
    version=VERSION,
    stages=tuple(
        Stage(f"stage{stage}", _TRAINING if stage == TRAINING_STAGE else _CALIBRATION) for stage in STAGES
    ),
    begin="caf_pandora.stepping:begin",
    work="caf_pandora.stepping:work",
    finish="caf_pandora.stepping:finish",
    share="caf_pandora.stepping:share",
    arrange=arrange,
    settings=SETTINGS,
    presets={detector: _preset(detector) for detector in DETECTORS},
    samples=SAMPLES,
    quorum=QUORUM,
    suffix="",
)
"""Marlin's calibration."""

STAND_IN = evolve(
    PLAN,
    name="pandora-standin",
    begin="caf_pandora.stepping:begin_without_command",
    work="caf_pandora.standin.stepping:work",
)
"""The same with the small simulation in Marlin's place."""
