"""The peak fit: its shape, its bias, its errors, and that it is the same every time."""

import re
import subprocess
import sys
from itertools import pairwise

import boost_histogram as bh
import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from caf_core.errors import ConfigurationError
from caf_root import Counts, PeakFitter
from caf_root.lineshape import BinnedPeak, breit_wigner, faddeeva, smeared
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


def convolved(m, mass, width, resolution):
    """The convolution by quadrature in the angle in which a Lorentz peak is flat, at one mass."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, 100_001)[1:-1]
    x = mass + width / 2 * np.tan(angles)
    smearing = np.exp(-np.square((m - x) / resolution) / 2) / resolution / np.sqrt(2 * np.pi)
    return (breit_wigner(x, mass, width) * smearing * width / 2 / np.square(np.cos(angles))).sum() * (
        angles[1] - angles[0]
    )


@pytest.mark.parametrize("ratio", [0.01, 0.6, 1.5, 40.0])
@pytest.mark.parametrize(("mass", "width"), [(91.2, 2.5), (3.0969, 92.6e-6), (1.3, 0.4)])
def test_the_convolution_is_exact_for_any_ratio_of_resolution_and_width(mass, width, ratio):
    resolution = min(ratio * width, 0.2 * mass)
    points = mass + np.array([-3.0, -0.7, 0.0, 0.1, 2.0]) * (width + resolution)
    exact = [convolved(m, mass, width, resolution) for m in points]
    assert np.allclose(smeared(points, mass, width, resolution), exact, rtol=1e-7, atol=0)
    assert np.allclose(smeared(points, mass, width, 0), breit_wigner(points, mass, width))


@given(st.floats(-60, 60), st.floats(0, 60))
def test_the_faddeeva_function(x, y):
    """Against w(z) = i/pi times the integral of exp(-t^2) / (z - t), taken well above the real axis."""
    z = complex(x, y + 1)
    t = np.linspace(-8, 8, 1001)
    exact = 1j / np.pi * (np.exp(-t * t) / (z - t)).sum() * (t[1] - t[0])
    assert abs(faddeeva(np.array([z]))[0] / exact - 1) < 1e-8
    # On the axis its real part is a Gaussian.
    assert faddeeva(np.array([complex(x)]))[0].real == pytest.approx(np.exp(-x * x), abs=1e-9)


@pytest.mark.parametrize(
    ("edges", "mass", "width", "resolution"),
    [(np.linspace(86, 96, 11), 91, 2.5, 0.1), (np.linspace(2.9, 3.3, 41), 3.1, 92.6e-6, 0.001)],
)
def test_bins_are_integrals_of_the_shape(edges, mass, width, resolution):
    fine = np.array([np.linspace(a, b, 2001)[:-1] + (b - a) / 4000 for a, b in pairwise(edges)])
    exact = smeared(fine, mass, width, resolution).sum(axis=1)
    found = BinnedPeak(edges, width, resolution)(mass, resolution)
    assert np.allclose(found, exact / exact.sum(), rtol=3e-4) and found.sum() == pytest.approx(1)


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
    # By chance some have no peak that is seen, or a resolution at its lowest; these are told, and few.
    assert all(fit.valid or (fit.few and fit.message) for fit in fits)
    fits = [fit for fit in fits if fit.valid]
    assert len(fits) > (280 if number < 200 else 297)
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


def draw(number, kind, seed=1):
    """Spectra without a proper Z peak."""
    random = np.random.default_rng(seed)
    half = number // 2
    return {
        "one bin": lambda: np.full(number, 91.0),
        "last bin": lambda: np.full(number, 95.9),
        "flat": lambda: random.uniform(60, 120, number),
        "step": lambda: random.uniform(91, 96, number),
        "rising": lambda: 60 + 60 * np.sqrt(random.random(number)),
        "exponential": lambda: 60 + random.exponential(15, number),
        "two peaks": lambda: np.concatenate([random.normal(87, 0.3, half), random.normal(95, 0.3, half)]),
        "cut at 89": lambda: (z := masses(2 * number, seed))[z > 89][:number],
        "peak at 97": lambda: random.normal(97, 1.5, number),
        "peak at 85": lambda: masses(number, seed, mass=85.0),
        "scale 10 % off": lambda: 0.9 * masses(number, seed),
        "all outside": lambda: np.full(number, 70.0),
    }[kind]()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("one bin", "at its lowest"),
        ("last bin", "outside of the window"),
        ("flat", "no peak is seen"),
        ("step", "does not describe"),
        ("rising", "no peak is seen|window|highest"),
        ("exponential", "no peak is seen|window|highest"),
        ("two peaks", "does not describe"),
        ("cut at 89", "does not describe"),
        ("peak at 97", "window|lowest"),
        ("peak at 85", "window"),
        ("scale 10 % off", "window"),
        ("all outside", "0 entries in the window"),
    ],
)
@pytest.mark.parametrize("background", [False, True])
def test_what_is_no_peak_is_not_fitted_in_silence(kind, words, background):
    fit = PeakFitter(background=background).fit(Counts.of([AXIS], draw(5000, kind)))
    assert not fit.valid and re.search(words, fit.message), fit
    assert not fit.few or fit.entries < 200


@settings(max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=40, max_size=40), st.booleans())
def test_few_entries_are_fitted_or_told(counts, background):
    values = np.zeros(242, dtype=np.int64)
    values[105:145] = counts
    fit = PeakFitter(background=background).fit(Counts((AXIS,), values))
    assert fit.entries == sum(counts)
    if fit.valid:
        assert 86 + fit.error < fit.position < 96 - fit.error and 0.05 < fit.resolution < 3.7
    else:
        assert fit.message


def test_what_the_shape_does_not_quite_describe_is_told():
    below = 91 - np.random.default_rng(3).exponential(4, 5000)  # a tail of radiation
    fit = PeakFitter(window=(76, 102)).fit(Counts.of([AXIS], np.concatenate([masses(15_000, 4), below])))
    assert fit.valid and 0.05 < fit.departure < 0.3 and "departs from the shape by" in fit.message
    assert PeakFitter().fit(spectrum(6000, 5)).message == ""


def test_a_background_that_is_not_there_is_told():
    fit = PeakFitter(window=(80, 102), background=True).fit(spectrum(3000, 8))
    without = PeakFitter(window=(80, 102)).fit(spectrum(3000, 8))
    assert fit.valid and without.valid
    if "fraction of background is 0" in fit.message:
        assert (fit.position, fit.background) == (without.position, 0)
    else:
        assert 0 < fit.background < 1


def test_a_narrow_resonance_far_below_the_resolution():
    random = np.random.default_rng(2)
    fitter = PeakFitter(mass=3.0969, width=92.6e-6, window=(2.8, 3.4), resolution=(0.001, 0.3))
    narrow = bh.axis.Regular(100, 2.6, 3.6)
    fit = fitter.fit(Counts.of([narrow], random.normal(3.09, 0.04, 5000)))
    assert fit.valid and fit.probability > 1e-3
    assert abs(fit.position - 3.09) < 4 * fit.error < 0.004
    assert abs(fit.resolution - 0.04) < 4 * fit.resolution_error
    with pytest.raises(ConfigurationError, match=r"bins of 0.1 GeV are too wide for a peak"):
        evolve(fitter, resolution=(1e-4, 0.3)).fit(Counts.of([bh.axis.Regular(10, 2.6, 3.6)], [3.0] * 9))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"resolution": (0, 0)}, "cannot be tried from 0 to 0"),
        ({"resolution": (1, 0.5)}, "cannot be tried"),
        ({"resolution": (0.1, np.inf)}, "cannot be tried"),
        ({"resolution": (np.nan, 1)}, "cannot be tried"),
        ({"width": 0}, "width of a peak is 0"),
        ({"width": np.nan}, "width of a peak"),
        ({"window": (96, 86)}, "must hold the mass"),
        ({"mass": 3.1}, "must hold the mass"),
        ({"mass": np.nan}, "must hold the mass"),
    ],
)
def test_impossible_settings(wrong, words):
    with pytest.raises(ConfigurationError, match=words):
        PeakFitter(**wrong)


def test_contents_that_are_no_counts():
    values = spectrum(1000, 1).values.copy()
    values[120] = -5
    fit = PeakFitter().fit(Counts((AXIS,), values))
    assert not fit.valid and "less than no entries" in fit.message
    with pytest.raises(ConfigurationError, match=r"whole numbers of shape \(242,\)"):
        Counts((AXIS,), np.full(242, np.nan))
    with pytest.raises(ConfigurationError, match=r"whole numbers of shape \(242,\)"):
        Counts((AXIS,), values[1:])
    with pytest.raises(ConfigurationError, match="fitted to Counts, not to a Hist"):
        PeakFitter().fit(spectrum(10, 1).to_hist())


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
    assert len(fits) == 19 and all(fit.valid for fit in fits if fit.entries >= 50)
    assert all(fit.few and "no peak is seen" in fit.message for fit in fits if not fit.valid)
    fits = [fit for fit in fits if fit.valid]
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
