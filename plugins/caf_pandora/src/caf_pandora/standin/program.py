"""The stand-in as a program: a steering file in, ``pfoAnalysis.root`` or likelihood data out."""

from pathlib import Path

import numpy as np

from caf_pandora import constants as c
from caf_pandora import markup
from caf_pandora.analysis import TYPE
from caf_pandora.errors import SteeringError
from caf_pandora.likelihood import Likelihood
from caf_pandora.reading import COS_THETA, TREE
from caf_pandora.standin import truth
from caf_pandora.standin.detector import CLIC, Detector
from caf_pandora.standin.photon_id import PhotonId, train
from caf_pandora.standin.reconstruction import Reconstructed, Reconstruction
from caf_pandora.steering import Address, Steering

INTEGERS = (
    "run",
    "event",
    "nPfosTotal",
    "nPfosPhotons",
    "nPfosNeutralHadrons",
    "nPfosTracks",
    "nPfoTargetsTotal",
    "nPfoTargetsPhotons",
    "nPfoTargetsNeutralHadrons",
    "nPfoTargetsTracks",
    "pfoMinHCalLayerToEdge",
)
FLOATS = (
    "pfoECalToEmEnergy",
    "pfoHCalToEmEnergy",
    "pfoECalToHadEnergy",
    "pfoHCalToHadEnergy",
    "hCalCaloHitEnergyFromEdge",
    "TotalCaloHitEnergy",
    "ECalTotalCaloHitEnergy",
    "HCalTotalCaloHitEnergy",
)


def reconstruct(
    steering_file: Path,
    detector: Detector = CLIC,
    *,
    digi: str = "MyDDCaloDigi",
    pandora: str = "MyDDMarlinPandora",
) -> Path:
    """Reconstruct the events that a steering file names.

    Relative paths in it start at its own directory, as Marlin is executed there.

    Args:
        steering_file: Marlin's steering file.
        detector: The simulated detector.
        digi: Name of the digitiser.
        pandora: Name of Pandora's processor.
    Returns:
        The file that was written.
    Raises:
        SteeringError: If something is missing in the steering file.
        ResultFileError: If an input file is none.
    """
    steering, home = Steering.read(steering_file), steering_file.parent
    events = truth.read(
        [home / name for name in _text(steering, Address("LCIOInputFiles")).split()],
        int(_text(steering, Address("SkipNEvents"))),
        int(_text(steering, Address("MaxRecordNumber"))),
    )
    constants = {
        name: steering.numbers(Address(name, digi if name in c.DIGITISER else pandora)) for name in c.NAMES
    }
    thick = constants[c.CALIBR_ECAL][-1]
    reconstruction = Reconstruction(detector, {name: one[0] for name, one in constants.items()}, thick)
    settings = home / _text(steering, Address("PandoraSettingsXmlFile", pandora))
    tree = markup.read(settings)
    likelihood = home / (tree.findtext(".//HistogramFile") or "").strip()
    if (tree.findtext(".//ShouldMakePdfHistograms") or "").strip() == "true":
        likelihood.write_bytes(train(events, reconstruction.photon_scale()))
        return likelihood
    if events.sample == "zuds":
        raise SteeringError(f"{settings} should let Pandora make likelihood data, as the events are zuds.")
    if events.sample == "muon":
        made = reconstruction.muons(events)
    else:
        made = reconstruction.showers(events, PhotonId(Likelihood.parse(likelihood.read_bytes(), likelihood)))
    target = home / _text(steering, Address("RootFile", _analysis(steering)))
    write(target, events, made)
    return target


def write(path: Path, events: truth.Particles, made: Reconstructed) -> None:
    """Write ``pfoAnalysis.root``; it appears under its name only when it is complete."""
    import awkward as ak
    import uproot

    number = len(events.events)
    columns = {"run": np.zeros(number), "event": events.events, **made.columns}
    tree = {name: np.asarray(columns.get(name, np.zeros(number)), dtype=np.int32) for name in INTEGERS}
    tree |= {name: np.asarray(columns.get(name, np.zeros(number)), dtype=np.float32) for name in FLOATS}
    targets = ak.unflatten(np.asarray(events.cos_theta, dtype=np.float32), np.ones(number, dtype=np.int64))
    partial = path.with_name(path.name + ".part")
    with partial.open("w+b") as stream, uproot.recreate(stream) as directory:
        types = {name: column.dtype for name, column in tree.items()}
        directory.mktree(TREE, {**types, COS_THETA: "var * float32"})
        directory[TREE].extend({**tree, COS_THETA: targets})
        for name, histogram in made.histograms.items():
            directory[name] = (histogram.counts, histogram.edges)
    partial.replace(path)


def _analysis(steering: Steering) -> str:
    """The processor that writes the ROOT file."""
    names = [name for name in steering.of_type(TYPE) if name in steering.executed()]
    if len(names) != 1:
        raise SteeringError(f"{steering.name} should execute one processor of type {TYPE}.")
    return names[0]


def _text(steering: Steering, address: Address) -> str:
    text = steering.get(address)
    if not text:
        raise SteeringError(f"{steering.name} does not say {address}.")
    return text
