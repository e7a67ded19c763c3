"""Photon identification in the stand-in: five variables of a shower, and likelihood data made of them."""

import numpy as np
from attrs import frozen

from caf_pandora.histogram import Floats
from caf_pandora.likelihood import Likelihood
from caf_pandora.reading import Bools
from caf_pandora.standin.dice import Dice
from caf_pandora.standin.truth import Particles

VARIABLES = {
    "PeakRms": (0.40, 0.55),
    "LongProfileStart": (0.35, 0.50),
    "LongProfileDiscrepancy": (0.30, 0.45),
    "PeakEnergyFraction": (0.65, 0.50),
    "MinDistanceToTrack": (0.60, 0.45),
}
"""Variable -> its mean for photons and for everything else; all spread alike."""
SPREAD = 0.11
EDGES = (0.0, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 50.0)
"""Lower edges of the energy bins [GeV]."""
BINS = 20
CUT = 0.4
"""Showers with a higher likelihood ratio are photons."""
CANDIDATES = 12
"""Showers an event of ``zuds`` that Pandora asks about."""


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
        place, log_ratio = _energy_bin(energies), np.zeros(len(energies))
        for name, value in values.items():
            tables = [
                np.stack([self.likelihood.contents[f"{name}{kind}_{i}"] for i in range(len(EDGES))])
                for kind in ("Sig", "Bkg")
            ]
            signal, background = (table[place, _bin(value)] for table in tables)
            log_ratio += np.log(signal + 1e-4) - np.log(background + 1e-4)
        photon: Bools = log_ratio > np.log(CUT / (1 - CUT))
        return photon


def shower_shapes(dice: Dice, photon: Bools | bool, number: int = 1) -> dict[str, Floats]:
    """Values of the five variables for every event's showers, shape (n, number) each."""
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
    place = _energy_bin(energies)
    lines = [
        _element("NEnergyBins", str(len(EDGES))),
        _element("EnergyBinLowerEdges", " ".join(map(str, EDGES))),
    ]
    kinds = {"Sig": ("NSignalEvents", signal), "Bkg": ("NBackgroundEvents", ~signal)}
    for tag, chosen in kinds.values():
        numbers = np.bincount(place[chosen], minlength=len(EDGES))
        lines.append(_element(tag, " ".join(map(str, numbers.tolist()))))
    for name, value in values.items():
        for kind, (_, chosen) in kinds.items():
            for i in range(len(EDGES)):
                counts = np.bincount(_bin(value[chosen & (place == i)]), minlength=BINS)
                lines.append(_histogram(f"{name}{kind}_{i}", counts / max(counts.sum(), 1)))
    return "".join(lines).encode()


def _towards_background(name: str) -> float:
    photon, other = VARIABLES[name]
    return -0.9 * float(np.sign(other - photon)) * SPREAD


def _energy_bin(energies: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.clip(np.searchsorted(EDGES, energies, side="right") - 1, 0, len(EDGES) - 1)


def _bin(values: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.minimum((values * BINS).astype(np.int64), BINS - 1)


def _element(tag: str, text: str) -> str:
    return f"<{tag}>{text}</{tag}>\n"


def _histogram(name: str, contents: Floats) -> str:
    inside = "".join(
        f"    {_element(tag, text)}"
        for tag, text in (
            ("NBinsX", str(BINS)),
            ("XLow", "0"),
            ("XHigh", "1"),
            ("BinContents", " ".join(map(repr, contents.tolist()))),
        )
    )
    return f"<{name}>\n{inside}</{name}>\n"
