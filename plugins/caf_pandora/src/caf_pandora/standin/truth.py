"""The stand-in's input files: one true particle an event, numbered over all files of a sample.

``python -m caf_pandora.standin.truth DIRECTORY`` makes such files.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from caf_pandora.errors import ResultFileError
from caf_pandora.histogram import Floats
from caf_pandora.inputs import ENERGIES, SAMPLES
from caf_pandora.standin.detector import COS_THETA_MAX
from caf_pandora.standin.dice import Dice

TREE = "MCParticles"
PDG = {"gamma": 22, "kaon": 130, "muon": 13, "zuds": 1}


@frozen(eq=False)
class Particles:
    """The true particles of some events of one sample.

    Args:
        sample: ``gamma``, ``kaon``, ``muon`` or ``zuds``.
        events: Numbers of the events, shape (n,).
        energies: True energies [GeV], shape (n,).
        cos_theta: Directions, shape (n,).
    """

    sample: str
    events: NDArray[np.int64] = field(repr=False)
    energies: Floats = field(repr=False)
    cos_theta: Floats = field(repr=False)

    @property
    def dice(self) -> Dice:
        """The random numbers that belong to these events."""
        return Dice(self.sample, self.events)


def particles(sample: str, first: int, number: int, energy: float | None = None) -> Particles:
    """Events ``first`` to ``first + number - 1`` of a sample, evenly distributed in cos theta."""
    events = np.arange(first, first + number, dtype=np.int64)
    cos_theta = COS_THETA_MAX * (2 * Dice(sample, events).uniform("cos theta") - 1)
    energies = np.full(number, ENERGIES[sample] if energy is None else energy)
    return Particles(sample, events, energies, cos_theta)


def write(path: Path, some: Particles) -> None:
    """Write an input file."""
    import uproot

    columns: dict[str, NDArray[Any]] = {
        "event": some.events,
        "pdg": np.full(len(some.events), PDG[some.sample], dtype=np.int32),
        "energy": some.energies.astype(np.float32),
        "cosTheta": some.cos_theta.astype(np.float32),
    }
    with path.open("w+b") as stream, uproot.recreate(stream) as directory:
        directory.mktree(TREE, {name: column.dtype for name, column in columns.items()})
        directory[TREE].extend(columns)


def read(files: Sequence[Path], skip: int, records: int) -> Particles:
    """The particles of a worker's share, counted as Marlin counts.

    Args:
        files: The files, laid end to end.
        skip: Events to skip; the first file's run header is skipped with them.
        records: Records to read: events, and the run header at the beginning of each file; negative for all.
    Raises:
        ResultFileError: If a file cannot be read, or if the files hold more than one sample.
    """
    parts = []
    for path in files:
        columns = _columns(path)
        start = min(skip, len(columns["event"]))
        header = 0 if start else 1
        stop = len(columns["event"]) if records < 0 else start + max(0, records - header)
        part = {name: column[start:stop] for name, column in columns.items()}
        parts.append(part)
        skip -= start
        if records >= 0:
            records = max(0, records - header - len(part["event"]))
    merged = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    kinds = set(merged["pdg"].tolist())
    samples = [sample for sample in SAMPLES if PDG[sample] in kinds]
    if len(kinds) != 1 or not samples:
        raise ResultFileError(", ".join(map(str, files)), "should hold events of one sample, and does not.")
    return Particles(
        samples[0], merged["event"], merged["energy"].astype(float), merged["cosTheta"].astype(float)
    )


def _columns(path: Path) -> Mapping[str, NDArray[np.float64]]:
    import uproot

    try:
        with uproot.open(path) as directory:
            columns: Mapping[str, NDArray[np.float64]] = directory[TREE].arrays(library="np")
            return columns
    except Exception as problem:  # whatever uproot says about a file that is none of ours
        raise ResultFileError(path, f"is no input file of the stand-in ({problem}).") from problem


def generate(
    directory: Path, files: int, events_per_file: Mapping[str, int], first: int = 0
) -> dict[str, tuple[str, ...]]:
    """Make input files.

    Args:
        directory: Where they go, in a folder for each sample and energy such as ``gamma/10``.
        files: How many files each sample has.
        events_per_file: Sample -> events in each of its files.
        first: The number of each sample's first event.
    Returns:
        Sample -> paths of its files.
    """
    made = {}
    for sample, number in events_per_file.items():
        folder = directory / sample / f"{ENERGIES[sample]:g}"
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{sample}_{place}.root" for place in range(files)]
        for place, path in enumerate(paths):
            write(path, particles(sample, first + place * number, number))
        made[sample] = tuple(map(str, paths))
    return made


def main() -> None:
    """Make input files; the command of this module."""
    parser = argparse.ArgumentParser(prog="python -m caf_pandora.standin.truth", description=main.__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--files", type=int, default=4, help="files a sample (default: %(default)s)")
    parser.add_argument("--events", type=int, default=500, help="events a file (default: %(default)s)")
    given = parser.parse_args()
    generate(given.directory, given.files, dict.fromkeys(SAMPLES, given.events))


if __name__ == "__main__":
    main()
