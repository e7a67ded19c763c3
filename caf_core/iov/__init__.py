"""Runs and intervals of validity."""

from caf_core.iov.exprun import ExpRun, as_exprun, as_runs
from caf_core.iov.interval import IoV, as_iov
from caf_core.iov.runs import (
    iov_of_runs,
    iovs_from_boundaries,
    iovs_of_runs,
    runs_by_boundaries,
    runs_overlapping,
    sorted_runs,
    split_by_experiment,
)
from caf_core.iov.vectors import first_overlap, gaps, hull, merged

__all__ = [
    "ExpRun",
    "IoV",
    "as_exprun",
    "as_iov",
    "as_runs",
    "first_overlap",
    "gaps",
    "hull",
    "iov_of_runs",
    "iovs_from_boundaries",
    "iovs_of_runs",
    "merged",
    "runs_by_boundaries",
    "runs_overlapping",
    "sorted_runs",
    "split_by_experiment",
]
