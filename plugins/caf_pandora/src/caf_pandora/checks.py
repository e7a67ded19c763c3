"""What a value of a setting has to be."""

from collections.abc import Callable
from math import isfinite
from typing import Any

from attrs import frozen


@frozen
class Check:
    """A kind of value.

    Args:
        types: The types that it may have; whole numbers do for ``float``.
        meaning: What it is, for people: "... should be a number above 0".
        accepts: Whether a value is one.
        convert: Brings it into the form that we keep.
    """

    types: tuple[type, ...]
    meaning: str
    accepts: Callable[[Any], bool]
    convert: Callable[[Any], Any]


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, which ``True`` is not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def whole(low: int, high: int | None = None) -> Check:
    """A whole number in a range, its ends included."""
    return Check(
        (int,),
        f"a whole number from {low}" + (" on" if high is None else f" to {high}"),
        lambda value: type(value) is int and low <= value and (high is None or value <= high),
        int,
    )


def _is_range(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(map(is_number, value))
        and 0 <= value[0] < value[1] <= 1
    )


NUMBER = Check((float,), "a number above 0", lambda value: is_number(value) and value > 0, float)
FRACTION = Check(
    (float,), "a number above 0 and not above 1", lambda value: is_number(value) and 0 < value <= 1, float
)
TRUTH = Check((bool,), "True or False", lambda value: isinstance(value, bool), bool)
TEXT = Check(
    (str,), "a text that is not empty", lambda value: isinstance(value, str) and bool(value.strip()), str
)
RANGE = Check(
    (list, tuple),
    "two numbers from 0 to 1, the lower one first",
    _is_range,
    lambda value: (float(value[0]), float(value[1])),
)
