"""Several intervals at once."""

from collections.abc import Iterable
from itertools import pairwise

from caf_core.iov.interval import IoV


def merged(iovs: Iterable[IoV]) -> tuple[IoV, ...]:
    """The fewest intervals that hold the same runs, sorted; none of them empty."""
    result: list[IoV] = []
    for iov in sorted(iov for iov in iovs if not iov.empty):
        union = result[-1].union(iov) if result else None
        if union is None:
            result.append(iov)
        else:
            result[-1] = union
    return tuple(result)


def gaps(iovs: Iterable[IoV]) -> tuple[IoV, ...]:
    """What is missing between these intervals, within one experiment only.

    A run is in a gap if none of the intervals holds it, but they hold an earlier and a later run of the same
    experiment.

    Returns:
        The gaps, sorted, each as large as it can be.
    """
    return tuple(
        IoV(before.exp_high, before.run_high + 1, after.exp_low, after.run_low - 1)
        for before, after in pairwise(merged(iovs))
        if before.exp_high == after.exp_low
    )


def hull(iovs: Iterable[IoV]) -> IoV:
    """The smallest interval that contains all of these; empty if there are none."""
    filled = [iov for iov in iovs if not iov.empty]
    if not filled:
        return IoV()
    first, last = min(filled), max(filled, key=lambda iov: iov.bounds[1])
    return IoV(first.exp_low, first.run_low, last.exp_high, last.run_high)


def first_overlap(iovs: Iterable[IoV]) -> tuple[IoV, IoV] | None:
    """Two of these intervals that share a run, the earliest in order, or None if no two do."""
    reaching: IoV | None = None
    for iov in sorted(iov for iov in iovs if not iov.empty):
        # Every interval before this one ended before the next began, so only the latest can reach into it.
        if reaching is not None and reaching.overlaps(iov):
            return reaching, iov
        reaching = iov
    return None
