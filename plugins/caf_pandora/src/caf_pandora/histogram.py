"""Histograms of one axis: counts between edges."""

from collections.abc import Iterable

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from caf_pandora.errors import PandoraError

Floats = NDArray[np.float64]
MOST_BINS = 1_000_000
"""A histogram with more bins is a mistake: constants that are wrong by powers of ten."""


@frozen(eq=False)
class Histogram:
    """Counts, without underflow and overflow.

    Args:
        edges: Bin edges, shape (n_bins + 1,).
        counts: Entries of the bins, shape (n_bins,).
    """

    edges: Floats = field(repr=False)
    counts: Floats = field(repr=False)

    @property
    def centres(self) -> Floats:
        """Centres of the bins, shape (n_bins,)."""
        centres: Floats = (self.edges[:-1] + self.edges[1:]) / 2
        return centres

    @property
    def entries(self) -> int:
        """Number of entries."""
        return round(float(self.counts.sum()))

    @property
    def width(self) -> float:
        """Width of the first bin; they are all alike here."""
        return float(self.edges[1] - self.edges[0])

    @property
    def mean(self) -> float:
        """Mean of the bins' centres, weighted with their entries."""
        return float((self.counts * self.centres).sum() / self.counts.sum())

    @classmethod
    def of_values(cls, values: Floats, width: float) -> "Histogram":
        """Count values in bins whose edges are multiples of a width.

        Raises:
            PandoraError: If a value is not finite, or if the values lie absurdly far apart.
        """
        if not np.isfinite(values).all():
            raise PandoraError("an energy is not a finite number; look at the results of the reconstruction.")
        if len(values) == 0:
            return cls(np.array([0.0, width]), np.zeros(1))
        places = np.floor(values / width)
        first = places.min()
        if places.max() - first >= MOST_BINS:
            raise PandoraError(
                f"energies from {values.min():g} to {values.max():g} do not fit into bins of {width:g} GeV; "
                "look whether the starting constants are far from the truth."
            )
        counts = np.bincount((places - first).astype(np.int64)).astype(np.float64)
        return cls(width * (first + np.arange(len(counts) + 1)), counts)


def add_up(histograms: Iterable[Histogram], name: str) -> Histogram:
    """The sum of histograms with the same bins.

    Raises:
        PandoraError: If their bins differ.
    """
    first, *others = histograms
    counts = first.counts.copy()
    for other in others:
        if not np.array_equal(first.edges, other.edges):
            raise PandoraError(
                f"the histogram {name} has other bins in some workers' files than in the rest."
            )
        counts += other.counts
    return Histogram(first.edges, counts)
