"""The calibration constants, where they stand in the steering file, and the parameters that go with them."""

from collections.abc import Mapping
from math import isfinite
from types import MappingProxyType

from caf_pandora.errors import SteeringError
from caf_pandora.settings import Settings
from caf_pandora.steering import Address, Steering

CALIBR_ECAL = "CalibrECAL"
ECAL_ENDCAP_FACTOR = "ECALEndcapCorrectionFactor"
CALIBR_HCAL_BARREL = "CalibrHCALBarrel"
CALIBR_HCAL_ENDCAP = "CalibrHCALEndcap"
CALIBR_HCAL_OTHER = "CalibrHCALOther"
ECAL_TO_MIP = "ECalToMipCalibration"
HCAL_TO_MIP = "HCalToMipCalibration"
MUON_TO_MIP = "MuonToMipCalibration"
ECAL_TO_EM = "ECalToEMGeVCalibration"
HCAL_TO_EM = "HCalToEMGeVCalibration"
ECAL_TO_HAD_BARREL = "ECalToHadGeVCalibrationBarrel"
ECAL_TO_HAD_ENDCAP = "ECalToHadGeVCalibrationEndCap"
HCAL_TO_HAD = "HCalToHadGeVCalibration"

DIGITISER = (CALIBR_ECAL, ECAL_ENDCAP_FACTOR, CALIBR_HCAL_BARREL, CALIBR_HCAL_ENDCAP, CALIBR_HCAL_OTHER)
"""Constants of the digitiser, ``DDCaloDigiName``."""
PANDORA = (
    ECAL_TO_MIP,
    HCAL_TO_MIP,
    MUON_TO_MIP,
    ECAL_TO_EM,
    HCAL_TO_EM,
    ECAL_TO_HAD_BARREL,
    ECAL_TO_HAD_ENDCAP,
    HCAL_TO_HAD,
)
"""Constants of Pandora, ``DDPandoraPFANewProcessorName``."""
NAMES = DIGITISER + PANDORA
"""All constants, in the order of the tables."""

COUNT = {CALIBR_ECAL: 2}
"""How many numbers a constant may have in a steering file, if not one: that of thin and of thick layers."""

Constants = Mapping[str, float]
"""Name -> value; of ``CalibrECAL`` the number of the thin layers."""


def frozen_constants(values: Constants) -> Constants:
    """A mapping of all constants, in order, that cannot be changed.

    Raises:
        SteeringError: If some are missing, superfluous, or no numbers above 0.
    """
    missing = [name for name in NAMES if name not in values]
    superfluous = [name for name in values if name not in NAMES]
    wrong = [name for name in NAMES if name in values and not _is_constant(values[name])]
    problems = [
        f"{what}: {', '.join(names)}"
        for what, names in (("missing", missing), ("superfluous", superfluous), ("not above 0", wrong))
        if names
    ]
    if problems:
        raise SteeringError(f"the calibration constants cannot be used ({'; '.join(problems)}).")
    return MappingProxyType({name: float(values[name]) for name in NAMES})


def address_of(name: str, settings: Settings) -> Address:
    """Where a constant stands in the steering file."""
    return Address(name, settings.digi_processor if name in DIGITISER else settings.pandora_processor)


def read_constants(steering: Steering, settings: Settings) -> Constants:
    """The constants that a steering file has.

    Raises:
        SteeringError: If constants are missing or are no numbers above 0; it names all of them.
    """
    missing, wrong, found = [], [], {}
    for name in NAMES:
        address = address_of(name, settings)
        text = steering.get(address)
        numbers = _numbers(text or "")
        if text is None or not text:
            missing.append(str(address))
        elif not numbers or len(numbers) > COUNT.get(name, 1) or not all(map(_is_constant, numbers)):
            wanted = f"at most {COUNT[name]} numbers" if name in COUNT else "one number"
            wrong.append(f"{address} says {text!r} and should be {wanted} above 0")
        else:
            found[name] = numbers[0]
    if missing or wrong:
        problems = [f"it lacks {', '.join(missing)}; add them"] * bool(missing) + wrong
        raise SteeringError(f"{steering.name} has no constants to start from: {'; '.join(problems)}.")
    return frozen_constants(found)


def _is_constant(value: float) -> bool:
    return isfinite(value) and value > 0


def _numbers(text: str) -> tuple[float, ...]:
    """The numbers of a text; none if something else is in it."""
    try:
        return tuple(map(float, text.split()))
    except ValueError:
        return ()


def write_constants(steering: Steering, constants: Constants, settings: Settings) -> None:
    """Put constants into a steering file, and add what has to stand beside them.

    ``CalibrECAL`` gets two numbers, for thin and thick layers. Where the ECal has thick ones, ``ECALLayers``
    says up to which layer, exclusive, each number counts: one more than there are, so that the last layer has
    its number however layers are counted. Without software compensation its highest energy is set to 0.
    """
    for name, value in constants.items():
        numbers = (value, value * settings.thick_layer_response) if name == CALIBR_ECAL else (value,)
        text = " ".join(map(repr, numbers))
        steering.set(address_of(name, settings), text, kind="FloatVec" if len(numbers) > 1 else "float")
    if settings.disable_software_compensation:
        switch = Address("MaxClusterEnergyToApplySoftComp", settings.pandora_processor)
        steering.set(switch, "0", kind="float")
    if settings.n_ecal_thick_layers:
        thin, end = (
            settings.n_ecal_thin_layers,
            settings.n_ecal_thin_layers + settings.n_ecal_thick_layers + 1,
        )
        steering.set(Address("ECALLayers", settings.digi_processor), f"{thin} {end}", kind="IntVec")
