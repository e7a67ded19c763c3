"""The fit used everywhere: a Gaussian over the narrowest range that holds 90 % of the entries."""

from math import erf, isfinite, nan, sqrt

import numpy as np
from attrs import frozen

from caf_pandora.errors import TooFewEventsError
from caf_pandora.histogram import Floats, Histogram

FRACTION = 0.9
FEWEST_ENTRIES = 5
FEWEST_BINS = 5
"""The range is widened to so many bins, so that three parameters (height, mean, sigma) can be fitted."""
WHOLE_OVER_CUT = 1.3
"""A Gaussian's standard deviation over that of its central 90 %, rounded up from 1.27."""
WIDEST = 2.0
"""A fitted Gaussian that is so much wider than it should be has not seen a peak, but a slope."""


@frozen(kw_only=True, eq=False)
class GaussianFit:
    """What came of a fit.

    Args:
        mean: The Gaussian's mean; the mean over the range if the fit is not valid.
        mean_error: Its statistical error.
        sigma: The Gaussian's standard deviation.
        entries: All entries of the histogram.
        low: Lower end of the range.
        high: Upper end of the range.
        valid: Whether the fit converged to a peak. Nothing counts as calibrated on the strength of one that
            has not.
        histogram: What was fitted.
    """

    mean: float
    mean_error: float
    sigma: float
    entries: int
    low: float
    high: float
    valid: bool
    histogram: Histogram

    def precise(self, accuracy: float) -> bool:
        """Whether its mean is worth something: valid, and known better than an accuracy [as the mean]."""
        return self.valid and self.mean_error < accuracy

    def expected(self, edges: Floats) -> Floats:
        """The Gaussian's entries in bins, such as for a drawing; as many in the range as were counted."""
        counts, all_edges = self.histogram.counts, self.histogram.edges
        inside = (all_edges[:-1] >= self.low - 1e-9) & (all_edges[1:] <= self.high + 1e-9)
        shape = np.diff(_cumulative(edges, self.mean, self.sigma))
        share = np.diff(_cumulative(np.array([self.low, self.high]), self.mean, self.sigma))[0]
        expected: Floats = counts[inside].sum() * shape / max(share, 1e-300)
        return expected


def fit_values(values: Floats, width: float, what: str) -> GaussianFit:
    """Count values in bins of a width and fit them.

    Args:
        values: The values.
        width: Width of the bins: accuracy times true energy.
        what: What the values are, for the error.
    Raises:
        TooFewEventsError: If there are fewer than five.
    """
    return fit_histogram(Histogram.of_values(values, width), what)


def fit_histogram(histogram: Histogram, what: str) -> GaussianFit:
    """Fit the Gaussian by a likelihood of the entries in the range, given how many they are.

    The Gaussian is integrated over each bin and normalised over the range. Bins as wide as the resolution,
    and the cut at the ends, therefore do not move the mean.

    Raises:
        TooFewEventsError: If the histogram has fewer than five entries.
    """
    if histogram.entries < FEWEST_ENTRIES:
        raise TooFewEventsError(what, histogram.entries, FEWEST_ENTRIES)
    first, last = narrowest_range(histogram)
    edges, counts = _widened(histogram, first, last)
    mean, sigma = _moments(edges, counts)
    (fitted, error, fitted_sigma), valid = _minimise(edges, counts, mean, sigma)
    if not valid:
        error, fitted, fitted_sigma = sigma / sqrt(counts.sum()), mean, sigma
    return GaussianFit(
        mean=fitted,
        mean_error=error,
        sigma=fitted_sigma,
        entries=histogram.entries,
        low=float(edges[0]),
        high=float(edges[-1]),
        valid=valid,
        histogram=histogram,
    )


def narrowest_range(histogram: Histogram, fraction: float = FRACTION) -> tuple[int, int]:
    """First and last bin of the range with the smallest RMS among those that hold a fraction of the entries.

    From every bin on, the shortest range that holds enough is looked at.
    """
    x, counts = histogram.centres, histogram.counts
    x = x - x[np.argmax(counts)]  # squares of small numbers keep their digits
    sums = [np.concatenate([[0.0], np.cumsum(counts * power)]) for power in (np.ones_like(x), x, x * x)]
    needed = fraction * sums[0][-1] * (1 - 1e-12)
    ends = np.searchsorted(sums[0], sums[0][:-1] + needed)  # one behind the last bin
    starts = np.flatnonzero(ends < len(sums[0]))
    ends = ends[starts]
    number, linear, square = (one[ends] - one[starts] for one in sums)
    variance = np.maximum(square / number - (linear / number) ** 2, 0)
    best = int(np.argmin(np.round(variance / histogram.width**2, 9)))
    return int(starts[best]), int(ends[best]) - 1


def _widened(histogram: Histogram, first: int, last: int) -> tuple[Floats, Floats]:
    """Edges and counts of the range, with empty bins added beyond the histogram if need be."""
    surplus = max(0, FEWEST_BINS - (last - first + 1))
    low, high = first - (surplus + 1) // 2, last + surplus // 2
    places = np.arange(low, high + 1)
    inside = (places >= 0) & (places < len(histogram.counts))
    counts = np.where(inside, histogram.counts[np.clip(places, 0, len(histogram.counts) - 1)], 0.0)
    edges = histogram.edges[0] + histogram.width * np.arange(low, high + 2)
    return edges, counts


def _moments(edges: Floats, counts: Floats) -> tuple[float, float]:
    """Mean and standard deviation; the latter not below what a single bin spreads."""
    centres = (edges[:-1] + edges[1:]) / 2
    mean = float((counts * centres).sum() / counts.sum())
    variance = float((counts * (centres - mean) ** 2).sum() / counts.sum())
    return mean, max(sqrt(variance), float(edges[1] - edges[0]) / sqrt(12))


def _cumulative(x: Floats, mean: float, sigma: float) -> Floats:
    """The Gaussian's distribution function."""
    return np.array([0.5 * (1 + erf(one)) for one in ((x - mean) / (sqrt(2) * sigma)).tolist()])


def _minimise(
    edges: Floats, counts: Floats, mean: float, sigma: float
) -> tuple[tuple[float, float, float], bool]:
    """Mean, its error and sigma of the best Gaussian, and whether they can be trusted."""
    from iminuit import Minuit

    width, span = float(edges[1] - edges[0]), float(edges[-1] - edges[0])
    filled = counts > 0
    seen, below, above = counts[filled], edges[:-1][filled], edges[1:][filled]
    ends = edges[[0, -1]]

    def deviance(position: float, spread: float) -> float:
        shape = _cumulative(above, position, spread) - _cumulative(below, position, spread)
        whole = float(np.diff(_cumulative(ends, position, spread))[0])
        probability = np.maximum(shape, 1e-300) / max(whole, 1e-300)
        return float(-2 * (seen * np.log(probability)).sum())

    minuit = Minuit(deviance, position=mean, spread=WHOLE_OVER_CUT * sigma)
    minuit.errordef = Minuit.LEAST_SQUARES  # a deviance grows by 1 within one standard deviation
    minuit.errors = (sigma / 5, sigma / 5)
    minuit.limits = ((float(edges[0]) - width, float(edges[-1]) + width), (0.05 * width, 3 * span))
    minuit.migrad()
    if not minuit.valid:
        minuit.simplex().migrad()
    position, spread = minuit.values
    error = minuit.errors[0]
    peaked = edges[0] < position < edges[-1] and spread < WIDEST * WHOLE_OVER_CUT * sigma
    trusted = bool(minuit.valid and isfinite(error) and peaked)
    return (position, error if trusted else nan, spread), trusted
