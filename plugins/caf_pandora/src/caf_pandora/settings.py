"""The settings of a calorimeter calibration: names, types, ranges and defaults."""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Self

from attrs import field, fields, frozen

from caf_core.errors import ConfigurationError
from caf_pandora.checks import FRACTION, NUMBER, RANGE, TEXT, TRUTH, Check, whole
from caf_pandora.detectors import DETECTORS

Range = tuple[float, float]


class _Required(Enum):
    REQUIRED = "required"


REQUIRED = _Required.REQUIRED
"""The default of a setting that has none for all detectors."""


@frozen
class Known:
    """What is known about a setting.

    Args:
        name: The name that the user writes.
        check: What its value has to be.
        default: Its default for all detectors, or ``REQUIRED``.
    """

    name: str
    check: Check
    default: Any = REQUIRED


def _setting(name: str, check: Check, default: Any = REQUIRED) -> dict[str, Known]:
    return {"known": Known(name, check, default)}


@frozen(kw_only=True)
class Settings:
    """What the user chooses; make one with ``Settings.of``.

    The attributes are the settings' names in our spelling. Accuracies are fractions of the true energy;
    ranges are of ``|cos theta|``.
    """

    digitisation_accuracy: float = field(metadata=_setting("digitisationAccuracy", FRACTION, 0.05))
    pandora_pfa_accuracy: float = field(metadata=_setting("pandoraPFAAccuracy", FRACTION, 0.025))
    start_stage: int = field(metadata=_setting("startStage", whole(1, 3), 1))
    start_phase: int = field(metadata=_setting("startPhase", whole(0, 5), 0))
    stop_stage: int = field(metadata=_setting("stopStage", whole(1, 3), 3))
    stop_phase: int = field(metadata=_setting("stopPhase", whole(0, 5), 4))
    start_calibration_finished: bool = field(metadata=_setting("startCalibrationFinished", TRUTH, False))
    number_of_jobs: int = field(metadata=_setting("numberOfJobs", whole(1), 100))
    marlin_version: str = field(metadata=_setting("marlinVersion", TEXT, "ILCSoft-2019-04-01_gcc62"))
    fraction_of_finished_jobs: float = field(
        metadata=_setting("fractionOfFinishedJobsNeededToStartNextStep", FRACTION, 0.9)
    )
    disable_software_compensation: bool = field(metadata=_setting("disableSoftwareCompensation", TRUTH, True))
    pandora_processor: str = field(
        metadata=_setting("DDPandoraPFANewProcessorName", TEXT, "MyDDMarlinPandora")
    )
    digi_processor: str = field(metadata=_setting("DDCaloDigiName", TEXT, "MyDDCaloDigi"))
    n_ecal_thin_layers: int = field(metadata=_setting("nEcalThinLayers", whole(0), 40))
    n_ecal_thick_layers: int = field(metadata=_setting("nEcalThickLayers", whole(0), 0))
    thick_layer_response: float = field(
        metadata=_setting("ecalResponseCorrectionForThickLayers", NUMBER, 1.0)
    )
    detector_model: str = field(metadata=_setting("detectorModel", TEXT))
    ecal_barrel_range: Range = field(metadata=_setting("ecalBarrelCosThetaRange", RANGE))
    ecal_endcap_range: Range = field(metadata=_setting("ecalEndcapCosThetaRange", RANGE))
    hcal_barrel_range: Range = field(metadata=_setting("hcalBarrelCosThetaRange", RANGE))
    hcal_endcap_range: Range = field(metadata=_setting("hcalEndcapCosThetaRange", RANGE))
    n_hcal_layers: int = field(metadata=_setting("nHcalLayers", whole(1)))
    steering_file: str = field(metadata=_setting("steeringFile", TEXT))
    config_package: str = field(metadata=_setting("nameOfTheConfigPackage", TEXT))
    output_path: str = field(metadata=_setting("outputPath", TEXT))
    output_se: str = field(metadata=_setting("outputSE", TEXT))

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
        settings = {known.name: (attribute, known) for attribute, known in _known()}
        superfluous = [str(name) for name in values if name not in settings]
        missing, wrong, read = [], [], {}
        for name, (attribute, known) in settings.items():
            value = given.get(name, known.default)
            if value is REQUIRED or value is None:
                missing.append(name)
            elif not known.check.accepts(value):
                wrong.append(f"{name} is {value!r} and should be {known.check.meaning}")
            else:
                read[attribute] = known.check.convert(value)
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
        return {known.name: getattr(self, attribute) for attribute, known in _known()}

    @staticmethod
    def known() -> tuple[Known, ...]:
        """All settings, in order."""
        return tuple(known for _attribute, known in _known())


def _known() -> Iterator[tuple[str, Known]]:
    """The attributes with what is known about them."""
    for one in fields(Settings):
        yield one.name, one.metadata["known"]


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
