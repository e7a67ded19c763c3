"""Lists of runs, and how they become intervals."""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import groupby, pairwise
from operator import itemgetter

from caf_core.errors import ConfigurationError
from caf_core.iov.exprun import ExpRun
from caf_core.iov.interval import IoV
from caf_core.iov.vectors import merged


def sorted_runs(runs: Iterable[ExpRun]) -> tuple[ExpRun, ...]:
    """The runs in order, each once."""
    return tuple(sorted(set(runs)))


def iov_of_runs(runs: Iterable[ExpRun]) -> IoV:
    """The interval from the first to the last of these runs, whatever is between; empty if there are none."""
    known = tuple(runs)
    return IoV(*min(known), *max(known)) if known else IoV()


def iovs_of_runs(runs: Iterable[ExpRun]) -> tuple[IoV, ...]:
    """The fewest intervals that hold exactly these runs, sorted."""
    return merged(IoV(*run, *run) for run in runs)


def split_by_experiment(runs: Iterable[ExpRun]) -> dict[int, tuple[ExpRun, ...]]:
    """The runs of each experiment, experiments and runs in order, each run once."""
    return {exp: tuple(group) for exp, group in groupby(sorted_runs(runs), key=itemgetter(0))}


def runs_overlapping(runs: Iterable[ExpRun], iov: IoV) -> tuple[ExpRun, ...]:
    """Those runs that the interval holds, in the order given."""
    return tuple(run for run in runs if iov.contains(run))


def runs_by_boundaries(
    boundaries: Iterable[ExpRun], runs: Iterable[ExpRun]
) -> dict[ExpRun, tuple[ExpRun, ...]]:
    """Cut a list of runs at boundaries.

    Args:
        boundaries: Runs at which something new begins, in any order; they need not be among ``runs``.
        runs: The runs to cut, in any order.
    Returns:
        For each boundary, in order, the runs from it to just before the next one, sorted; an empty tuple
        where there are none.
    Raises:
        ConfigurationError: If a run lies before the first boundary.
    """
    starts = sorted_runs(boundaries)
    groups: dict[ExpRun, list[ExpRun]] = {start: [] for start in starts}
    for run in sorted_runs(runs):
        position = bisect_right(starts, run)
        if position == 0:
            first = f"the first boundary {starts[0]}" if starts else "any boundary (there are none)"
            raise ConfigurationError(f"the run {run} lies before {first}; add a boundary at or before it.")
        groups[starts[position - 1]].append(run)
    return {start: tuple(group) for start, group in groups.items()}


def iovs_from_boundaries(boundaries: Iterable[ExpRun]) -> tuple[IoV, ...]:
    """The intervals between boundaries: each ends just before the next begins, the last is open for ever."""
    starts = sorted_runs(boundaries)
    between = tuple(IoV(*start).ending_before(end) for start, end in pairwise(starts))
    return (*between, IoV(*starts[-1])) if starts else ()
