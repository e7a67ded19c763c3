"""The line of hadronic energies: no bias, no false convergence."""

import numpy as np
import pytest

from caf_pandora.errors import PandoraError, TooFewEventsError
from caf_pandora.line import RESOLUTION, WIDTHS, fit_line

T = 49.5


def toy(number, seed, hcal=1.0, ecal=1.0):
    """K0L that share their energy, smeared on each axis, measured on scales that may be wrong."""
    random = np.random.default_rng(seed)
    share = np.where(random.uniform(size=number) < 0.55, random.uniform(0.1, 0.9, number), 0.0)
    h, e = T * (1 - share), T * share
    h, e = (np.maximum(x + RESOLUTION * np.sqrt(x) * random.normal(size=number), 0) for x in (h, e))
    return hcal * h, ecal * e


def with_measured_deviations(h, e):
    """The fit that the formula suggests at first sight: deviations from the measured energies."""
    from iminuit import Minuit

    def chi2(hcal, ecal):
        deviation = (h * ecal + e * hcal - hcal * ecal) ** 2
        return float((deviation / RESOLUTION**2 / (h * ecal**2 + e * hcal**2)).sum())

    minuit = Minuit(chi2, T, T)
    minuit.errordef = 1
    minuit.migrad()
    return tuple(minuit.values)


def test_no_bias_where_deviations_of_measured_energies_have_one():
    h, e = toy(100_000, 1)
    line = fit_line(h, e, T, "K0L")
    assert line.hcal / T == pytest.approx(1, abs=0.001)
    assert line.ecal / T == pytest.approx(1, abs=0.001)
    biased = with_measured_deviations(h, e)
    assert biased[0] / T < 0.9965
    assert biased[1] / T < 0.9965


def test_the_errors_are_statistical():
    lines = [fit_line(*toy(2000, seed), T, "K0L") for seed in range(40)]
    for axis in ("hcal", "ecal"):
        pulls = [(getattr(line, axis) - T) / getattr(line, f"{axis}_error") for line in lines]
        assert abs(np.mean(pulls)) < 0.6
        assert 0.65 < np.std(pulls) < 1.4


@pytest.mark.parametrize(("hcal", "ecal"), [(0.9, 1.1), (1.05, 0.95), (0.8, 0.8), (1.2, 1.2), (0.8, 1.2)])
def test_scales_that_are_off_are_found(hcal, ecal):
    """After one correction the rest is small: cutting around the wrong line costs little."""
    line = fit_line(*toy(20_000, 2, hcal, ecal), T, "K0L")
    assert line.hcal / T == pytest.approx(hcal, rel=0.06)
    assert line.ecal / T == pytest.approx(ecal, rel=0.06)


def test_the_cut_is_narrow_near_the_truth_and_wide_far_from_it():
    assert fit_line(*toy(3000, 3), T, "K0L").width == WIDTHS[0]
    far = fit_line(*toy(3000, 3, 0.6, 0.6), T, "K0L")
    assert far.width == WIDTHS[1]
    assert not far.narrow
    assert far.hcal / T == pytest.approx(0.6, rel=0.05)
    absurd = fit_line(*toy(3000, 3, 10.0, 10.0), T, "K0L")
    assert not absurd.narrow
    assert absurd.hcal / T == pytest.approx(10, rel=0.1)


def test_at_six_tenths_of_the_truth_the_narrow_cut_is_empty():
    """Why it has to be widened: what is left of 3000 events would be a handful, or none."""
    h, e = toy(3000, 4, 0.6, 0.6)
    spread = RESOLUTION / np.sqrt(T)
    assert np.mean(np.abs(1 - (h + e) / T) < 3 * spread) < 0.01


def test_the_order_of_events_hardly_matters_and_the_same_order_not_at_all():
    h, e = toy(2000, 5)
    one, same, other = (
        fit_line(h[s], e[s], T, "K0L") for s in (slice(None), slice(None), slice(None, None, -1))
    )
    assert (one.hcal, one.ecal) == (same.hcal, same.ecal)
    assert other.hcal == pytest.approx(one.hcal, rel=1e-6)


@pytest.mark.parametrize("number", [0, 1, 4, 49])
def test_too_few_events_are_an_error(number):
    with pytest.raises(TooFewEventsError, match=f"K0L has {number} entries and needs at least 50"):
        fit_line(*toy(number, 6), T, "K0L")


def test_without_sharing_the_ecal_cannot_be_calibrated():
    h, _ = toy(1000, 7)
    with pytest.raises(TooFewEventsError, match="energy in the ECal has 0"):
        fit_line(np.full(1000, T) + 0 * h, np.zeros(1000), T, "K0L")


def test_no_energy_at_all_is_an_error():
    with pytest.raises(PandoraError):
        fit_line(np.zeros(1000), np.zeros(1000), T, "K0L")
