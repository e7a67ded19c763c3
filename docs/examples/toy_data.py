"""A toy detector: Z -> mu mu in 62 runs of two experiments, with a momentum scale that drifts.

Small but honest: the Z has a Breit-Wigner mass, a transverse momentum and a rapidity; it decays
isotropically; the muons are boosted, measured with a resolution that grows with |eta|, and selected by their
measured momenta. Photon radiation and background are left out, so that the fitted peak stands at the Z mass
and the constants can be compared with the truth.

The truth of a run is the factor by which measured momenta must be multiplied.
"""

import json
from pathlib import Path

import numpy as np
import uproot
from attrs import field, frozen

from caf_core import ExpRun
from caf_root.lineshape import breit_wigner

SEED = 2011
RUNS = {7: range(101, 169, 2), 8: range(3, 31)}
SHORT = {(7, 109), (7, 111), (7, 133), (7, 167), (8, 3), (8, 14), (8, 15), (8, 30)}
IGNORED = ExpRun(7, 145)  # the magnet was ramping
EVENTS_PER_FILE = 500
Z_MASS, Z_WIDTH = 91.1876, 2.4952  # GeV, Particle Data Group


def true_scale(run: ExpRun) -> float:
    """The factor by which the measured momenta of a run must be multiplied."""
    if run == IGNORED:
        return 1.05
    if run.exp == 7:
        return 1.004 - 0.005 * (run.run - 101) / 66
    return 1.002 + 0.002 * np.sin(2 * np.pi * run.run / 27)


def number_of_events(run: ExpRun, random: np.random.Generator) -> int:
    """How many pairs a run has."""
    return int(random.integers(15, 60) if run in SHORT else random.integers(350, 1100))


def z_decays(number: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Momenta of both muons, shape (number, 3) each [GeV]."""
    grid = np.linspace(40, 200, 100_001)
    density = breit_wigner(grid, Z_MASS, Z_WIDTH)
    mass = np.interp(random.random(number), np.cumsum(density) / density.sum(), grid)
    # The decay in the rest frame of the Z; a muon's own mass is neglected.
    cos, phi = random.uniform(-1, 1, number), random.uniform(-np.pi, np.pi, number)
    sin = np.sqrt(1 - cos**2)
    decay = (mass / 2)[:, None] * np.column_stack([sin * np.cos(phi), sin * np.sin(phi), cos])
    # The momentum of the Z, and the boost into the laboratory.
    pt, rapidity = random.exponential(12.0, number), random.normal(0, 1.2, number)
    azimuth = random.uniform(-np.pi, np.pi, number)
    z = np.column_stack([pt * np.cos(azimuth), pt * np.sin(azimuth), np.hypot(mass, pt) * np.sinh(rapidity)])
    energy = np.hypot(mass, np.linalg.norm(z, axis=1))
    along = (z * decay).sum(axis=1) / mass
    return tuple(sign * decay + z * (sign * along / (energy + mass) + 0.5)[:, None] for sign in (1, -1))


def measured_pairs(run: ExpRun, random: np.random.Generator, wanted: int) -> dict[str, np.ndarray]:
    """Pairs of a run as the detector sees them: columns of ``wanted`` events."""
    columns: dict[str, np.ndarray] = {}
    number = 4 * wanted + 200
    for i, p in enumerate(z_decays(number, random), start=1):
        pt, eta = np.hypot(p[:, 0], p[:, 1]), np.arcsinh(p[:, 2] / np.hypot(p[:, 0], p[:, 1]))
        resolution = 0.012 + 0.004 * np.abs(eta)
        smeared = pt / true_scale(run) * np.exp(random.normal(0, resolution))
        columns |= {f"pt{i}": smeared, f"eta{i}": eta, f"phi{i}": np.arctan2(p[:, 1], p[:, 0])}
    charge = random.choice([-1, 1], number)
    wrong = random.random((2, number)) < 0.005  # charges that are measured wrongly
    columns |= {"q1": np.where(wrong[0], -charge, charge), "q2": np.where(wrong[1], charge, -charge)}
    accepted = np.flatnonzero(
        (np.abs(columns["eta1"]) < 2.4)
        & (np.abs(columns["eta2"]) < 2.4)
        & (np.minimum(columns["pt1"], columns["pt2"]) > 15)
    )
    kept = accepted[:wanted]
    return {
        "experiment": np.full(len(kept), run.exp, np.int32),
        "run": np.full(len(kept), run.run, np.int32),
        "event": np.arange(1, len(kept) + 1),
        **{name: columns[name][kept].astype(np.int64) for name in ("q1", "q2")},
        **{name: columns[name][kept].astype(np.float32) for name in columns if name[0] != "q"},
    }


@frozen
class Truth:
    """What is known of the runs in a folder; nothing, if it has no ``truth.json``.

    Args:
        scales: The true scale of every run.
        events: How many pairs each of them has.
        ignored: Runs that must be left out.
    """

    scales: dict[ExpRun, float] = field(factory=dict)
    events: dict[ExpRun, int] = field(factory=dict)
    ignored: tuple[ExpRun, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> "Truth":
        """Read what ``make_toy`` wrote."""
        path = folder / "truth.json"
        if not path.exists():
            return cls()
        told = json.loads(path.read_text())
        runs = {ExpRun(exp, run): (scale, events) for exp, run, scale, events in told["runs"]}
        return cls(
            {run: scale for run, (scale, _) in runs.items()},
            {run: events for run, (_, events) in runs.items()},
            tuple(ExpRun(*run) for run in told["ignored"]),
        )


def make_toy(folder: Path, seed: int = SEED) -> Path:
    """Write the ROOT files, and the truth into ``truth.json``; what is there already is kept.

    Args:
        folder: Where to; made if it does not exist.
        seed: Other seeds make other events of the same detector.
    Returns:
        The folder.
    """
    runs = [ExpRun(exp, number) for exp, numbers in RUNS.items() for number in numbers]
    randoms = {run: np.random.default_rng([seed, *run]) for run in runs}
    events = {run: number_of_events(run, randoms[run]) for run in runs}
    truth = [[*run, true_scale(run), events[run]] for run in runs]
    text = json.dumps({"seed": seed, "ignored": [list(IGNORED)], "runs": truth}, indent=1)
    told = folder / "truth.json"
    if told.exists() and told.read_text() == text:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for run in runs:
        columns = measured_pairs(run, randoms[run], events[run])
        for part, start in enumerate(range(0, events[run], EVENTS_PER_FILE)):
            piece = {name: column[start : start + EVENTS_PER_FILE] for name, column in columns.items()}
            with uproot.recreate(folder / f"e{run.exp:04d}_r{run.run:06d}_{part}.root") as file:
                file.mktree("events", {name: column.dtype for name, column in piece.items()}).extend(piece)
    told.write_text(text)
    return folder
