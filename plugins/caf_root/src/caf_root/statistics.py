"""The few statistics that calibrations need to judge themselves."""

from collections.abc import Sequence
from math import erfc, exp, fsum, lgamma, log, sqrt

import numpy as np
from numpy.typing import ArrayLike


def chi2_probability(chi2: float, ndf: int) -> float:
    """The probability of a chi2 at least this large, as a finite sum.

    Args:
        chi2: The value, not negative.
        ndf: Degrees of freedom; with 0 nothing is tested, and the probability is 1.
    Source:
        Abramowitz and Stegun, 26.4.4 and 26.4.5.
    """
    if ndf <= 0:
        return 1.0
    if chi2 <= 0:
        return 1.0
    half = chi2 / 2
    # Through logarithms, because the terms of large values under- and overflow on their own.
    powers = [k + (0.5 if ndf % 2 else 0.0) for k in range(ndf // 2)]
    terms = [exp(power * log(half) - half - lgamma(power + 1)) for power in powers]
    return min(fsum(terms) + (erfc(sqrt(half)) if ndf % 2 else 0.0), 1.0)


def chi2_of_mean(values: ArrayLike, errors: ArrayLike) -> tuple[float, float, float, int]:
    """Do these values agree with one another?

    Args:
        values: Shape (n,).
        errors: Their standard deviations, independent of one another, shape (n,).
    Returns:
        The weighted mean, its error, the chi2 of the values around it, and the degrees of freedom, n - 1.
    """
    weights = 1 / np.square(np.asarray(errors, dtype=float))
    numbers = np.asarray(values, dtype=float)
    mean = float((weights * numbers).sum() / weights.sum())
    chi2 = float((weights * np.square(numbers - mean)).sum())
    return mean, float(1 / np.sqrt(weights.sum())), chi2, len(numbers) - 1


def chi2_of_pulls(pulls: Sequence[float]) -> tuple[float, int, float]:
    """The sum of squared pulls, their number, and the probability."""
    chi2 = float(sum(pull * pull for pull in pulls))
    return chi2, len(pulls), chi2_probability(chi2, len(pulls))


def goodness_of_fit(counts: ArrayLike, expected: ArrayLike, *, at_least: float = 10.0) -> tuple[float, int]:
    """How well expected numbers describe counts, whatever the width of the bins.

    Neighbouring bins are put together until this many are expected in each, because only then -2 ln of the
    likelihood ratio is distributed like chi2.

    Args:
        counts: Entries in each bin, shape (n_bins,).
        expected: Expected entries, shape (n_bins,), all above 0.
        at_least: How many to expect in a bin.
    Returns:
        -2 ln of the ratio of Poisson likelihoods, and the number of bins after putting them together.
    Source:
        S. Baker and R. D. Cousins, https://doi.org/10.1016/0167-5087(84)90016-4.
    """
    bins: list[list[float]] = [[0.0, 0.0]]
    for seen, mean in zip(np.asarray(counts).tolist(), np.asarray(expected).tolist(), strict=True):
        if bins[-1][1] >= at_least:
            bins.append([0.0, 0.0])
        bins[-1][0] += seen
        bins[-1][1] += mean
    if len(bins) > 1 and bins[-1][1] < at_least:
        seen, mean = bins.pop()
        bins[-1][0] += seen
        bins[-1][1] += mean
    terms = (mean - seen + (seen * log(seen / mean) if seen else 0.0) for seen, mean in bins)
    return 2 * fsum(terms), len(bins)
