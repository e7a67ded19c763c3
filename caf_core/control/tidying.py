"""Removing collector output that nobody will need, as ``keep_collector_output`` says."""

import shutil

from caf_core.control.collecting import collector_dir
from caf_core.control.resolve import Resolved


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
            shutil.rmtree(collector_dir(one, iteration) / part.name, ignore_errors=True)
            (collector_dir(one, iteration) / "index.json").unlink(missing_ok=True)
