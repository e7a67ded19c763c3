"""The phases: selections and formulas, checked by hand-written events and small simulations."""

import numpy as np
import pytest
from attrs import evolve

from caf_pandora import constants as c
from caf_pandora import digitisation, energies, mips
from caf_pandora.errors import TooFewEventsError
from caf_pandora.histogram import Histogram
from caf_pandora.phases import PHASES
from caf_pandora.reading import COS_THETA, Results
from caf_pandora.training import NEW_LIKELIHOOD, update_training

PHOTON = {
    "nPfoTargetsTotal": 1,
    "nPfoTargetsPhotons": 1,
    "TotalCaloHitEnergy": 10.05,
    "ECalTotalCaloHitEnergy": 10.0,
    COS_THETA: 0.1,
}
KAON = {
    "nPfoTargetsTotal": 1,
    "nPfoTargetsNeutralHadrons": 1,
    "TotalCaloHitEnergy": 50.0,
    "HCalTotalCaloHitEnergy": 49.0,
    "hCalCaloHitEnergyFromEdge": 1.0,
    COS_THETA: 0.3,
}
FOUND_PHOTON = {
    "nPfoTargetsTotal": 1,
    "nPfoTargetsPhotons": 1,
    "nPfosTotal": 1,
    "nPfosPhotons": 1,
    "pfoECalToEmEnergy": 10.0,
    "pfoHCalToEmEnergy": 0.05,
}
FOUND_KAON = {
    "nPfoTargetsTotal": 1,
    "nPfoTargetsNeutralHadrons": 1,
    "nPfosTotal": 1,
    "nPfosNeutralHadrons": 1,
    "pfoECalToHadEnergy": 10.0,
    "pfoHCalToHadEnergy": 39.5,
    "pfoMinHCalLayerToEdge": 7,
}


def events(good, *changes):
    """One good event, and one for each change of it."""
    rows = [good, *({**good, **change} for change in changes)]
    return Results({name: np.array([float(row[name]) for row in rows]) for name in good})


def test_photons_of_phase_0():
    results = events(
        PHOTON,
        {"nPfoTargetsTotal": 2},
        {"nPfoTargetsPhotons": 0},
        {"TotalCaloHitEnergy": 10.2},
        {COS_THETA: -0.96},
        {COS_THETA: float("nan")},
    )
    assert digitisation.select_photons(results, 10.0).tolist() == [True] + [False] * 5


def test_kaons_of_phase_1():
    results = events(
        KAON,
        {"nPfoTargetsTotal": 2},
        {"nPfoTargetsNeutralHadrons": 0},
        {"hCalCaloHitEnergyFromEdge": 2.6},
        {"HCalTotalCaloHitEnergy": 47.4},
        {"TotalCaloHitEnergy": 0.0, "HCalTotalCaloHitEnergy": 0.0, "hCalCaloHitEnergyFromEdge": 0.0},
    )
    assert digitisation.select_kaons(results, 50.0).tolist() == [True] + [False] * 5


def test_photons_of_phase_3():
    results = events(
        FOUND_PHOTON,
        {"nPfoTargetsTotal": 2},
        {"nPfosTotal": 2},
        {"nPfosPhotons": 0},
        {"pfoHCalToEmEnergy": 0.11},
    )
    assert energies.select_photons(results, 10.0).tolist() == [True] + [False] * 4


def test_kaons_of_phase_4():
    results = events(
        FOUND_KAON,
        {"nPfoTargetsTotal": 2},
        {"nPfosTotal": 2},
        {"nPfosNeutralHadrons": 0},
        {"pfoMinHCalLayerToEdge": 6},
    )
    assert energies.select_kaons(results, 60).tolist() == [True] + [False] * 4
    assert energies.select_kaons(results, 61).tolist() == [False] * 5  # ceil(6.1) is 7


@pytest.mark.parametrize("sign", [-1, 1])
def test_ranges_hold_their_ends_in_both_directions(sign):
    results = Results({COS_THETA: sign * np.array([0.79, 0.8, 0.85, 0.92, 0.93])})
    assert digitisation.within(results, (0.8, 0.92)).tolist() == [False, True, True, True, False]


def many(good, name, barrel, endcap, cos_barrel, cos_endcap, width=0.4):
    """Events of barrel and endcap around two energies."""
    scatter = width * np.random.default_rng(1).normal(size=500)
    rows = 2 * len(scatter)
    columns = {key: np.full(rows, float(value)) for key, value in good.items()}
    columns[name] = np.concatenate([barrel + scatter, endcap + scatter])
    columns["TotalCaloHitEnergy"] = columns[name]
    columns[COS_THETA] = np.repeat([cos_barrel, cos_endcap], len(scatter))
    return Results(columns)


def test_formulas_of_phase_0(nominal, setup):
    results = many(PHOTON, "ECalTotalCaloHitEnergy", 8.0, 12.5, 0.3, -0.85)
    outcome = digitisation.update_ecal({"gamma": results}, nominal, setup)
    barrel, endcap = (outcome.metrics[f"{region}_mean"] for region in ("barrel", "endcap"))
    assert (barrel, endcap) == (pytest.approx(8.0, abs=0.06), pytest.approx(12.5, abs=0.06))
    new = outcome.constants
    assert new[c.CALIBR_ECAL] == pytest.approx(37.5 * 10 / barrel)
    assert new[c.CALIBR_ECAL] * new[c.ECAL_ENDCAP_FACTOR] == pytest.approx(37.5 * 1.03 * 10 / endcap)
    assert outcome.error == pytest.approx(max(abs(barrel - 10), abs(endcap - 10)) / 10)
    assert not outcome.converged
    changed = [name for name in c.NAMES if new[name] != nominal[name]]
    assert changed == [c.CALIBR_ECAL, c.ECAL_ENDCAP_FACTOR]


def test_formulas_of_phase_1_use_the_kinetic_energy(nominal, setup):
    results = many(KAON, "HCalTotalCaloHitEnergy", 50.0, 45.0, 0.3, 0.85, width=3.0)
    outcome = digitisation.update_hcal({"kaon": results}, nominal, setup)
    kinetic = 50 - 0.497672
    new = outcome.constants
    assert new[c.CALIBR_HCAL_BARREL] == pytest.approx(49.2 * kinetic / outcome.metrics["barrel_mean"])
    assert new[c.CALIBR_HCAL_ENDCAP] == pytest.approx(53.6 * kinetic / outcome.metrics["endcap_mean"])
    assert outcome.error == pytest.approx(abs(outcome.metrics["endcap_mean"] - kinetic) / kinetic)


def test_one_region_without_events_is_an_error(nominal, setup):
    results = many(PHOTON, "ECalTotalCaloHitEnergy", 10.0, 10.0, 0.3, 0.7)
    with pytest.raises(TooFewEventsError, match="photons in the ECal endcap has 0 entries"):
        digitisation.update_ecal({"gamma": results}, nominal, setup)


def peaked(name, place):
    """A histogram with its peak in a bin."""
    from caf_pandora.standin.reconstruction import BINS

    bins, upper = BINS[name]
    counts = np.maximum(0, 9 - abs(np.arange(bins) - place)).astype(float)
    return Histogram(np.linspace(0, upper, bins + 1), counts)


@pytest.fixture
def mip_results():
    places = (30, 100, 25, 75, 16)
    muons = {name: peaked(name, place) for name, place in zip(mips.MUON_HISTOGRAMS, places, strict=True)}
    directions = (180, 140)
    kaons = {name: peaked(name, place) for name, place in zip(mips.KAON_HISTOGRAMS, directions, strict=True)}
    return {"muon": Results({}, muons), "kaon": Results({}, kaons)}


def test_formulas_of_phase_2(nominal, setup, mip_results):
    new = mips.update_mips(mip_results, nominal, setup).constants
    assert new[c.ECAL_TO_MIP] == pytest.approx(1 / (30.5 * 0.1 / 500))
    assert new[c.HCAL_TO_MIP] == pytest.approx(1 / (100.5 * 0.1 / 500))
    assert new[c.MUON_TO_MIP] == pytest.approx(1 / (25.5 * 1.0 / 500))
    directions = (180.5 / 200) / (140.5 / 200)
    peaks = (75.5 * 0.001 / 200) / (16.5 * 0.005 / 200)
    assert new[c.CALIBR_HCAL_OTHER] == pytest.approx(nominal[c.CALIBR_HCAL_ENDCAP] * directions * peaks)


def test_phase_2_takes_the_endcap_as_phase_1_left_it_and_corrects_it_once(nominal, setup, mip_results):
    """The same results with another endcap constant: the ring follows in proportion, and by nothing else."""
    once = mips.update_mips(mip_results, nominal, setup).constants
    moved = c.frozen_constants({**nominal, c.CALIBR_HCAL_ENDCAP: 1.1 * nominal[c.CALIBR_HCAL_ENDCAP]})
    assert mips.update_mips(mip_results, moved, setup).constants[c.CALIBR_HCAL_OTHER] == pytest.approx(
        1.1 * once[c.CALIBR_HCAL_OTHER]
    )
    assert mips.update_mips(mip_results, once, setup).constants == once


def test_thicknesses(nominal, setup, mip_results):
    plain = mips.update_mips(mip_results, nominal, setup).constants[c.CALIBR_HCAL_OTHER]
    thick = evolve(
        setup,
        absorber={"endcap": 20.0, "other": 40.0},
        scintillator={"endcap": 3.0, "other": 5.0},
    )
    other = mips.update_mips(mip_results, nominal, thick).constants[c.CALIBR_HCAL_OTHER]
    assert other / plain == pytest.approx((20 * 5) / (40 * 3))


def test_phase_2_without_directions_is_an_error(nominal, setup, mip_results):
    empty = peaked(mips.KAON_HISTOGRAMS[1], 10**6)
    kaons = {**mip_results["kaon"].histograms, mips.KAON_HISTOGRAMS[1]: empty}
    with pytest.raises(TooFewEventsError, match="HCalOtherDirectionCorrection"):
        mips.update_mips({**mip_results, "kaon": Results({}, kaons)}, nominal, setup)


def test_formulas_of_phase_3(nominal, setup):
    columns = {name: np.full(500, float(value)) for name, value in FOUND_PHOTON.items()}
    columns["pfoECalToEmEnergy"] = 9.0 + 0.3 * np.random.default_rng(2).normal(size=500)
    outcome = energies.update_em({"gamma": Results(columns)}, nominal, setup)
    expected = nominal[c.ECAL_TO_EM] * 10 / outcome.metrics["photon_mean"]
    assert outcome.constants[c.ECAL_TO_EM] == outcome.constants[c.HCAL_TO_EM] == pytest.approx(expected)
    assert outcome.error == pytest.approx(0.1, abs=0.005)
    assert not outcome.converged


def hadrons(simulate, nominal, factor, endcap=1.0):
    off = {name: factor * nominal[name] for name in (c.ECAL_TO_HAD_BARREL, c.HCAL_TO_HAD)}
    off[c.ECAL_TO_HAD_ENDCAP] = endcap * factor * nominal[c.ECAL_TO_HAD_ENDCAP]
    constants = c.frozen_constants({**nominal, **off})
    return constants, {"kaon": simulate("kaon", 3000, constants)}


def test_formulas_of_phase_4(simulate, nominal, setup):
    constants, results = hadrons(simulate, nominal, 0.9)
    outcome = energies.update_had(results, constants, setup)
    ratio = {name: outcome.constants[name] / constants[name] for name in c.NAMES}
    kinetic = setup.kinetic
    assert ratio[c.HCAL_TO_HAD] == pytest.approx(kinetic / outcome.metrics["hcal_intercept"])
    assert ratio[c.ECAL_TO_HAD_BARREL] == pytest.approx(kinetic / outcome.metrics["ecal_intercept"])
    assert outcome.constants[c.ECAL_TO_HAD_BARREL] == outcome.constants[c.ECAL_TO_HAD_ENDCAP]
    assert not outcome.converged


def test_phase_4_never_converges_with_a_wide_cut_or_an_ecal_of_two_scales(simulate, nominal, setup):
    constants, results = hadrons(simulate, nominal, 1.0)
    assert energies.update_had(results, constants, setup).converged
    everything = evolve(setup, settings=evolve(setup.settings, pandora_pfa_accuracy=1.0))
    constants, results = hadrons(simulate, nominal, 0.6)
    wide = energies.update_had(results, constants, everything)
    assert wide.error < 1
    assert wide.metrics["cut"] > 3
    assert not wide.converged
    constants, results = hadrons(simulate, nominal, 1.0, endcap=1.01)
    two_scales = energies.update_had(results, constants, setup)
    assert not two_scales.converged
    assert two_scales.constants[c.ECAL_TO_HAD_BARREL] == two_scales.constants[c.ECAL_TO_HAD_ENDCAP]


@pytest.mark.parametrize("phase", PHASES[:2] + PHASES[3:5], ids=lambda phase: phase.name)
def test_a_phase_without_events_is_an_error_never_convergence(phase, nominal, setup):
    for number in (0, 3):
        empty = Results({name: np.zeros(number) for name in phase.wanted[phase.sample][0]})
        with pytest.raises(TooFewEventsError):
            phase.update({phase.sample: empty}, nominal, setup)


@pytest.mark.parametrize("phase", PHASES[:2] + PHASES[3:5], ids=lambda phase: phase.name)
def test_a_mean_that_is_not_known_to_the_accuracy_is_no_convergence(phase, simulate, nominal, setup):
    """The right constants, enough events for a fit, and an accuracy that they cannot reach."""
    tight = evolve(
        setup, settings=evolve(setup.settings, digitisation_accuracy=0.002, pandora_pfa_accuracy=0.002)
    )
    for first in range(0, 10**6, 10**5):
        some = simulate(phase.sample, 300, nominal, first=first)
        assert not phase.update({phase.sample: some}, nominal, tight).converged


@pytest.mark.parametrize("phase", PHASES[:2] + PHASES[3:5], ids=lambda phase: phase.name)
def test_every_phase_tells_wrong_constants_from_right_ones(phase, simulate, nominal, setup):
    """With the right constants an error far below the accuracy, with wrong ones what they are wrong by."""
    right = phase.update({phase.sample: simulate(phase.sample, 4000, nominal)}, nominal, setup)
    assert right.converged
    assert right.error < 0.015
    off = c.frozen_constants(
        {name: value * (0.85 if name in right.constants else 1) for name, value in nominal.items()}
    )
    wrong = phase.update({phase.sample: simulate(phase.sample, 4000, off)}, off, setup)
    assert not wrong.converged
    assert wrong.error > 0.1


def test_training_needs_events(nominal, setup):
    from caf_pandora.standin.photon_id import fill, train
    from caf_pandora.standin.truth import particles

    made = train(particles("zuds", 0, 50), 1.0)
    outcome = update_training({"zuds": Results(likelihoods=(made, made))}, nominal, setup)
    assert outcome.metrics["signal_events"] + outcome.metrics["background_events"] == 2 * 50 * 12
    assert set(outcome.files) == {NEW_LIKELIHOOD}
    nothing = fill(np.zeros(0), np.zeros(0, dtype=bool), {"PeakRms": np.zeros(0)})
    with pytest.raises(TooFewEventsError, match="photon training"):
        update_training({"zuds": Results(likelihoods=(nothing,))}, nominal, setup)
