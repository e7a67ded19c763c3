"""How verdicts speak of runs and of what the algorithm said."""

from collections.abc import Sequence

from caf_core.calibration.plans import Executed, Result, Verdict
from caf_core.iov import ExpRun

NO_RUNS = Verdict(Result.NOT_ENOUGH_DATA, "there are no runs with data")


def named(runs: Sequence[ExpRun]) -> str:
    """Runs in few words."""
    return f"run {runs[0]}" if len(runs) == 1 else f"the {len(runs)} runs from {runs[0]} to {runs[-1]}"


def ending(executed: Executed, runs: Sequence[ExpRun]) -> Verdict:
    """The verdict of a plan that ends with this execution."""
    if executed.result.success:
        return Verdict(executed.result)
    what = "failed" if executed.result is Result.FAILURE else "had too few data"
    return Verdict(executed.result, f"the algorithm {what} on {named(runs)}" + said(executed))


def said(executed: Executed | Verdict) -> str:
    """The algorithm's own words, to be put behind a sentence."""
    return f": {executed.message}" if executed.message else ""
