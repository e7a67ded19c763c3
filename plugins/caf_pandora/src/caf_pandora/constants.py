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

Constants = Mapping[str, float]
"""Name -> value; of ``CalibrECAL`` the number of the thin layers."""


def frozen_constants(values: Constants) -> Constants:
    """A mapping of all constants, in order, that cannot be changed.

    Raises:
        SteeringError: If some are missing, superfluous, or no numbers above 0.
    """
    missing = [name for name in NAMES if name not in values]
    superfluous = [name for name in values if name not in NAMES]
    wrong = [name for name in NAMES if name in values and not (isfinite(values[name]) and values[name] > 0)]
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
        SteeringError: If a constant is missing or is no number above 0.
    """
    missing, found = [], {}
    for name in NAMES:
        address = address_of(name, settings)
        if steering.get(address):
            found[name] = steering.numbers(address)[0]
        else:
            missing.append(str(address))
    if missing:
        raise SteeringError(f"{steering.name} lacks constants to start from; add {', '.join(missing)}.")
    return frozen_constants(found)


def write_constants(steering: Steering, constants: Constants, settings: Settings) -> None:
    """Put constants into a steering file, and add what has to stand beside them.

    ``CalibrECAL`` gets two numbers, for thin and thick layers. Where the ECal has both, ``ECALLayers`` says
    up to which layer each number counts. Without software compensation its highest energy is set to 0.
    """
    for name, value in constants.items():
        numbers = (value, value * settings.thick_layer_response) if name == CALIBR_ECAL else (value,)
        text = " ".join(map(repr, numbers))
        steering.set(address_of(name, settings), text, kind="FloatVec" if len(numbers) > 1 else "float")
    if settings.disable_software_compensation:
        switch = Address("MaxClusterEnergyToApplySoftComp", settings.pandora_processor)
        steering.set(switch, "0", kind="float")
    if settings.n_ecal_thin_layers and settings.n_ecal_thick_layers:
        thin, thick = settings.n_ecal_thin_layers, settings.n_ecal_thick_layers
        steering.set(Address("ECALLayers", settings.digi_processor), f"{thin} {thin + thick}", kind="IntVec")
