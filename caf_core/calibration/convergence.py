"""Whether an iterated calibration has converged, judged from its metrics."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from math import inf, isnan

from attrs import field, frozen

from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun


class Convergence(StrEnum):
    """How the iterations of a calibration ended."""

    CONVERGED = "converged"
    DIVERGING = "diverging"
    OSCILLATING = "oscillating"
    MAX_ITERATIONS = "max_iterations"


@frozen
class Metric:
    """How far an algorithm is from where it wants to be.

    Args:
        value: The signed distance, such as a correction; in the units of ``tolerance``.
        tolerance: The size below which the distance no longer matters; positive.
    """

    value: float = field(converter=float)
    tolerance: float = field(converter=float)

    @tolerance.validator
    def _positive(self, _attribute: object, tolerance: float) -> None:
        if not tolerance > 0:
            raise ConfigurationError(f"the tolerance of a metric is {tolerance}; it is above 0.")

    @property
    def ratio(self) -> float:
        """The signed value in units of its tolerance; infinite if the value is no number."""
        return inf if isnan(self.value) else self.value / self.tolerance


MetricKey = tuple[int, str, ExpRun]
"""Algorithm (by position), name of the metric, run: stays comparable when intervals change between
iterations."""

Metrics = Mapping[MetricKey, Metric]


def classify(history: Sequence[Metrics], *, iterate: bool) -> Convergence:
    """How a calibration stands after its last iteration.

    Args:
        history: The metrics of every iteration, the last one last.
        iterate: Whether any algorithm of the last iteration still asked for another one.
    Returns:
        ``converged`` if no algorithm asked for more; else the worst that any metric does: ``diverging``
        before ``oscillating`` before ``max_iterations``.
    """
    if not iterate:
        return Convergence.CONVERGED
    if _diverging(history):
        return Convergence.DIVERGING
    if _oscillating(history):
        return Convergence.OSCILLATING
    return Convergence.MAX_ITERATIONS


def _diverging(history: Sequence[Metrics]) -> bool:
    """Whether the largest |value|/tolerance rose in the last two steps, over the keys that all three
    iterations have."""
    last = history[-3:]
    if len(last) < 3:
        return False
    common = set(last[0]) & set(last[1]) & set(last[2])
    worst = [max((abs(metrics[key].ratio) for key in common), default=0.0) for metrics in last]
    return worst[0] < worst[1] < worst[2]


def _oscillating(history: Sequence[Metrics]) -> bool:
    """Whether some metric that is still out of tolerance changed sign in each of the last three steps
    without shrinking."""
    last = history[-4:]
    if len(last) < 4:
        return False
    common = set(last[0]).intersection(*last[1:])
    for key in common:
        ratios = [metrics[key].ratio for metrics in last]
        flips = all(before * after < 0 for before, after in pairwise(ratios))
        if flips and abs(ratios[-1]) > 1 and abs(ratios[-1]) >= abs(ratios[0]):
            return True
    return False
