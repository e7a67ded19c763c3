"""Removing collector output that nobody will need, as ``keep_collector_output`` says."""

import shutil

from caf_core.control.resolved import Resolved


def tidy(one: Resolved, iteration: int, *, last: bool) -> None:
    """Remove the output of an iteration that has ended well, unless it is kept.

    Args:
        one: The calibration.
        iteration: The iteration.
        last: Whether the calibration has completed with it.
    """
    for part in one.collections:
        keep = part.collection.keep_collector_output or one.settings["keep_collector_output"]
        if keep == "failed" or (keep == "last" and not last):
            shutil.rmtree(one.collector_dir(iteration) / part.name, ignore_errors=True)
            one.index_path(iteration).unlink(missing_ok=True)
