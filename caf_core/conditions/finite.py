"""Which numbers of a payload's content are not finite."""

import cmath
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from caf_core.conditions import plain


@frozen
class NotFinite:
    """Numbers that are not finite.

    Args:
        text: Which they are: ``value is nan``, ``shifts: 3 of 100 values are not finite``.
        channels: Whether they are some channels of an array or list that has finite ones too: a channel
            that failed is NaN, and the rest of the constants is good.
    """

    text: str
    channels: bool = False


def not_finite(content: Any) -> tuple[NotFinite, ...]:
    """What is not finite in a content of numbers, texts, mappings, lists, attrs objects, arrays and
    histograms.

    Contents of other kinds are not looked into.
    """
    return tuple(_found(content, ""))


def _found(value: Any, where: str) -> Iterator[NotFinite]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _found(item, f"{where}.{key}" if where else str(key))
    elif plain.is_object(value):
        yield from _found(plain.fields_of(value), where)
    elif plain.is_array(value) or plain.is_scalar(value):
        yield from _array(value, where)
    elif isinstance(value, list | tuple):
        if value and all(isinstance(item, complex | float | int) or plain.is_scalar(item) for item in value):
            yield from _channels(sum(map(_bad, value)), len(value), where)
        else:
            for index, item in enumerate(value):
                yield from _found(item, f"{where}[{index}]")
    elif _is_histogram(value):
        # What is stored, where that can be seen: a mean of nothing is NaN by computation.
        yield from _array(value.view() if hasattr(value, "view") else value.values(), where)
    elif _bad(value):
        yield NotFinite(f"{where or 'it'} is {value!r}")


def _bad(number: Any) -> bool:
    number = number.item() if plain.is_scalar(number) else number
    return isinstance(number, float | complex) and not cmath.isfinite(number)


def _is_histogram(value: Any) -> bool:
    """Whether it is one by the protocol that hist, boost-histogram and uproot have in common."""
    if isinstance(value, type) or not all(
        hasattr(value, name) for name in ("kind", "axes", "values", "variances")
    ):
        return False
    return hasattr(value, "view") or value.kind == "COUNT"


def _array(value: Any, where: str) -> Iterator[NotFinite]:
    numpy = sys.modules["numpy"]  # whoever has an array has imported it
    if value.dtype.names:
        for name in value.dtype.names:
            yield from _found(value[name], f"{where}.{name}" if where else name)
    elif value.dtype.kind in "fcmM":
        # What is masked is said to be none, and is not counted.
        values = numpy.ma.compressed(value) if numpy.ma.isMaskedArray(value) else value
        bad = int(values.size - numpy.isfinite(values).sum())
        if bad and value.ndim == 0:
            yield NotFinite(f"{where or 'it'} is {value.item()!r}")
        else:
            yield from _channels(bad, values.size, where)


def _channels(bad: int, size: int, where: str) -> Iterator[NotFinite]:
    if bad:
        text = f"{bad} of {size} values are not finite"
        yield NotFinite(f"{where}: {text}" if where else text, channels=bad < size)
