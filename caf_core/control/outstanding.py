"""What of an output directory is at batch systems or executes, as far as is written down."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Any

from attrs import frozen

from caf_core.jobs.ledger import IntentState

EXECUTIONS = "caf.executions"
"""The backend of algorithms where no other is named: the resident process of this machine."""


@frozen
class Left:
    """A submission with tasks that have not ended.

    Args:
        token: Its token, which is the name of its jobs at the scheduler.
        job: Key of its job.
        calibration: Whose it is.
        backend: The backend's name.
        directory: Where it lies.
        tasks: The tasks that have not ended: position -> index and attempt.
        ids: The scheduler's ids of all its tasks by position; empty if no answer was written down.
    """

    token: str
    job: str
    calibration: str
    backend: str
    directory: Path
    tasks: Mapping[int, tuple[int, int]]
    ids: tuple[str, ...]


def read_left(models: Any, directory: Path, calibration: str | None = None) -> list[Left]:
    """The submissions that have tasks which have not ended, oldest first.

    Args:
        models: The tables of a checkpoint.
        directory: The output directory.
        calibration: Only those of this one.
    """
    table = models.Intent
    is_open = table.state.in_([str(IntentState.INTENDED), str(IntentState.ISSUED)])
    jobs = {row.key: row for row in models.Job.select()}
    rows = [row for row in table.select().where(is_open).order_by(table.time) if row.job in jobs]
    # A crash may have come between the intent of another attempt and the word that the last one failed.
    latest: dict[tuple[str, int], int] = {}
    lines = {
        row.token: list(zip(json.loads(row.tasks), json.loads(row.attempts), strict=True)) for row in rows
    }
    for row in rows:
        for index, attempt in lines[row.token]:
            latest[row.job, index] = max(attempt, latest.get((row.job, index), 0))
    found = []
    for row in rows:
        job = jobs[row.job]
        if calibration not in (None, job.calibration):
            continue
        ended = _ended(models, row)
        tasks = {
            position: (index, attempt)
            for position, (index, attempt) in enumerate(lines[row.token])
            if index not in ended and latest[row.job, index] == attempt
        }
        if tasks:
            ids = tuple(json.loads(row.ids))
            place = directory / row.directory
            found.append(Left(row.token, row.job, job.calibration, job.backend, place, tasks, ids))
    return found


def _ended(models: Any, intent: Any) -> set[int]:
    """The tasks of a submission whose end is written down."""
    table = models.Attempt
    rows = table.select(table.task).where((table.job == intent.job) & (table.token == intent.token))
    return {index for (index,) in rows.tuples()}


def count_left(models: Any, here: frozenset[str] | set[str]) -> dict[str, int]:
    """How many tasks go on without a controller, by backend.

    Args:
        models: The tables of a checkpoint.
        here: The backends that execute on this machine, whose tasks end with the controller.
    """
    found: dict[str, int] = {}
    for left in read_left(models, Path()):
        if left.backend not in here:
            found[left.backend] = found.get(left.backend, 0) + len(left.tasks)
    return found


def left_text(counts: Mapping[str, int], directory: Path) -> str:
    """What goes on, and how to end it, in a sentence; empty if nothing goes on."""
    if not counts:
        return ""
    where = " and ".join(f"{number} task{'s' * (number != 1)} at {name}" for name, number in counts.items())
    goes = "goes" if sum(counts.values()) == 1 else "go"
    return f"{where} {goes} on; to end that: caf cancel -p {quote(str(directory))}"


@contextmanager
def interruptible(directory: Path) -> Iterator[None]:
    """Let a ``KeyboardInterrupt`` say what goes on: one that comes before or after signals are heeded."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(str(error) or stopped_at_once(directory)) from error


def stopped_at_once(directory: Path) -> str:
    """What is said when nobody has counted what goes on."""
    return f"stopped at once. What was begun goes on; to end that: caf cancel -p {quote(str(directory))}"
