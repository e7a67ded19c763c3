"""Unweighted histograms as whole numbers, which add up to the same in any order."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import boost_histogram as bh
import numpy as np
from attrs import field, frozen
from numpy.typing import ArrayLike, NDArray

from caf_core.errors import ConfigurationError
from caf_root.packing import Packed, pack, unpack

if TYPE_CHECKING:
    from hist import Hist

Axis = Any  # an axis of boost_histogram or of hist; the two share no public base class
Integers = NDArray[np.int64]


def checked_axes(axes: Iterable[Axis]) -> tuple[Axis, ...]:
    """The axes as a tuple.

    Raises:
        ConfigurationError: If there are none, or if one of them would grow with its data.
    """
    axes = tuple(axes)
    if not axes:
        raise ConfigurationError(
            "a histogram needs at least one axis; give axes of boost_histogram or of hist."
        )
    if any(axis.traits.growth for axis in axes):
        raise ConfigurationError(
            "an axis with growth=True cannot be used, because histograms of different runs would not fit "
            "together; give fixed bins."
        )
    return axes


def _wide(values: Any) -> Any:
    """Whole numbers as 64 bits, so that sums of narrow ones do not wrap around; anything else as it is."""
    if type(values) is not np.ndarray or values.dtype.kind not in "iu" or values.dtype == np.int64:
        return values
    if values.size and int(values.max()) > np.iinfo(np.int64).max:
        raise ConfigurationError(f"a bin of Counts holds at most 2**63 - 1 entries, not {values.max()}.")
    return values.astype(np.int64)


def _checked_values(counts: "Counts", _attribute: object, values: Any) -> None:
    shape = tuple(axis.extent for axis in counts.axes)
    if type(values) is not np.ndarray or values.dtype != np.int64 or values.shape != shape:
        found = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else repr(values)
        raise ConfigurationError(
            f"the values of Counts are whole numbers of shape {shape}, as the axes with their underflow and "
            f"overflow have it, not {found}."
        )


@frozen(eq=False)
class Counts:
    """An unweighted histogram as integers, which add up to the same result in any order.

    That is exact up to 2**63 - 1 entries in a bin. The variance of a bin is its number of entries, so it is
    exact too. Weighted histograms are sums of floating-point numbers, which depend on the order of additions
    in their last digits; they are not kept like this.

    Args:
        axes: The axes, of ``boost_histogram`` or of ``hist``.
        values: The counts with underflow and overflow (as far as the axes have them), of the shape of the
            axes' extents; whole numbers of any width, which are kept as 64 bits.
    """

    merges_exactly: ClassVar[bool] = True
    """See ``caf_core.calibration.merging.goes_on_exactly``."""

    axes: tuple[Axis, ...] = field(converter=checked_axes)
    values: Integers = field(converter=_wide, validator=_checked_values)

    @classmethod
    def of(cls, axes: Sequence[Axis], *columns: ArrayLike) -> Self:
        """Fill a histogram.

        Args:
            axes: One axis or more.
            columns: What to count, one column an axis.
        """
        histogram = bh.Histogram(*checked_axes(axes), storage=bh.storage.Int64())
        histogram.fill(*columns)
        return cls(tuple(axes), histogram.view(flow=True).copy())

    @property
    def entries(self) -> int:
        """How many entries there are, those outside of the axes' ranges included."""
        return int(self.values.sum())

    @staticmethod
    def merge(parts: "Sequence[Counts]") -> "Counts":
        """Add up histograms with the same axes.

        Raises:
            ConfigurationError: If there are none, or if their axes differ.
        """
        if not parts:
            raise ConfigurationError("no histograms were given that could be merged; at least one is needed.")
        first = parts[0]
        if any(part.axes != first.axes for part in parts):
            raise ConfigurationError(
                "histograms with different axes cannot be merged; fill all runs with the same axes."
            )
        total = np.zeros_like(first.values)
        for part in parts:
            total += part.values
        return Counts(first.axes, total)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts.merge([self, other])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Counts):
            return NotImplemented
        return self.axes == other.axes and bool(np.array_equal(self.values, other.values))

    __hash__ = None  # type: ignore[assignment]  # arrays can change, so it must not be hashed

    def to_hist(self) -> "Hist[Any]":
        """The same as a ``hist.Hist`` with integer storage."""
        from hist import Hist

        histogram: Hist[Any] = Hist(*self.axes, storage=bh.storage.Int64())
        histogram.view(flow=True)[...] = self.values
        return histogram

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.axes, self.values.shape, pack(self.values))


def _unpickled(axes: tuple[Axis, ...], shape: tuple[int, ...], packed: Packed) -> Counts:
    return Counts(axes, unpack(shape, *packed))
