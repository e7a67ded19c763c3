"""The settings of a calorimeter calibration: names, types, ranges and defaults."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, Self

from attrs import asdict, field, fields, frozen

from caf_core.errors import ConfigurationError
from caf_pandora.detectors import DETECTORS

Range = tuple[float, float]
_NONE = object()


class _Wrong(Exception):
    """Says what a value should be."""


def _whole(low: int, high: int | None = None) -> Any:
    def read(value: Any) -> int:
        if type(value) is not int or value < low or (high is not None and value > high):
            raise _Wrong(f"a whole number from {low}" + (f" to {high}" if high is not None else " on"))
        return value

    return read


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value <= 0:
        raise _Wrong("a number above 0")
    return float(value)


def _fraction(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise _Wrong("a number above 0 and not above 1")
    return float(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("True or False")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Wrong("a text that is not empty")
    return value


def _range(value: Any) -> Range:
    wrong = _Wrong("two numbers from 0 to 1, the lower one first")
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise wrong
    if any(isinstance(end, bool) or not isinstance(end, int | float) for end in value):
        raise wrong
    low, high = value
    if not 0 <= low < high <= 1:
        raise wrong
    return float(low), float(high)


def _setting(name: str, read: Any, default: Any = _NONE) -> dict[str, Any]:
    return {"name": name, "read": read, "default": default}


@frozen(kw_only=True)
class Settings:
    """What the user chooses; make one with ``Settings.of``.

    The attributes are the settings' names in our spelling. Accuracies are fractions of the true energy;
    ranges are of |cos theta|.
    """

    digitisation_accuracy: float = field(metadata=_setting("digitisationAccuracy", _fraction, 0.05))
    pandora_pfa_accuracy: float = field(metadata=_setting("pandoraPFAAccuracy", _fraction, 0.025))
    start_stage: int = field(metadata=_setting("startStage", _whole(1, 3), 1))
    start_phase: int = field(metadata=_setting("startPhase", _whole(0, 5), 0))
    stop_stage: int = field(metadata=_setting("stopStage", _whole(1, 3), 3))
    stop_phase: int = field(metadata=_setting("stopPhase", _whole(0, 5), 4))
    start_calibration_finished: bool = field(metadata=_setting("startCalibrationFinished", _truth, False))
    number_of_jobs: int = field(metadata=_setting("numberOfJobs", _whole(1), 100))
    marlin_version: str = field(metadata=_setting("marlinVersion", _text, "ILCSoft-2019-04-01_gcc62"))
    fraction_of_finished_jobs: float = field(
        metadata=_setting("fractionOfFinishedJobsNeededToStartNextStep", _fraction, 0.9)
    )
    disable_software_compensation: bool = field(
        metadata=_setting("disableSoftwareCompensation", _truth, True)
    )
    pandora_processor: str = field(
        metadata=_setting("DDPandoraPFANewProcessorName", _text, "MyDDMarlinPandora")
    )
    digi_processor: str = field(metadata=_setting("DDCaloDigiName", _text, "MyDDCaloDigi"))
    n_ecal_thin_layers: int = field(metadata=_setting("nEcalThinLayers", _whole(0), 40))
    n_ecal_thick_layers: int = field(metadata=_setting("nEcalThickLayers", _whole(0), 0))
    thick_layer_response: float = field(
        metadata=_setting("ecalResponseCorrectionForThickLayers", _number, 1.0)
    )
    detector_model: str = field(metadata=_setting("detectorModel", _text))
    ecal_barrel_range: Range = field(metadata=_setting("ecalBarrelCosThetaRange", _range))
    ecal_endcap_range: Range = field(metadata=_setting("ecalEndcapCosThetaRange", _range))
    hcal_barrel_range: Range = field(metadata=_setting("hcalBarrelCosThetaRange", _range))
    hcal_endcap_range: Range = field(metadata=_setting("hcalEndcapCosThetaRange", _range))
    n_hcal_layers: int = field(metadata=_setting("nHcalLayers", _whole(1)))
    steering_file: str = field(metadata=_setting("steeringFile", _text))
    config_package: str = field(metadata=_setting("nameOfTheConfigPackage", _text))
    output_path: str = field(metadata=_setting("outputPath", _text))
    output_se: str = field(metadata=_setting("outputSE", _text))

    @classmethod
    def of(cls, values: Mapping[str, Any], detector: str | None = None) -> Self:
        """Check the user's values and fill in the defaults.

        Args:
            values: By the names that the user writes, such as ``digitisationAccuracy``.
            detector: ``CLIC`` or ``CLD``; without one the detector's settings have to be among the values.
        Raises:
            ConfigurationError: One sentence with every missing, superfluous and wrong setting.
        """
        given = {**_detector(detector), **values}
        settings = {one.metadata["name"]: one for one in fields(cls)}
        superfluous = [str(name) for name in values if name not in settings]
        missing, wrong, read = [], [], {}
        for name, one in settings.items():
            value = given.get(name, one.metadata["default"])
            if value is _NONE or value is None:
                missing.append(name)
                continue
            try:
                read[one.name] = one.metadata["read"](value)
            except _Wrong as should:
                wrong.append(f"{name} is {value!r} and should be {should}")
        wrong += [] if missing or wrong else _contradictions(read)
        problems = [f"missing: {', '.join(missing)}"] * bool(missing)
        problems += [f"superfluous: {', '.join(sorted(superfluous))}"] * bool(superfluous)
        problems += [f"wrong: {'; '.join(wrong)}"] * bool(wrong)
        if problems:
            raise ConfigurationError(
                f"the settings of the calibration cannot be used ({'. '.join(problems)}); "
                f"there are: {', '.join(settings)}."
            )
        return cls(**read)

    def as_mapping(self) -> dict[str, Any]:
        """The settings by the names that the user writes; ``of`` takes them back."""
        values = asdict(self)
        return {one.metadata["name"]: values[one.name] for one in fields(type(self))}


def _detector(name: str | None) -> Mapping[str, Any]:
    if name is None:
        return {}
    try:
        return DETECTORS[name.upper()]
    except KeyError:
        raise ConfigurationError(
            f"no defaults are known for the detector {name!r}; known are {', '.join(DETECTORS)}. "
            "Leave it out and give the detector's settings yourself."
        ) from None


def _contradictions(read: Mapping[str, Any]) -> list[str]:
    """What is wrong between settings that are right one by one."""
    wrong = []
    start, stop = (read["start_stage"], read["start_phase"]), (read["stop_stage"], read["stop_phase"])
    if start[0] > stop[0] or (start[0] == stop[0] != 2 and start > stop):
        wrong.append(
            f"the start (stage {start[0]}, phase {start[1]}) is after the stop ({stop[0]}, {stop[1]})"
        )
    if read["n_ecal_thin_layers"] + read["n_ecal_thick_layers"] == 0:
        wrong.append("nEcalThinLayers and nEcalThickLayers are both 0, and an ECal has layers")
    return wrong
