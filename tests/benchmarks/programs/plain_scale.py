"""The muon momentum scale without caf's machinery: ``plain_scale.py FOLDER ITERATIONS``.

One process, one loop: the building blocks of the demo, its files, as many iterations, and runs that are put
together until there are enough events. No restart, no databases, no payloads.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "docs" / "examples"))

from muon_scale import BRANCHES, MASS, MUONS, Z_MASS

from caf_root import Counts, PeakFitter, RunHistograms, pair_mass, read_chunks, split_runs

ENOUGH = 150


def spectra_of(files, scales):
    """The spectrum of every run, with the momenta as they are now."""
    spectra = RunHistograms(MASS)
    for chunk in read_chunks(files, "events", BRANCHES):
        for run, pairs in split_runs(chunk):
            mass = scales.get(run, 1.0) * pair_mass(*(pairs[name] for name in MUONS))
            spectra.fill(run, mass[pairs["q1"] != pairs["q2"]])
    return spectra


def grouped(spectra):
    """Runs in groups with enough events each; what is left over at the end goes to the last one."""
    groups, open_group, events = [], [], 0
    for run, number in spectra.entries().items():
        open_group.append(run)
        events += number
        if events >= ENOUGH:
            groups.append(open_group)
            open_group, events = [], 0
    groups[-1] += open_group
    return groups


def main(folder, iterations):
    """Calibrate."""
    files = sorted(Path(folder).glob("*.root"))
    scales, groups = {}, []
    fitter = PeakFitter(mass=Z_MASS, window=(86.0, 96.0))
    for _ in range(iterations):
        spectra = spectra_of(files, scales)
        groups = groups or grouped(spectra)
        for group in groups:
            spectrum = Counts.merge([spectra[run] for run in group])
            scale = Z_MASS / fitter.fit(spectrum).position * scales.get(group[0], 1.0)
            scales.update(dict.fromkeys(group, scale))
    print(len(groups), "groups")


main(sys.argv[1], int(sys.argv[2]))
