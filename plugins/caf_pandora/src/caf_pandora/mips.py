"""Phase 2: the scale of minimum ionising particles, and the HCal ring, which no K0L of known energy fills."""

from collections.abc import Mapping

from caf_pandora.constants import (
    CALIBR_HCAL_ENDCAP,
    CALIBR_HCAL_OTHER,
    ECAL_TO_MIP,
    HCAL_TO_MIP,
    MUON_TO_MIP,
    Constants,
    frozen_constants,
)
from caf_pandora.errors import TooFewEventsError
from caf_pandora.histogram import Histogram
from caf_pandora.outcome import Outcome, Setup
from caf_pandora.peaks import FEWEST_ENTRIES, find_peak
from caf_pandora.reading import Results

HIT_ENERGIES = {
    ECAL_TO_MIP: "ECalDirectionCorrectedCaloHitEnergy",
    HCAL_TO_MIP: "HCalDirectionCorrectedCaloHitEnergy",
    MUON_TO_MIP: "MuonDirectionCorrectedCaloHitEnergy",
}
"""Constant -> histogram of digitised hit energies, filled with muons."""
VISIBLE = {
    "endcap": "HCalDirectionCorrectedSimCaloHitEndCap",
    "other": "HCalDirectionCorrectedSimCaloHitOther",
}
"""Region -> histogram of visible energies, filled with muons."""
CORRECTIONS = {
    "endcap": "HCalEndCapDirectionCorrectionSimCaloHit",
    "other": "HCalOtherDirectionCorrectionSimCaloHit",
}
"""Region -> histogram of direction corrections, filled with K0L."""
MUON_HISTOGRAMS = (*HIT_ENERGIES.values(), *VISIBLE.values())
KAON_HISTOGRAMS = tuple(CORRECTIONS.values())


def update_mips(results: Mapping[str, Results], constants: Constants, setup: Setup) -> Outcome:
    """Phase 2, MuonAndHCalOtherDigi: the three ``...ToMipCalibration`` and ``CalibrHCALOther``.

    The ring's constant follows from that of the endcap as phase 1 has left it. The original multiplies by
    (kinetic energy / mean) once more here, with the mean of phase 1's last step, which is in it already.

    Args:
        results: Of ``muon``, and of ``kaon`` from the phase before.
        constants: The constants so far.
        setup: Its thicknesses are used; the phase has no accuracy and no energy.
    Raises:
        TooFewEventsError: If a histogram has fewer than five entries.
        NoPeakError: If a histogram of hit energies has no peak.
    """
    absorber, scintillator = setup.absorber, setup.scintillator
    muons, kaons = results["muon"].histograms, results["kaon"].histograms
    peaks = {name: find_peak(muons[name], name) for name in MUON_HISTOGRAMS}
    corrections = {region: _mean(kaons[name], name) for region, name in CORRECTIONS.items()}
    thickness = (absorber["endcap"] * scintillator["other"]) / (absorber["other"] * scintillator["endcap"])
    ring = (
        constants[CALIBR_HCAL_ENDCAP]
        * (corrections["endcap"] / corrections["other"])
        * (peaks[VISIBLE["endcap"]].position / peaks[VISIBLE["other"]].position)
        * thickness
    )
    scales = {constant: 1 / peaks[name].position for constant, name in HIT_ENERGIES.items()}
    metrics = {f"peak_{name}": peak.position for name, peak in peaks.items()}
    metrics |= {f"entries_{name}": float(peak.entries) for name, peak in peaks.items()}
    metrics |= {f"mean_{CORRECTIONS[region]}": mean for region, mean in corrections.items()}
    return Outcome(
        constants=frozen_constants({**constants, **scales, CALIBR_HCAL_OTHER: ring}),
        metrics=metrics,
        converged=True,
        fits=peaks,
    )


def _mean(histogram: Histogram, name: str) -> float:
    if histogram.entries < FEWEST_ENTRIES:
        raise TooFewEventsError(f"the histogram {name}", histogram.entries, FEWEST_ENTRIES)
    return histogram.mean
