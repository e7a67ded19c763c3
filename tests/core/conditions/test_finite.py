"""Which numbers of constants are not finite."""

import math
from dataclasses import dataclass

import hist
import numpy as np
import pytest

from caf_core.conditions.finite import NotFinite, not_finite


@dataclass
class Peak:
    mean: float


def histogram(storage: hist.storage.Storage, **fill: list[float]) -> hist.Hist:
    return hist.Hist(hist.axis.Regular(2, 0, 1), storage=storage).fill([0.1], **fill)


@pytest.mark.parametrize(
    ("content", "text", "channels"),
    [
        (math.nan, "it is nan", False),
        (np.float32("inf"), "it is inf", False),
        (np.array(math.nan), "it is nan", False),
        ({"fit": [Peak(-math.inf)]}, "fit[0].mean is -inf", False),
        ({"gains": [1, 2.0, math.nan]}, "gains: 1 of 3 values are not finite", True),
        ([np.float32("nan"), np.float32(1)], "1 of 2 values are not finite", True),
        ({"gains": np.array([[1, np.nan], [np.inf, 2]])}, "gains: 2 of 4 values are not finite", True),
        ({"gains": np.full(3, np.nan)}, "gains: 3 of 3 values are not finite", False),
        (
            np.array([(1, math.nan), (2, 3)], [("n", "i4"), ("x", "f8")]),
            "x: 1 of 2 values are not finite",
            True,
        ),
        (np.array([1j, complex(0, math.inf)]), "1 of 2 values are not finite", True),
        ([1j, complex(0, math.inf)], "1 of 2 values are not finite", True),
        (np.array(["NaT", "2026-01-01"], "M8[s]"), "1 of 2 values are not finite", True),
        (
            {"mass": histogram(hist.storage.Double(), weight=[math.nan])},
            "mass: 1 of 2 values are not finite",
            True,
        ),
        (
            histogram(hist.storage.Weight(), weight=[1e200]),
            "variance: 1 of 2 values are not finite",
            True,
        ),
    ],
)
def test_what_is_not_finite_is_named(content, text, channels) -> None:
    assert not_finite(content) == (NotFinite(text, channels),)


@pytest.mark.parametrize(
    "content",
    [
        {"a": 1.5, "b": "nan", "c": None, "d": True, "e": 10**400, "f": [10**400]},
        [],
        np.array([]),
        np.array(["nan"]),
        np.ma.masked_invalid([1.0, np.nan]),
        b"nan",
        histogram(hist.storage.Int64()),
        histogram(hist.storage.WeightedMean(), sample=[1.0]),
        hist.Hist,
    ],
)
def test_everything_else_is_good(content) -> None:
    assert not_finite(content) == ()
