"""Whether iterated constants have converged, judged from their metrics."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from math import isfinite, isinf, nan
from typing import Any

from attrs import field, frozen

from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun


class Convergence(StrEnum):
    """How the iterations of a calibration, or of one interval of it, ended; the best first."""

    CONVERGED = "converged"
    MAX_ITERATIONS = "max_iterations"
    OSCILLATING = "oscillating"
    DIVERGING = "diverging"
    FAILURE = "failure"
    """The algorithm failed on some runs, and its strategy went on."""
    NOT_FINITE = "not_finite"


def worst(labels: Iterable[Convergence]) -> Convergence:
    """The label of a whole from those of its parts."""
    order = list(Convergence)
    return max(labels, key=order.index, default=Convergence.CONVERGED)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"a metric has {value!r} where a number has to be.") from error


@frozen
class Metric:
    """How far an algorithm is from where it wants to be.

    Args:
        value: The signed distance, such as a correction; in the units of ``tolerance``. One that is not
            finite is recorded, and what it belongs to does not count as converged.
        tolerance: The size below which the distance no longer matters; finite and above 0.
    """

    value: float = field(converter=_number)
    tolerance: float = field(converter=_number)

    @tolerance.validator
    def _positive(self, _attribute: object, tolerance: float) -> None:
        if not tolerance > 0 or isinf(tolerance):
            raise ConfigurationError(
                f"the tolerance of a metric is {tolerance}; it is a finite number above 0."
            )

    @property
    def finite(self) -> bool:
        """Whether the value is a finite number."""
        return isfinite(self.value)

    @property
    def ratio(self) -> float:
        """The signed value in units of its tolerance; NaN if the value is not finite."""
        return self.value / self.tolerance if self.finite else nan


MetricKey = tuple[int, str, ExpRun]
"""Algorithm (by position), name of the metric, run: stays comparable when intervals change between
iterations."""

Metrics = Mapping[MetricKey, Metric]


def classify(history: Sequence[Metrics], *, iterate: bool, finite: bool = True) -> Convergence:
    """How something stands after its last iteration.

    Args:
        history: Its metrics in every iteration, the last one last.
        iterate: Whether an algorithm of the last iteration still asked for another one.
        finite: Whether its constants are finite.
    Returns:
        ``not_finite`` if its constants or metrics of the last iteration are not finite, whatever was asked
        for; ``converged`` if no algorithm asked for more; else the worst that any metric does: ``diverging``
        before ``oscillating`` before ``max_iterations``.
    """
    if not finite or not all(metric.finite for metrics in history[-1:] for metric in metrics.values()):
        return Convergence.NOT_FINITE
    if not iterate:
        return Convergence.CONVERGED
    if _diverging(history):
        return Convergence.DIVERGING
    if _oscillating(history):
        return Convergence.OSCILLATING
    return Convergence.MAX_ITERATIONS


def _common(last: Sequence[Metrics]) -> set[MetricKey]:
    """The keys under which all of these iterations have a finite metric."""
    return set.intersection(*({key for key, metric in metrics.items() if metric.finite} for metrics in last))


def _diverging(history: Sequence[Metrics]) -> bool:
    """Whether the largest |value|/tolerance rose in the last two steps, over the keys that all three
    iterations have."""
    last = history[-3:]
    if len(last) < 3:
        return False
    common = _common(last)
    largest = [max((abs(metrics[key].ratio) for key in common), default=0.0) for metrics in last]
    return largest[0] < largest[1] < largest[2]


def _oscillating(history: Sequence[Metrics]) -> bool:
    """Whether some metric that is still out of tolerance changed sign in each of the last three steps
    without shrinking."""
    last = history[-4:]
    if len(last) < 4:
        return False
    for key in _common(last):
        ratios = [metrics[key].ratio for metrics in last]
        flips = all(before * after < 0 for before, after in pairwise(ratios))
        if flips and abs(ratios[-1]) > 1 and abs(ratios[-1]) >= abs(ratios[0]):
            return True
    return False
