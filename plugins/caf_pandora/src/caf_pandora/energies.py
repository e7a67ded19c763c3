"""Phases 3 and 4: Pandora's energy scales for electromagnetic and hadronic showers."""

from collections.abc import Mapping
from math import ceil, isfinite

from caf_pandora.constants import (
    ECAL_TO_EM,
    ECAL_TO_HAD_BARREL,
    ECAL_TO_HAD_ENDCAP,
    HCAL_TO_EM,
    HCAL_TO_HAD,
    Constants,
    frozen_constants,
)
from caf_pandora.digitisation import HADRON_TARGETS, PHOTON_TARGETS, TARGETS, fit_metrics
from caf_pandora.gaussian import fit_values
from caf_pandora.line import fit_line
from caf_pandora.outcome import Outcome, Setup
from caf_pandora.reading import Bools, Results

PFOS, PHOTONS, HADRONS = "nPfosTotal", "nPfosPhotons", "nPfosNeutralHadrons"
ECAL_EM, HCAL_EM = "pfoECalToEmEnergy", "pfoHCalToEmEnergy"
ECAL_HAD, HCAL_HAD = "pfoECalToHadEnergy", "pfoHCalToHadEnergy"
LAYER_TO_EDGE = "pfoMinHCalLayerToEdge"

EM_BRANCHES = (TARGETS, PHOTON_TARGETS, PFOS, PHOTONS, ECAL_EM, HCAL_EM)
HAD_BRANCHES = (TARGETS, HADRON_TARGETS, PFOS, HADRONS, ECAL_HAD, HCAL_HAD, LAYER_TO_EDGE)

PHOTON_IN_HCAL = 0.01
OUTER_LAYERS = 0.1
"""A shower that comes nearer to the edge than this fraction of the HCal's layers may have leaked."""


def select_photons(results: Results, energy: float) -> Bools:
    """Phase 3: one true photon, found as one photon, with next to nothing in the HCal."""
    selected: Bools = (
        (results[TARGETS] == 1)
        & (results[PHOTON_TARGETS] == 1)
        & (results[PFOS] == 1)
        & (results[PHOTONS] == 1)
        & (results[HCAL_EM] < PHOTON_IN_HCAL * energy)
    )
    return selected


def select_kaons(results: Results, layers: int) -> Bools:
    """Phase 4, before the cut around the line: one true neutral hadron, found as one, far from the edge."""
    selected: Bools = (
        (results[TARGETS] == 1)
        & (results[HADRON_TARGETS] == 1)
        & (results[PFOS] == 1)
        & (results[HADRONS] == 1)
        & (results[LAYER_TO_EDGE] > ceil(OUTER_LAYERS * layers - 1e-9))
    )
    return selected


def update_em(results: Mapping[str, Results], constants: Constants, setup: Setup) -> Outcome:
    """Phase 3, ElectroMagEnergy: ``ECalToEMGeVCalibration``, and ``HCalToEMGeVCalibration`` the same.

    Raises:
        TooFewEventsError: If fewer than five events are left.
    """
    photons, energy, accuracy = results["gamma"], setup.energies["gamma"], setup.settings.pandora_pfa_accuracy
    chosen = select_photons(photons, energy)
    fit = fit_values(photons[ECAL_EM][chosen], accuracy * energy, "photons found as one photon")
    new = constants[ECAL_TO_EM] * energy / fit.mean
    error = abs(fit.mean - energy) / energy
    return Outcome(
        constants=frozen_constants({**constants, ECAL_TO_EM: new, HCAL_TO_EM: new}),
        metrics=fit_metrics({"photon": fit}),
        error=error,
        converged=error < accuracy and fit.precise(accuracy * energy),
        fits={"photon": fit},
    )


def update_had(results: Mapping[str, Results], constants: Constants, setup: Setup) -> Outcome:
    """Phase 4, HadronicEnergy: ``ECalToHadGeVCalibration...`` and ``HCalToHadGeVCalibration``.

    The line knows one ECal, so barrel and endcap get one value: the barrel's times kinetic energy over
    intercept, as in iLCDirac. If they were different before, the intercept belongs to neither of them, and
    one more step is needed.

    Raises:
        TooFewEventsError: If too few events are left; see ``fit_line``.
        PandoraError: If the line cannot be fitted.
    """
    kaons, kinetic, settings = results["kaon"], setup.kinetic, setup.settings
    chosen = select_kaons(kaons, settings.n_hcal_layers)
    line = fit_line(kaons[HCAL_HAD][chosen], kaons[ECAL_HAD][chosen], kinetic, "K0L found as one hadron")
    ecal = constants[ECAL_TO_HAD_BARREL] * kinetic / line.ecal
    hcal = constants[HCAL_TO_HAD] * kinetic / line.hcal
    new = {ECAL_TO_HAD_BARREL: ecal, ECAL_TO_HAD_ENDCAP: ecal, HCAL_TO_HAD: hcal}
    alike = constants[ECAL_TO_HAD_BARREL] == constants[ECAL_TO_HAD_ENDCAP]
    error = max(abs(line.ecal - kinetic), abs(line.hcal - kinetic)) / kinetic
    accuracy = settings.pandora_pfa_accuracy
    trusted = line.narrow and alike and max(line.ecal_error, line.hcal_error) < accuracy * kinetic
    return Outcome(
        constants=frozen_constants({**constants, **new}),
        metrics={
            "events": float(line.used),
            "candidates": float(line.candidates),
            "cut": line.width if isfinite(line.width) else 0.0,  # 0 is none; metrics go into JSON
            "ecal_intercept": line.ecal,
            "ecal_intercept_error": line.ecal_error,
            "hcal_intercept": line.hcal,
            "hcal_intercept_error": line.hcal_error,
        },
        error=error,
        converged=error < accuracy and trusted,
        fits={"line": line},
    )
