"""How verdicts and reasons speak of runs and of what the algorithm said."""

from collections.abc import Sequence

from caf_core.calibration.plans import Executed, Gap, Result, Verdict
from caf_core.iov import ExpRun
from caf_core.text import counted

NO_RUNS = Verdict(Result.NOT_ENOUGH_DATA, "there are no runs with data")
ENOUGH = "enough data"
_LISTED = 8
"""How many runs are named one by one."""


def named(runs: Sequence[ExpRun]) -> str:
    """Runs in few words."""
    return f"run {runs[0]}" if len(runs) == 1 else f"the {len(runs)} runs from {runs[0]} to {runs[-1]}"


def too_few(executed: Executed) -> str:
    """That the data were not enough, how many there were, and what the algorithm said of it."""
    many = "" if executed.entries is None else f"{counted(executed.entries)}, "
    return f"{many}not enough data{said(executed.message)}"


def failure(executed: Executed) -> str:
    """That the algorithm failed, and what it said of it."""
    return f"failure{said(executed.message)}"


def listed(noun: str, runs: Sequence[ExpRun]) -> str:
    """``boundary (1,4)``, or ``boundaries (1,4), (1,7) and 3 more``."""
    texts = [f"({run})" for run in runs[:_LISTED]]
    if len(runs) > _LISTED:
        texts.append(f"{len(runs) - _LISTED} more")
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    if len(texts) == 1:
        return f"{noun} {texts[0]}"
    return f"{plural} {', '.join(texts[:-1])} and {texts[-1]}"


def ending(
    executed: Executed, runs: Sequence[ExpRun], gaps: tuple[Gap, ...] = (), notes: tuple[str, ...] = ()
) -> Verdict:
    """The verdict of a plan that ends with this execution."""
    if executed.result.success:
        return Verdict(executed.result, gaps=gaps, notes=notes)
    what = "failed" if executed.result is Result.FAILURE else "had too few data"
    message = f"the algorithm {what} on {named(runs)}" + said(executed.message)
    return Verdict(executed.result, message, gaps, notes)


def said(message: str) -> str:
    """The algorithm's own words, to be put behind a sentence."""
    return f": {message}" if message else ""
