"""Why a task failed, in one sentence, from its record and what it printed."""

from pathlib import Path

from caf_core.calibration.collector import RUNS_FILE
from caf_core.jobs.ledger import FailureKind, TaskChange, TaskState
from caf_core.jobs.service import JobService
from caf_core.text import with_last_line


def explain(change: TaskChange, stderr: Path) -> str:
    """One task's failure: what ended it, and the last line that it printed to stderr."""
    what = _ended_early(change) or change.reason or _code(change)
    return with_last_line(what, stderr)


def _code(change: TaskChange) -> str:
    return (
        f"exit code {change.exit_code}" if change.exit_code is not None else str(change.failure or "unknown")
    )


def _ended_early(change: TaskChange) -> str:
    """What it means that the list of runs is not there, which is written when the collector has returned."""
    if change.failure is FailureKind.BAD_OUTPUT and f"no output matches {RUNS_FILE!r}" in change.reason:
        return f"it ended without returning, so there is no {RUNS_FILE} (does something in it call exit?)"
    return ""


def _stderr(service: JobService, key: str, index: int) -> Path:
    directory = service.attempt_directory(key, index)
    return (directory or Path("nowhere")) / "stderr"


def why_it_failed(service: JobService, key: str) -> str:
    """The failures of a job in one sentence: the first in full, and how many there are."""
    failed = [change for change in service.tasks(key) if change.state is TaskState.FAILED]
    if not failed:
        return "it ended without a result"
    first = failed[0]
    text = explain(first, _stderr(service, key, first.index))
    total = service.status(key).total
    if total == 1:
        return text
    return f"{len(failed)} of {total} task(s) failed; task {first.index}: {text}"
