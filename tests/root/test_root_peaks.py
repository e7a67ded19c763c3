"""The peak fit: its shape, its bias, its errors, and that it is the same every time."""

import subprocess
import sys
from itertools import pairwise

import boost_histogram as bh
import numpy as np
import pytest

from caf_core.errors import ConfigurationError
from caf_root import Counts, PeakFitter
from caf_root.lineshape import bin_probabilities, breit_wigner
from caf_root.peaks import Z_MASS, Z_WIDTH
from caf_root.statistics import chi2_of_mean, chi2_of_pulls, chi2_probability, goodness_of_fit

AXIS = bh.axis.Regular(240, 60, 120)


def masses(number, seed, resolution=1.4, mass=Z_MASS):
    """Masses drawn from the shape itself, by another way than the fit's."""
    random = np.random.default_rng(seed)
    grid = np.linspace(40, 150, 200_001)
    density = breit_wigner(grid, mass, Z_WIDTH)
    cumulative = np.concatenate(([0], np.cumsum((density[1:] + density[:-1]) / 2)))
    return np.interp(random.random(number), cumulative / cumulative[-1], grid) + random.normal(
        0, resolution, number
    )


def spectrum(*arguments, **keywords):
    return Counts.of([AXIS], masses(*arguments, **keywords))


@pytest.mark.parametrize("resolution", [0.1, 0.8, 1.5, 3.0, 3.7])
def test_the_convolution_against_brute_force(resolution):
    edges = np.linspace(86, 96, 41)
    steps = np.linspace(-8, 8, 4001)
    weights = np.exp(-steps * steps / 2)
    points = np.concatenate([np.linspace(a, b, 21)[:-1] + (b - a) / 40 for a, b in pairwise(edges)])
    density = (breit_wigner(points[:, np.newaxis] - resolution * steps, 91, Z_WIDTH) * weights).sum(axis=1)
    exact = density.reshape(40, 20).sum(axis=1)
    found = bin_probabilities(edges, 91, Z_WIDTH, resolution)
    assert np.allclose(found, exact / exact.sum(), rtol=1e-4)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize("shift", [-1.5, 0.0, 0.7])
def test_a_large_sample_gives_back_what_was_put_in(shift):
    fit = PeakFitter().fit(spectrum(300_000, 1, mass=Z_MASS + shift))
    assert fit.valid and fit.ndf == 38 and fit.probability > 0.001
    assert abs(fit.position - Z_MASS - shift) < 4 * fit.error < 0.03
    assert abs(fit.resolution - 1.4) < 4 * fit.resolution_error


@pytest.mark.slow
@pytest.mark.parametrize("number", [100, 400, 2000])
def test_errors_describe_the_scatter(number):
    fits = [PeakFitter().fit(spectrum(number, seed)) for seed in range(300)]
    assert all(fit.valid for fit in fits)
    pulls = np.array([(fit.position - Z_MASS) / fit.error for fit in fits])
    assert abs(pulls.mean()) < 4 / np.sqrt(300)
    assert chi2_of_pulls(list(pulls))[2] > 1e-4
    assert 0.8 < pulls.std() < 1.2


def test_a_flat_background():
    signal, flat = masses(50_000, 3), np.random.default_rng(4).uniform(80, 102, 20_000)
    histogram = Counts.of([AXIS], np.concatenate([signal, flat]))
    inside = ((flat > 80) & (flat < 102)).sum() / (((signal > 80) & (signal < 102)).sum() + len(flat))
    fit = PeakFitter(window=(80, 102), background=True).fit(histogram)
    assert fit.valid and abs(fit.position - Z_MASS) < 4 * fit.error
    assert abs(fit.background - inside) < 4 * fit.background_error < 0.05
    assert PeakFitter(window=(80, 102)).fit(histogram).probability < 1e-6


def test_the_fitted_shape_describes_the_data():
    fitter, histogram = PeakFitter(), spectrum(100_000, 5)
    fit = fitter.fit(histogram)
    edges = np.linspace(86, 96, 41)
    counts = histogram.to_hist().values()[104:144]
    expected = fitter.expected(fit, edges)
    assert expected.sum() == pytest.approx(fit.entries) and counts.sum() == fit.entries
    assert ((counts - expected) ** 2 / expected).sum() == pytest.approx(fit.chi2, rel=0.1)


def test_too_little_is_no_error_but_no_fit():
    for number in (0, 2):
        fit = PeakFitter().fit(Counts.of([AXIS], [91.0] * number))
        assert not fit.valid and fit.entries == number and "in the window" in fit.message
        assert np.isnan(fit.position)
    # All events in one bin: whether or not there is a minimum with errors, it must say which.
    fit = PeakFitter().fit(Counts.of([AXIS], [91.0] * 50))
    assert fit.valid == (fit.message == "")


def test_windows_that_do_not_fit():
    for window in ((86.1, 96), (50, 96), (91, 91.5)):
        with pytest.raises(ConfigurationError, match="does not fit the bins from 60 to 120"):
            PeakFitter(window=window).fit(spectrum(10, 1))
    with pytest.raises(ConfigurationError, match="one axis"):
        PeakFitter().fit(Counts.of([AXIS, AXIS], [91.0], [91.0]))


def test_another_process_finds_the_same_bits():
    histogram = spectrum(500, 9)
    code = (
        "import sys, pickle; from caf_root import PeakFitter;"
        "fit = PeakFitter().fit(pickle.load(sys.stdin.buffer)); print(fit.position.hex(), fit.error.hex())"
    )
    import pickle

    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(histogram),
        capture_output=True,
        timeout=60,
        check=True,
    )
    fit = PeakFitter().fit(histogram)
    assert done.stdout.decode().split() == [fit.position.hex(), fit.error.hex()]


@pytest.mark.parametrize(
    ("chi2", "ndf", "probability"),
    [
        # Quantiles as tabulated in any book of statistics.
        (3.841459, 1, 0.05),
        (5.991465, 2, 0.05),
        (9.348404, 3, 0.025),
        (23.209251, 10, 0.01),
        (55.758479, 40, 0.05),
        (124.342113, 100, 0.05),
        (0.0, 5, 1.0),
        (7.0, 0, 1.0),
        (1600.0, 1600, 0.4953),
        (1e6, 3, 0.0),
    ],
)
def test_chi2_probability(chi2, ndf, probability):
    assert chi2_probability(chi2, ndf) == pytest.approx(probability, abs=2e-5 if ndf < 1600 else 1e-3)


def test_chi2_of_mean():
    mean, error, chi2, ndf = chi2_of_mean([1.0, 3.0], [1.0, 1.0])
    assert (mean, ndf) == (2.0, 1) and error == pytest.approx(0.7071, abs=1e-4) and chi2 == pytest.approx(2)


def test_real_data(zmumu_files):
    """What the data are known to give: 90.8 GeV, and runs that agree with one another."""
    from caf_root import RunHistograms, read_chunks, split_runs

    spectra = RunHistograms(AXIS)
    names = ["pt1", "pt2", "eta1", "eta2", "phi1", "phi2"]
    for chunk in read_chunks(zmumu_files, "events", ["experiment", "run", "q1", "q2", *names]):
        for run, pair in split_runs(chunk):
            p = {name: pair[name].astype(float) for name in names}
            angles = np.cosh(p["eta1"] - p["eta2"]) - np.cos(p["phi1"] - p["phi2"])
            mass = np.sqrt(2 * p["pt1"] * p["pt2"] * angles)
            spectra.fill(run, mass[pair["q1"] != pair["q2"]])
    everything = PeakFitter().fit(spectra.of(spectra.runs))
    assert everything.position == pytest.approx(90.795, abs=0.01) and everything.error == pytest.approx(
        0.03, abs=0.002
    )
    fits = [PeakFitter().fit(counts) for _, counts in spectra.items()]
    assert all(fit.valid for fit in fits) and len(fits) == 19
    _, _, chi2, ndf = chi2_of_mean([fit.position for fit in fits], [fit.error for fit in fits])
    assert chi2_probability(chi2, ndf) > 0.05


def test_goodness_of_fit_puts_bins_together():
    narrow = np.full(400, 0.5)
    counts = np.random.default_rng(2).poisson(narrow)
    chi2, bins = goodness_of_fit(counts, narrow)
    assert bins == 20 and chi2_probability(chi2, bins) > 0.001
    assert goodness_of_fit(counts.reshape(20, 20).sum(axis=1), narrow.reshape(20, 20).sum(axis=1)) == (
        pytest.approx(chi2),
        bins,
    )
    assert goodness_of_fit([1, 0], [0.5, 0.5])[1] == 1
    assert goodness_of_fit([15.0], [10.0])[0] == pytest.approx(2 * (15 * np.log(1.5) - 5))
