"""Energies that do not depend on constants: what particles leave in the simulated detector."""

import numpy as np
from attrs import frozen

from caf_pandora.histogram import Floats
from caf_pandora.inputs import KAON_MASS
from caf_pandora.reading import Bools
from caf_pandora.standin.detector import Detector
from caf_pandora.standin.truth import Particles

START_IN_ECAL = 0.55
MEAN_START = 15.0
"""In HCal layers, of those that do not begin to shower in the ECal."""
LENGTH, LENGTH_SPREAD = 22.0, 5.0
"""Length of a hadronic shower in HCal layers."""
EDGE_LAYERS = 3.0


@frozen(eq=False)
class Deposits:
    """What the showers of some events leave.

    Args:
        thin: Visible energy in thin ECal layers [GeV], shape (n,).
        thick: Visible energy in thick ECal layers [GeV], shape (n,).
        hcal: Visible energy in the HCal [GeV], shape (n,).
        at_edge: Fraction of it in the outermost layers, shape (n,).
        layers_to_edge: Layers between shower and edge, shape (n,).
    """

    thin: Floats
    thick: Floats
    hcal: Floats
    at_edge: Floats
    layers_to_edge: Floats


def in_ecal_endcap(detector: Detector, cos_theta: Floats) -> Bools:
    """Whether the digitiser takes hits in this direction for the ECal endcap's."""
    endcap: Bools = np.abs(cos_theta) > detector.ecal_middle
    return endcap


def hcal_region(detector: Detector, cos_theta: Floats) -> tuple[Bools, Bools, Bools]:
    """Whether a direction belongs to barrel, endcap and ring of the HCal."""
    absolute = np.abs(cos_theta)
    barrel = absolute < detector.hcal_barrel_end
    endcap = absolute >= detector.hcal_endcap_begin
    return barrel, endcap, ~barrel & ~endcap


def photon_deposits(detector: Detector, photons: Particles) -> Deposits:
    """Photons: nearly everything in the ECal, with a resolution, a crack and a leak into the HCal."""
    dice, energy = photons.dice, photons.energies
    leak = np.minimum(-detector.photon_leak * np.log(dice.uniform("leak")), 0.5)
    sigma = np.sqrt(detector.em_stochastic**2 * energy + (detector.em_constant * energy) ** 2)
    seen = np.maximum(energy * (1 - leak) + sigma * dice.normal("ecal"), 0)
    absolute = np.abs(photons.cos_theta)
    gap = (absolute > detector.ecal_barrel_end) & (absolute < detector.ecal_endcap_begin)
    thin, thick = _ecal(detector, photons, np.where(gap, detector.crack_response, 1.0) * seen)
    behind = np.maximum(leak * energy * (1 + 0.3 * dice.normal("hcal")), 0)
    far = np.full(len(energy), float(detector.hcal_layers))
    return Deposits(thin, thick, behind / _hcal_constant(detector, photons), np.zeros(len(energy)), far)


def kaon_deposits(detector: Detector, kaons: Particles) -> Deposits:
    """K0L: their kinetic energy, shared between ECal and HCal, less what leaks out behind."""
    dice, kinetic = kaons.dice, kaons.energies - KAON_MASS
    early = dice.uniform("start in ecal") < START_IN_ECAL
    share = np.where(early, 0.1 + 0.8 * dice.uniform("share"), 0.0)
    start = np.where(early, 0.0, -MEAN_START * np.log(dice.uniform("start")))
    length = np.maximum(LENGTH + LENGTH_SPREAD * dice.normal("length"), 5.0)
    beyond = (start + length - detector.hcal_layers) / length
    leak = 0.8 * np.clip(beyond, 0, 1) ** 1.5
    at_edge = np.clip(1.2 * (beyond + EDGE_LAYERS / length), 0, 1)
    in_ecal = _smeared(detector, kinetic * share, dice.normal("ecal"))
    in_hcal = _smeared(detector, kinetic * (1 - share) * (1 - leak), dice.normal("hcal"))
    thin, thick = _ecal(detector, kaons, detector.ecal_hadron_response * in_ecal)
    to_edge = np.floor(np.clip(detector.hcal_layers - start - length, 0, None))
    return Deposits(thin, thick, in_hcal / _hcal_constant(detector, kaons), at_edge, to_edge)


def straight_mips(detector: Detector, muons: Particles, calorimeter: str, layers: int) -> Floats:
    """Hit energies of muons over the most probable one, corrected for direction, shape (n, layers).

    They follow the Moyal distribution, whose most probable value is where we put it. A slanted path leaves
    more in proportion to its length; the correction for direction takes just that out again.
    """
    moyal = -np.log(muons.dice.normals(f"{calorimeter} hits", layers) ** 2)
    energies: Floats = 1 + detector.straggling * moyal
    return energies


def _smeared(detector: Detector, energy: Floats, normal: Floats) -> Floats:
    smeared: Floats = np.maximum(energy + detector.had_stochastic * np.sqrt(energy) * normal, 0)
    return smeared


def _ecal(detector: Detector, some: Particles, energy: Floats) -> tuple[Floats, Floats]:
    """Visible energies in thin and thick layers."""
    constant = detector.ecal_constant * np.where(
        in_ecal_endcap(detector, some.cos_theta), detector.ecal_endcap_factor, 1.0
    )
    if detector.thick_layers == 0:
        return energy / constant, np.zeros_like(energy)
    behind = 0.1 + 0.3 * some.dice.uniform("thick layers")
    return energy * (1 - behind) / constant, energy * behind / (constant * detector.thick_response)


def _hcal_constant(detector: Detector, some: Particles) -> Floats:
    barrel, endcap, _ring = hcal_region(detector, some.cos_theta)
    constant: Floats = np.where(
        barrel,
        detector.hcal_barrel_constant,
        np.where(endcap, detector.hcal_endcap_constant, detector.hcal_other_constant),
    )
    return constant
