"""Why a task failed, in one sentence, from its record and what it printed."""

from pathlib import Path

from caf_core.calibration.collector import RUNS_FILE
from caf_core.calibration.execution import OUTCOME_FILE
from caf_core.jobs.ledger import FailureKind, TaskChange, TaskState
from caf_core.jobs.service import JobService
from caf_core.text import clause

_TAIL = 4096
_LONGEST = 500


def last_lines(path: Path, count: int = 1) -> list[str]:
    """The last lines of a file that are not empty; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


def explain(change: TaskChange, stderr: Path) -> str:
    """One task's failure: what ended it, and the last line that it printed to stderr."""
    what = _ended_early(change) or change.reason or _code(change)
    said = [_shortened(line) for line in last_lines(stderr)]
    if not said or said[0] in what:
        return what
    return said[0] if what in said[0] else f"{what}: {said[0]}"


def _code(change: TaskChange) -> str:
    return (
        f"exit code {change.exit_code}" if change.exit_code is not None else str(change.failure or "unknown")
    )


def _ended_early(change: TaskChange) -> str:
    """What it means that a file is not there that is written last, after the user's function returned."""
    for name in (RUNS_FILE, OUTCOME_FILE):
        if change.failure is FailureKind.BAD_OUTPUT and f"no output matches {name!r}" in change.reason:
            return f"it ended without returning, so there is no {name} (does something in it call exit?)"
    return ""


def _shortened(line: str) -> str:
    """A line that fits into a sentence, without what would confuse a terminal."""
    plain = "".join(character if character.isprintable() else " " for character in line).strip()
    plain = clause(plain)
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]} ..."


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
