"""Where the calibration of the stand-in ends with unlimited statistics, and why.

Most fixed points are the detector's own constants. Where an estimator has a bias that no statistics removes,
it is worked out here from the detector's description alone, without simulating an event:

- ``CalibrECAL``: photons lose a little into the HCal, and the selection keeps those that lose less than 1 %.
  The mean loss of an exponential distribution cut there has a closed form; the constant makes up for it.
- ``...ToMipCalibration``: the centre of the bin that holds most of the Moyal distribution, instead of its
  most probable value.
- ``CalibrHCALOther``: the same for the two peaks in it, and the means of the direction corrections are exact.
- ``ECalToEMGeVCalibration``: the energy below threshold depends on ``ECalToMipCalibration``; the fitted
  Gaussian of photons everywhere includes those in the crack, and is fitted here to the expected histogram.
- ``...ToHadGeVCalibration...``: the energy below threshold, and showers in the ring with its constant.
"""

from collections.abc import Mapping
from math import erfc, exp, expm1, sqrt

import numpy as np
from attrs import frozen

from caf_pandora import constants as c
from caf_pandora.digitisation import PHOTON_OUTSIDE_ECAL
from caf_pandora.gaussian import fit_histogram
from caf_pandora.histogram import Floats, Histogram
from caf_pandora.outcome import Setup
from caf_pandora.standin.detector import COS_THETA_MAX, Detector
from caf_pandora.standin.reconstruction import BINS


@frozen
class FixedPoint:
    """Where a constant ends.

    Args:
        value: With unlimited statistics.
        nominal: The detector's own constant.
        tolerance: How far from ``value`` a calibration may end: the accuracy of the constant's phase, and not
            less than one bin for what is read from a peak.
    """

    value: float
    nominal: float
    tolerance: float


def fixed_points(detector: Detector, setup: Setup) -> Mapping[str, FixedPoint]:
    """The fixed point of every constant."""
    settings, nominal = setup.settings, detector.nominal()
    digi, pfa = settings.digitisation_accuracy, settings.pandora_pfa_accuracy
    kept = 1 - _mean_leak(detector)
    ecal_scale = 1 / kept
    peaks = {
        c.ECAL_TO_MIP: peak_bin(
            "ECalDirectionCorrectedCaloHitEnergy", detector.ecal_mip * ecal_scale, detector
        ),
        c.HCAL_TO_MIP: peak_bin("HCalDirectionCorrectedCaloHitEnergy", detector.hcal_mip, detector),
        c.MUON_TO_MIP: peak_bin("MuonDirectionCorrectedCaloHitEnergy", detector.muon_mip, detector),
    }
    endcap = peak_bin("HCalDirectionCorrectedSimCaloHitEndCap", detector.visible_endcap_mip, detector)
    other = peak_bin("HCalDirectionCorrectedSimCaloHitOther", detector.visible_other_mip, detector)
    ring = (endcap[0] / other[0]) / (detector.visible_endcap_mip / detector.visible_other_mip)

    values = dict(nominal) | {name: 1 / position for name, (position, _) in peaks.items()}
    values[c.CALIBR_ECAL] *= ecal_scale
    values[c.CALIBR_HCAL_OTHER] *= ring
    ecal_kept = 1 - detector.ecal_threshold * peaks[c.ECAL_TO_MIP][0] / (detector.ecal_mip * ecal_scale)
    hcal_kept = 1 - detector.hcal_threshold * peaks[c.HCAL_TO_MIP][0] / detector.hcal_mip
    values[c.ECAL_TO_EM] = values[c.HCAL_TO_EM] = 1 / (ecal_kept * _crack(detector, setup))
    hadronic = 1 / (detector.ecal_hadron_response * ecal_kept * ecal_scale)
    values[c.ECAL_TO_HAD_BARREL] = values[c.ECAL_TO_HAD_ENDCAP] = hadronic
    in_ring = (detector.hcal_endcap_begin - detector.hcal_barrel_end) / COS_THETA_MAX
    values[c.HCAL_TO_HAD] = 1 / (hcal_kept * (1 + in_ring * (ring - 1)))

    tolerances = dict.fromkeys(c.DIGITISER, digi) | dict.fromkeys(c.PANDORA, pfa)
    tolerances |= {name: max(digi, width / position) for name, (position, width) in peaks.items()}
    tolerances[c.CALIBR_HCAL_OTHER] = max(digi, endcap[1] / endcap[0], other[1] / other[0])
    return {
        name: FixedPoint(values[name], nominal[name], tolerances[name] * values[name]) for name in c.NAMES
    }


def peak_bin(histogram: str, most_probable: float, detector: Detector) -> tuple[float, float]:
    """Centre and width of the bin that holds most of a Moyal distribution."""
    bins, upper = BINS[histogram]
    edges = np.linspace(0, upper, bins + 1)
    below = _moyal_cumulative((edges / most_probable - 1) / detector.straggling)
    best = int(np.argmax(np.diff(below)))
    return float((edges[best] + edges[best + 1]) / 2), float(edges[1])


def _moyal_cumulative(x: Floats) -> Floats:
    return np.array([erfc(exp(min(-one / 2, 300.0)) / sqrt(2)) for one in x.tolist()])


def _mean_leak(detector: Detector) -> float:
    """Mean of an exponential distribution below a cut."""
    return detector.photon_leak - PHOTON_OUTSIDE_ECAL / expm1(PHOTON_OUTSIDE_ECAL / detector.photon_leak)


def _crack(detector: Detector, setup: Setup) -> float:
    """Mean of the Gaussian over the true energy for photons of which some fly into the crack."""
    energy, width = setup.energies["gamma"], setup.settings.pandora_pfa_accuracy * setup.energies["gamma"]
    sigma = sqrt(detector.em_stochastic**2 * energy + (detector.em_constant * energy) ** 2)
    edges = width * np.arange(int(2 * energy / width) + 1, dtype=np.float64)
    inside = (detector.ecal_endcap_begin - detector.ecal_barrel_end) / COS_THETA_MAX
    counts = np.zeros(len(edges) - 1)
    for weight, response in ((1 - inside, 1.0), (inside, detector.crack_response)):
        scaled = (edges / response - energy) / (sqrt(2) * sigma)
        counts += weight * np.diff([0.5 * erfc(-one) for one in scaled.tolist()])
    return fit_histogram(Histogram(edges, 1e6 * counts), "expected photons").mean / energy
