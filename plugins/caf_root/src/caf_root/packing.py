"""Small pickles of histograms: most bins are empty or hold few entries."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Packed = tuple[NDArray[np.integer] | None, NDArray[np.integer]]
"""The places that are not 0, or ``None`` for all of them, and the values there, in narrow types."""

_UNSIGNED = (np.uint8, np.uint16, np.uint32, np.uint64)
_SIGNED = (np.int8, np.int16, np.int32, np.int64)


def pack(values: NDArray[np.int64]) -> Packed:
    """Pack integers of any shape."""
    flat = values.ravel()
    places = np.flatnonzero(flat)
    dense, sparse = narrow(flat), (narrow(places), narrow(flat[places]))
    if sparse[0].nbytes + sparse[1].nbytes < dense.nbytes:
        return sparse
    return None, dense


def unpack(
    shape: Sequence[int], places: NDArray[np.integer] | None, values: NDArray[np.integer]
) -> NDArray[np.int64]:
    """The inverse of ``pack``."""
    if places is None:
        return values.astype(np.int64).reshape(shape)
    flat = np.zeros(int(np.prod(shape)), dtype=np.int64)
    flat[places] = values
    return flat.reshape(shape)


def narrow(values: NDArray[np.integer]) -> NDArray[np.integer]:
    """The same integers in the narrowest type that holds them all; always a copy."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    kinds = _UNSIGNED if low >= 0 else _SIGNED
    kind = next(kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    return values.astype(kind)
