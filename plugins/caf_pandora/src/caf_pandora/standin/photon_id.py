"""Photon identification in the stand-in: six variables of a shower, and likelihood data made of them.

The data have the form of Pandora's own files: names, energy bins, axes, underflow and overflow. Values are
fractions of a variable's axis, so that any file with these names can be used.
"""

from collections.abc import Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from caf_pandora.histogram import Floats
from caf_pandora.likelihood import CONTENTS, EVENTS, Likelihood
from caf_pandora.likelihood import EDGES as LOWER_EDGES
from caf_pandora.reading import Bools
from caf_pandora.standin.dice import Dice
from caf_pandora.standin.truth import Particles

VARIABLES = {
    "PeakRms": (0.20, 0.35),
    "RmsRatio": (0.20, 0.25),
    "LongProfileStart": (0.20, 0.35),
    "LongProfileDiscrepancy": (0.20, 0.35),
    "PeakEnergyFraction": (0.20, 0.35),
    "MinDistanceToTrack": (0.85, 0.70),
}
"""Variable -> its mean for photons and for everything else, about where those of a real detector are; all
spread alike."""
AXES = {
    "PeakRms": ("0", "5"),
    "RmsRatio": ("1", "3"),
    "LongProfileStart": ("-0.5", "10.5"),
    "LongProfileDiscrepancy": ("-0.02", "0.82"),
    "PeakEnergyFraction": ("-0.02", "1.02"),
    "MinDistanceToTrack": ("0", "20"),
}
"""Variable -> lower and upper end of its axis."""
SPREAD = 0.11
ENERGIES = (0.0, 0.2, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0)
"""Lower edges of the energy bins [GeV]."""
BINS = 20
"""Of every variable, without underflow and overflow."""
CUT = 0.4
"""Showers with a higher likelihood ratio are photons."""
CANDIDATES = 12
"""Showers an event of ``zuds`` that Pandora asks about."""


Places = NDArray[np.int64]


@frozen(eq=False)
class PhotonId:
    """Tells photons by likelihood data.

    Args:
        likelihood: The data.
    """

    likelihood: Likelihood

    def is_photon(self, energies: Floats, values: dict[str, Floats]) -> Bools:
        """Which showers are taken for photons.

        Args:
            energies: Energies of the showers [GeV], shape (n,).
            values: Variable -> its value for every shower, shape (n,).
        """
        edges, log_ratio = self.likelihood.edges, np.zeros(len(energies))
        place = _energy_bin(energies, edges)
        for name, value in values.items():
            tables = [
                np.stack([self.likelihood.contents[f"Photon{kind}{name}_{i}"] for i in range(len(edges))])
                for kind in ("Sig", "Bkg")
            ]
            signal, background = (table[place, _bin(value, table.shape[1] - 2)] for table in tables)
            log_ratio += np.log(signal + 1e-4) - np.log(background + 1e-4)
        photon: Bools = log_ratio > np.log(CUT / (1 - CUT))
        return photon


def shower_shapes(dice: Dice, photon: Bools | bool, number: int = 1) -> dict[str, Floats]:
    """Values of the six variables for every event's showers, shape (n, number) each."""
    return {
        name: np.clip(np.where(photon, *means) + SPREAD * dice.normals(name, number), 0, 1 - 1e-9)
        for name, means in VARIABLES.items()
    }


def train(jets: Particles, scale: float) -> bytes:
    """Likelihood data of the showers in jets.

    Args:
        jets: Events of ``zuds``.
        scale: Measured over true energy of photons.
    """
    dice = jets.dice
    signal = dice.uniforms("is photon", CANDIDATES) < 0.4
    energies = -scale * jets.energies[:, None] / 25 * np.log(dice.uniforms("energy", CANDIDATES))
    return fill(
        energies.ravel(),
        signal.ravel(),
        {k: v.ravel() for k, v in shower_shapes(dice, signal, CANDIDATES).items()},
    )


def untrained(number: int = 20_000) -> bytes:
    """Likelihood data made for some other detector, whose photons look a little different."""
    dice = Dice("untrained", np.arange(number, dtype=np.int64))
    signal = dice.uniform("is photon") < 0.5
    energies = -8 * np.log(dice.uniform("energy"))
    values = {name: value[:, 0] for name, value in shower_shapes(dice, signal[:, None]).items()}
    moved = {name: np.clip(value + _towards_background(name), 0, 1 - 1e-9) for name, value in values.items()}
    return fill(energies, signal, moved)


def fill(energies: Floats, signal: Bools, values: dict[str, Floats]) -> bytes:
    """A likelihood file, as Pandora writes it."""
    place = _energy_bin(energies, ENERGIES)
    lines = [
        _element("NEnergyBins", str(len(ENERGIES))),
        _element(LOWER_EDGES, " ".join(f"{edge:g}" for edge in ENERGIES) + " "),
    ]
    chosen = {"Sig": signal, "Bkg": ~signal}
    for kind, tag in EVENTS.items():
        numbers = np.bincount(place[chosen[kind]], minlength=len(ENERGIES))
        lines.append(_element(tag, " ".join(map(str, numbers.tolist()))))
    for name, value in values.items():
        for i in range(len(ENERGIES)):
            for kind, some in chosen.items():
                counts = np.bincount(_bin(value[some & (place == i)], BINS), minlength=BINS + 2)
                lines.append(_histogram(f"Photon{kind}{name}_{i}", AXES[name], counts / max(counts.sum(), 1)))
    return "".join(lines).encode()


def _towards_background(name: str) -> float:
    photon, other = VARIABLES[name]
    return -0.9 * float(np.sign(other - photon)) * SPREAD


def _energy_bin(energies: Floats, edges: Floats | Sequence[float]) -> Places:
    return np.clip(np.searchsorted(edges, energies, side="right") - 1, 0, len(edges) - 1)


def _bin(values: Floats, bins: int) -> Places:
    """The bins of values from 0 to 1; the first one is the underflow's."""
    return 1 + np.minimum((values * bins).astype(np.int64), bins - 1)


def _element(tag: str, text: str) -> str:
    return f"<{tag}>{text}</{tag}>\n"


def _histogram(name: str, axis: tuple[str, str], contents: Floats) -> str:
    inside = "".join(
        f"    {_element(tag, text)}"
        for tag, text in (
            ("NBinsX", str(BINS)),
            ("XLow", axis[0]),
            ("XHigh", axis[1]),
            (CONTENTS, " ".join(map(repr, contents.tolist()))),
        )
    )
    return f"<{name}>\n{inside}</{name}>\n"
