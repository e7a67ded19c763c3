"""The peak of hit energies."""

import numpy as np
import pytest

from caf_pandora.errors import TooFewEventsError
from caf_pandora.histogram import Histogram
from caf_pandora.peaks import NoPeakError, find_peak


def histogram(counts, upper=0.1):
    return Histogram(np.linspace(0, upper, len(counts) + 1), np.array(counts, dtype=float))


def test_the_centre_of_the_highest_bin():
    counts = np.zeros(500)
    counts[90:111] = 10 - abs(np.arange(-10, 11))
    peak = find_peak(histogram(counts), "h")
    assert peak.position == pytest.approx(100.5 * 0.1 / 500)
    assert peak.width == pytest.approx(0.1 / 500)
    assert peak.entries == 100


def test_low_energy_edges_are_not_peaks():
    counts = 1000 * np.exp(-np.arange(100) / 5)
    counts[60] = 40
    assert find_peak(histogram(counts), "h").position == pytest.approx(60.5 * 0.001)


@pytest.mark.parametrize("place", [0, 9, 90, 99])
def test_the_outermost_ten_bins_are_left_out(place):
    counts = np.ones(100)
    counts[place] = 1000
    counts[50] = 5
    assert find_peak(histogram(counts), "h").position == pytest.approx(50.5 * 0.001)


@pytest.mark.parametrize(
    "counts", [np.ones(100), np.arange(100), np.exp(-np.arange(100) / 9) * 1e4, [7.0] * 5]
)
def test_no_peak_is_an_error(counts):
    with pytest.raises(NoPeakError, match="histogram h has no peak"):
        find_peak(histogram(counts), "h")


def test_too_few_entries_are_an_error():
    counts = np.zeros(100)
    counts[50] = 4
    with pytest.raises(TooFewEventsError, match="histogram h has 4 entries"):
        find_peak(histogram(counts), "h")
