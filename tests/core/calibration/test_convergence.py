"""Whether a calibration has converged."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.calibration.convergence import Convergence, Metric, classify, worst
from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun

KEY = (0, "shift", ExpRun(1, 1))
OTHER = (0, "shift", ExpRun(1, 2))


def history(*values: float, key=KEY):
    """One metric over some iterations, in units of its tolerance."""
    return [{key: Metric(value, 1.0)} for value in values]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((3, 4, 5), Convergence.DIVERGING),
        ((9, 3, 4, 5), Convergence.DIVERGING),
        ((3, -4, 5), Convergence.DIVERGING),
        ((3, 4, 4), Convergence.MAX_ITERATIONS),
        ((5, 3, 4), Convergence.MAX_ITERATIONS),
        ((3, 4), Convergence.MAX_ITERATIONS),
        ((2, -2, 2, -2), Convergence.OSCILLATING),
        ((2, -3, 2, -2), Convergence.OSCILLATING),
        ((3, -2.5, 2, -1.9), Convergence.MAX_ITERATIONS),
        ((2, -2, 2), Convergence.MAX_ITERATIONS),
        ((0.5, -0.5, 0.5, -0.5), Convergence.MAX_ITERATIONS),
        ((2, 2, -2, 2), Convergence.MAX_ITERATIONS),
        ((), Convergence.MAX_ITERATIONS),
        ((1, 2, math.nan), Convergence.NOT_FINITE),
        ((1, 2, -math.inf), Convergence.NOT_FINITE),
        ((math.nan, 2, 3), Convergence.MAX_ITERATIONS),
        ((1, math.inf, 3), Convergence.MAX_ITERATIONS),
        ((2, -2, math.nan, -2), Convergence.MAX_ITERATIONS),
    ],
)
def test_the_label_follows_the_last_iterations(values, expected) -> None:
    assert classify(history(*values), iterate=True) is expected


def test_without_a_wish_to_iterate_it_has_converged_whatever_the_metrics_say() -> None:
    assert classify(history(1, 2, 3), iterate=False) is Convergence.CONVERGED


@pytest.mark.parametrize("value", [math.nan, math.inf, np.float32("nan")])
def test_what_is_not_finite_has_not_converged_whatever_was_asked_for(value) -> None:
    assert classify(history(1, value), iterate=False) is Convergence.NOT_FINITE
    assert classify(history(1, 0.5), iterate=False, finite=False) is Convergence.NOT_FINITE


def test_a_metric_is_made_of_numbers() -> None:
    assert Metric(np.float64(2), np.int32(4)).ratio == 0.5
    with pytest.raises(ConfigurationError, match="a metric has 'far' where a number has to be"):
        Metric("far", 1)


def test_the_worst_part_labels_the_whole() -> None:
    assert worst([]) is Convergence.CONVERGED
    assert worst(Convergence) is Convergence.NOT_FINITE
    assert worst([Convergence.OSCILLATING, Convergence.CONVERGED]) is Convergence.OSCILLATING


def test_diverging_comes_before_oscillating() -> None:
    assert classify(history(2, -3, 4, -5), iterate=True) is Convergence.DIVERGING


def test_only_what_can_be_compared_is_compared() -> None:
    changed = [*history(1, 2), *history(9, key=OTHER)]
    assert classify(changed, iterate=True) is Convergence.MAX_ITERATIONS


def test_the_largest_of_all_metrics_decides_on_divergence() -> None:
    steps = [{KEY: Metric(size, 1.0), OTHER: Metric(9 - size, 0.1)} for size in (1, 2, 3)]
    assert classify(steps, iterate=True) is Convergence.MAX_ITERATIONS


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=6), st.floats(0.01, 100))
def test_the_unit_of_a_metric_does_not_matter(values, unit) -> None:
    plain = history(*(value * 1.0 for value in values))
    scaled = [{KEY: Metric(value * unit, unit)} for value in values]
    if all(math.isclose(a[KEY].ratio, b[KEY].ratio, rel_tol=0) for a, b in zip(plain, scaled, strict=True)):
        assert classify(plain, iterate=True) is classify(scaled, iterate=True)


@pytest.mark.parametrize("tolerance", [0, -1.0, math.nan, math.inf])
def test_a_tolerance_is_above_zero(tolerance) -> None:
    with pytest.raises(ConfigurationError, match="tolerance of a metric"):
        Metric(1.0, tolerance)
