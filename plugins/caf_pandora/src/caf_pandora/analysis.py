"""The processor PfoAnalysis, which writes ``pfoAnalysis.root``: found in a steering file, or added to it."""

from caf_pandora.errors import SteeringError
from caf_pandora.steering import Address, Steering

PFO_ANALYSIS = "MyPfoAnalysis"
"""Its usual name."""
TYPE = "PfoAnalysis"

_CALORIMETER, _SIMULATED = "CalorimeterHit", "SimCalorimeterHit"
_PARAMETERS = (
    ("BCalCollections", "StringVec", _CALORIMETER, "BCAL"),
    ("CollectCalibrationDetails", "int", "", "1"),
    ("ECalCollections", "StringVec", _CALORIMETER, "ECALBarrel ECALEndcap"),
    (
        "ECalCollectionsSimCaloHit",
        "StringVec",
        _SIMULATED,
        "ECalBarrelCollection ECalEndcapCollection ECalPlugCollection",
    ),
    ("HCalBarrelCollectionsSimCaloHit", "StringVec", _SIMULATED, "HCalBarrelCollection"),
    ("HCalCollections", "StringVec", _CALORIMETER, "HCALBarrel HCALEndcap HCALOther"),
    ("HCalEndCapCollectionsSimCaloHit", "StringVec", _SIMULATED, "HCalEndcapCollection"),
    ("HCalOtherCollectionsSimCaloHit", "StringVec", _SIMULATED, "HCalRingCollection"),
    ("HCalRingOuterPhi0", "float", "", "0"),
    ("HCalRingOuterSymmetryOrder", "int", "", "8"),
    ("LCalCollections", "StringVec", _CALORIMETER, "LCAL"),
    ("LHCalCollections", "StringVec", _CALORIMETER, ""),
    ("LookForQuarksWithMotherZ", "int", "", "0"),
    ("MCParticleCollection", "string", "MCParticle", "MCParticle"),
    ("MCPfoSelectionLowEnergyNPCutOff", "float", "", "1.2"),
    ("MCPfoSelectionMomentum", "float", "", "0.01"),
    ("MCPfoSelectionRadius", "float", "", "500"),
    ("MuonCollections", "StringVec", _CALORIMETER, "MUON"),
    ("NBinsMuonCaloHitEnergyHist", "int", "", "500"),
    ("PfoCollection", "string", "ReconstructedParticle", "PandoraPFOs"),
    ("Printing", "int", "", "0"),
    ("XUpperValueMuonCaloHitEnergyHist", "float", "", "0.002"),
)
"""Name, type, type of the LCIO collection, and value, as iLCDirac gives them for CLIC and CLD."""


def provide_analysis(steering: Steering, root_file: str, wanted: str = PFO_ANALYSIS) -> str:
    """Let PfoAnalysis be executed with what a calibration needs; where it is missing, it is added.

    Args:
        steering: The steering file, which is changed.
        root_file: What it writes.
        wanted: Its name; if there is none of the usual name, the only processor of its type is meant.
    Returns:
        Its name.
    Raises:
        SteeringError: If there are others of its type, or if it is executed, but not defined.
    """
    name = _chosen(steering, wanted)
    if name not in steering.executed():
        steering.execute(name)
    steering.set(Address("RootFile", name), root_file, kind="string")
    # without it, there are no histograms
    steering.set(Address("CollectCalibrationDetails", name), "1", kind="int")
    return name


def _chosen(steering: Steering, wanted: str) -> str:
    there = steering.of_type(TYPE)
    if wanted in there:
        return wanted
    if there:
        executed = [name for name in there if name in steering.executed()] or list(there)
        if wanted == PFO_ANALYSIS and len(executed) == 1:
            return executed[0]
        raise SteeringError(
            f"{steering.name} has no processor {wanted!r} of type {TYPE}; it has {', '.join(there)}. "
            "Set PfoAnalysisName to the name in it."
        )
    if wanted in steering.executed():
        raise SteeringError(
            f"{steering.name} executes {wanted!r}, but does not define it as a processor of type {TYPE}. "
            "Define it, or leave it out of <execute>: it is added then."
        )
    parameters = [
        ({"name": name, "type": kind} | ({"lcioInType": collection} if collection else {}), value)
        for name, kind, collection, value in _PARAMETERS
    ]
    steering.add_processor(wanted, TYPE, parameters)
    return wanted
