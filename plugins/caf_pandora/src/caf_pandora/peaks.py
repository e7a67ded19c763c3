"""The peak of a histogram of hit energies: what one minimum ionising particle leaves."""

import numpy as np
from attrs import frozen

from caf_pandora.errors import PandoraError, TooFewEventsError
from caf_pandora.histogram import Histogram

DISTANCE = 10
"""How many bins away the neighbours are, and how many bins are left out at each end."""
FEWEST_ENTRIES = 5


class NoPeakError(PandoraError):
    """A histogram without a bin that is a peak."""


@frozen(eq=False)
class Peak:
    """The peak of a histogram.

    Args:
        position: Centre of the highest bin.
        width: Width of that bin.
        entries: Entries of the histogram.
        histogram: Where it was looked for.
    """

    position: float
    width: float
    entries: int
    histogram: Histogram


def find_peak(histogram: Histogram, name: str) -> Peak:
    """The highest bin that is above its neighbours ten bins away on both sides.

    The outermost ten bins are left out, as low-energy edges are no peaks. Of equally high bins the first is
    taken.

    Raises:
        TooFewEventsError: If the histogram has fewer than five entries.
        NoPeakError: If no bin is a peak.
    """
    if histogram.entries < FEWEST_ENTRIES:
        raise TooFewEventsError(f"the histogram {name}", histogram.entries, FEWEST_ENTRIES)
    counts = histogram.counts
    middle = counts[DISTANCE:-DISTANCE]
    above = (middle > counts[: -2 * DISTANCE]) & (middle > counts[2 * DISTANCE :])
    if not above.any():
        raise NoPeakError(
            f"the histogram {name} has no peak among its {histogram.entries} entries; take more muons, or "
            f"look whether the peak lies outside {histogram.edges[0]:g}..{histogram.edges[-1]:g} GeV."
        )
    best = DISTANCE + int(np.argmax(np.where(above, middle, -1.0)))
    low, high = histogram.edges[best : best + 2]
    return Peak(float((low + high) / 2), float(high - low), histogram.entries, histogram)
