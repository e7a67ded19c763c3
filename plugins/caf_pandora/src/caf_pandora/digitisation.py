"""Phases 0 and 1: the digitiser's constants, with which contained showers add up to the true energy."""

from collections.abc import Mapping

import numpy as np

from caf_pandora.constants import (
    CALIBR_ECAL,
    CALIBR_HCAL_BARREL,
    CALIBR_HCAL_ENDCAP,
    ECAL_ENDCAP_FACTOR,
    Constants,
    frozen_constants,
)
from caf_pandora.gaussian import GaussianFit, fit_values
from caf_pandora.histogram import Floats
from caf_pandora.outcome import Outcome, Setup
from caf_pandora.reading import COS_THETA, Bools, Results
from caf_pandora.settings import Range

TOTAL, ECAL, HCAL = "TotalCaloHitEnergy", "ECalTotalCaloHitEnergy", "HCalTotalCaloHitEnergy"
EDGE = "hCalCaloHitEnergyFromEdge"
TARGETS, PHOTON_TARGETS, HADRON_TARGETS = (
    "nPfoTargetsTotal",
    "nPfoTargetsPhotons",
    "nPfoTargetsNeutralHadrons",
)

ECAL_BRANCHES = (TARGETS, PHOTON_TARGETS, TOTAL, ECAL, COS_THETA)
HCAL_BRANCHES = (TARGETS, HADRON_TARGETS, TOTAL, HCAL, EDGE, COS_THETA)

PHOTON_OUTSIDE_ECAL = 0.01
"""Photons with more than this fraction of their energy outside the ECal are left out."""
PHOTON_COS_THETA = 0.95
KAON_OUTSIDE_HCAL = 0.05
KAON_AT_EDGE = 0.05
"""K0L with more than this fraction of the measured energy in the outermost layers may have leaked."""


def within(results: Results, limits: Range) -> Bools:
    """Which events have |cos theta| inside a range, its ends included."""
    inside: Bools = (results.abs_cos_theta >= limits[0]) & (results.abs_cos_theta <= limits[1])
    return inside


def select_photons(results: Results, energy: float) -> Bools:
    """Phase 0: one true particle, a photon, that stays in the ECal."""
    outside = results[TOTAL] - results[ECAL]
    selected: Bools = (
        (results[TARGETS] == 1)
        & (results[PHOTON_TARGETS] == 1)
        & (outside < PHOTON_OUTSIDE_ECAL * energy)
        & (results.abs_cos_theta < PHOTON_COS_THETA)
    )
    return selected


def select_kaons(results: Results, energy: float) -> Bools:
    """Phase 1: one true particle, a neutral hadron, that begins to shower in the HCal and ends in it."""
    selected: Bools = (
        (results[TARGETS] == 1)
        & (results[HADRON_TARGETS] == 1)
        & (results[EDGE] < KAON_AT_EDGE * results[TOTAL])
        & (results[TOTAL] - results[HCAL] < KAON_OUTSIDE_HCAL * energy)
    )
    return selected


def update_ecal(results: Mapping[str, Results], constants: Constants, setup: Setup) -> Outcome:
    """Phase 0, ECalDigi: ``CalibrECAL`` and ``ECALEndcapCorrectionFactor`` from photons.

    Raises:
        TooFewEventsError: If a region is left with fewer than five events.
    """
    photons, energy, settings = results["gamma"], setup.energies["gamma"], setup.settings
    regions = {"barrel": settings.ecal_barrel_range, "endcap": settings.ecal_endcap_range}
    width = settings.digitisation_accuracy * energy
    chosen = select_photons(photons, energy)
    fits = _fits(photons, photons[ECAL], chosen, regions, width, "photons in the ECal {}")
    barrel = constants[CALIBR_ECAL] * energy / fits["barrel"].mean
    endcap = constants[CALIBR_ECAL] * constants[ECAL_ENDCAP_FACTOR] * energy / fits["endcap"].mean
    new = {CALIBR_ECAL: barrel, ECAL_ENDCAP_FACTOR: endcap / barrel}
    return _outcome(constants, new, fits, energy, settings.digitisation_accuracy)


def update_hcal(results: Mapping[str, Results], constants: Constants, setup: Setup) -> Outcome:
    """Phase 1, HCalDigi: ``CalibrHCALBarrel`` and ``CalibrHCALEndcap`` from K0L.

    Raises:
        TooFewEventsError: If a region is left with fewer than five events.
    """
    kaons, energy, settings = results["kaon"], setup.energies["kaon"], setup.settings
    regions = {"barrel": settings.hcal_barrel_range, "endcap": settings.hcal_endcap_range}
    width = settings.digitisation_accuracy * energy
    chosen = select_kaons(kaons, energy)
    fits = _fits(kaons, kaons[HCAL], chosen, regions, width, "K0L in the HCal {}")
    new = {
        CALIBR_HCAL_BARREL: constants[CALIBR_HCAL_BARREL] * setup.kinetic / fits["barrel"].mean,
        CALIBR_HCAL_ENDCAP: constants[CALIBR_HCAL_ENDCAP] * setup.kinetic / fits["endcap"].mean,
    }
    return _outcome(constants, new, fits, setup.kinetic, settings.digitisation_accuracy)


def _fits(
    results: Results, energies: Floats, chosen: Bools, regions: Mapping[str, Range], width: float, what: str
) -> dict[str, GaussianFit]:
    return {
        region: fit_values(energies[chosen & within(results, limits)], width, what.format(region))
        for region, limits in regions.items()
    }


def _outcome(
    old: Constants, new: Constants, fits: Mapping[str, GaussianFit], energy: float, accuracy: float
) -> Outcome:
    """The outcome of fits whose means should all be the same energy."""
    error = float(np.max([abs(fit.mean - energy) / energy for fit in fits.values()]))
    return Outcome(
        constants=frozen_constants({**old, **new}),
        metrics=fit_metrics(fits),
        error=error,
        converged=error < accuracy and all(fit.precise(accuracy * energy) for fit in fits.values()),
        fits=fits,
    )


def fit_metrics(fits: Mapping[str, GaussianFit]) -> dict[str, float]:
    """Numbers about fits."""
    metrics = {}
    for name, fit in fits.items():
        metrics[f"{name}_events"] = float(fit.entries)
        metrics[f"{name}_mean"] = fit.mean
        metrics[f"{name}_mean_error"] = fit.mean_error
        metrics[f"{name}_sigma"] = fit.sigma
        metrics[f"{name}_valid"] = float(fit.valid)
    return metrics
