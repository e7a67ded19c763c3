"""Where everything is: one row a calibration."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import field, frozen

from caf_core.calibration.journal import journals, newest
from caf_core.calibration.states import END_STATES, State
from caf_core.control.account import Account, read_account
from caf_core.control.lease import controller_lives
from caf_core.control.places import PLACE, PRIVATE, earlier_place, renamed
from caf_core.control.store.opening import open_for_reading, told_errors
from caf_core.jobs.files import read_job, read_task
from caf_core.json_text import COMPACT, exact_json

COLLECTOR_KINDS = ("collector", "submission")
"""Kinds of jobs whose tasks a user counts: those of collections, and of ``caf submit``."""


@frozen
class Waiting:
    """Tasks that wait for the same reason.

    Args:
        state: ``init``, ``submitted`` or ``running``.
        reason: What the scheduler says.
        count: How many.
    """

    state: str
    reason: str
    count: int


@frozen
class CalibrationRow:
    """One calibration.

    Args:
        name: Its name.
        state: Its state.
        checkpoint: Where it goes on after a failure.
        iteration: Counts from 0.
        max_iterations: The last one that is allowed.
        depends_on: The calibrations that it waits for.
        tasks: Tasks of this iteration by state: ``init``, ``submitted``, ``running``, ``failed``,
            ``cancelled``, ``completed``.
        executions: Algorithm executions of this iteration by result; ``running`` for those without one.
        convergence: How it converged, once it has completed.
        since: When it entered its state [s since the epoch].
        reason: Why it is there, if that was written down.
        waiting: What the scheduler says of tasks that have not ended, the most frequent first.
        account: What it has come to, once it has completed or failed.
        blocked_by: The calibration that it depends on, itself or through others, and that has failed.
    """

    name: str
    state: str
    checkpoint: str
    iteration: int
    max_iterations: int
    depends_on: tuple[str, ...]
    tasks: Mapping[str, int]
    executions: Mapping[str, int]
    convergence: str
    since: float | None
    reason: str
    waiting: tuple[Waiting, ...] = ()
    account: Account = field(factory=Account)
    blocked_by: str | None = None


@frozen
class JobRow:
    """A job without a calibration (``caf submit``)."""

    name: str
    tasks: Mapping[str, int]
    waiting: tuple[Waiting, ...] = ()


@frozen
class Overview:
    """An output directory.

    Args:
        directory: The directory.
        calibrations: In the order of the script.
        jobs: Jobs without a calibration.
        controller: Host, pid, start and last sign of life of the controller that drives it now.
        how: How the last controller ended; empty if it was killed, or is alive.
        ended: When it ended [s since the epoch].
    """

    directory: Path
    calibrations: tuple[CalibrationRow, ...]
    jobs: tuple[JobRow, ...]
    controller: Mapping[str, Any] | None
    how: str
    ended: float | None


@frozen
class Reader:
    """A checkpoint that is open for reading.

    Args:
        models: Its tables (see ``caf_core.control.store.models``).
        rows: Rows of an SQL query: ``rows("... WHERE a = ?", ("x",))``.
        directory: The output directory.
    """

    models: Any
    rows: Callable[..., list[tuple[Any, ...]]]
    directory: Path = Path()

    def place(self, path: str) -> Path:
        """What the checkpoint says relative to the output directory, as an absolute path."""
        return self.directory.absolute() / path

    def line(self, job: Path, index: int) -> dict[str, Any]:
        """The line of a task, with the paths of where the output directory is now, if no controller has
        opened it since it was moved.
        """
        line, now = read_task(job, index), self.directory.absolute()
        noted = self.models.Setting.get_or_none(self.models.Setting.key == PLACE)
        before = earlier_place(None if noted is None else noted.value, now)
        if before:
            line = json.loads(renamed(exact_json(line, separators=COMPACT).encode(), before, str(now)))
        return line


@contextmanager
def reading(directory: Path) -> Iterator[Reader]:
    """The tables of an output directory.

    Raises:
        CheckpointError: If there is no checkpoint, or it cannot be read.
    """
    database, models = open_for_reading(directory)
    try:
        execute: Any = database.execute_sql  # peewee is untyped
        with told_errors(directory):
            yield Reader(models, lambda sql, values=(): list(execute(sql, values)), directory)
    finally:
        database.close()


def read_overview(directory: Path) -> Overview:
    """Where everything is.

    Raises:
        CheckpointError: If there is no checkpoint, or it cannot be read.
    """
    with reading(directory) as store:
        job = store.models.Job
        jobs = list(job.select().where(job.kind.in_(COLLECTOR_KINDS)).order_by(job.created))
        since = dict(store.rows(_SINCE))
        table = store.models.Calibration
        rows = [_row(store, row, jobs, since) for row in table.select().order_by(table.position)]
        names = {row.name for row in rows}
        loose = [
            JobRow(one.calibration, _tasks(store, [one]), _waiting(store, [one]))
            for one in jobs
            if one.calibration not in names
        ]
        how, ended = (store.rows(_LAST_PROCESS) or [("", None)])[0]
    return Overview(directory, tuple(rows), tuple(loose), controller_lives(directory / PRIVATE), how, ended)


_SINCE = """
    SELECT calibration, time FROM transition
    WHERE id IN (SELECT max(id) FROM transition GROUP BY calibration)"""
_LAST_PROCESS = "SELECT how, ended FROM process ORDER BY id DESC LIMIT 1"
_STATES = """
    SELECT CASE WHEN state = 'failed' AND failure = 'cancelled' THEN failure ELSE state END AS word, count(*)
    FROM task WHERE job = ? GROUP BY word"""
_REASONS = """
    SELECT state, reason, count(*) FROM task
    WHERE job = ? AND reason != '' AND state IN ('init', 'submitted', 'running')
    GROUP BY state, reason ORDER BY count(*) DESC LIMIT 5"""
_RESULTS = "SELECT result, count(*) FROM execution WHERE calibration = ? AND iteration = ? GROUP BY result"


def _row(store: Reader, row: Any, jobs: list[Any], since: Mapping[str, float]) -> CalibrationRow:
    mine = (row.name, row.iteration)
    executions = Counter(dict(store.rows(_RESULTS, mine))) + _going_on(store, *mine)
    of_mine = [job for job in jobs if (job.calibration, job.iteration) == mine]
    return CalibrationRow(
        name=row.name,
        state=row.state,
        checkpoint=row.checkpoint,
        iteration=row.iteration,
        max_iterations=row.max_iterations,
        depends_on=tuple(json.loads(row.depends_on)),
        tasks=_tasks(store, of_mine),
        waiting=_waiting(store, [*of_mine, *_plans_of(store, *mine)]),
        executions=executions,
        # The one written down is that of the last time.
        convergence=row.convergence if row.state == State.COMPLETED else "",
        since=since.get(row.name),
        reason=row.reason,
        account=read_account(store.directory, row.name, row.iteration)
        if row.state in END_STATES
        else Account(),
        blocked_by=failed_dependency(store, row.name),
    )


def failed_dependency(store: Reader, name: str) -> str | None:
    """The calibration for which another one cannot be started: one that has failed and that it depends on,
    itself or through others.
    """
    known = {row.name: row for row in store.models.Calibration.select()}
    ahead, seen = [name], {name}
    while ahead:
        for dependency in json.loads(known[ahead.pop()].depends_on):
            if dependency in known and dependency not in seen:
                if known[dependency].state == State.FAILED:
                    return str(dependency)
                seen.add(dependency)
                ahead.append(dependency)
    return None


_PLANS = """
    SELECT directory FROM job WHERE calibration = ? AND iteration = ? AND kind = 'execution'
    AND key IN (SELECT job FROM intent WHERE state IN ('intended', 'issued'))"""


_RECORDED = "SELECT ask FROM execution WHERE calibration = ? AND iteration = ?"


def _going_on(store: Reader, calibration: str, iteration: int) -> Counter[str]:
    """What plans that are being carried out have come to beside what is recorded, by result; ``running`` for
    what they are at.
    """
    counts: Counter[str] = Counter()
    for (directory,) in store.rows(_PLANS, (calibration, iteration)):
        recorded = {key for (key,) in store.rows(_RECORDED, (calibration, iteration))}
        for key, one in newest(journals(store.place(directory)), lambda _: True).items():
            if key not in recorded:
                counts["running" if one.answer is None else one.answer.get("result", "boundaries")] += 1
    return counts


def _plans_of(store: Reader, calibration: str, iteration: int) -> list[Any]:
    """The jobs that carry plans out, oldest first; they may wait at a scheduler as those of collectors do."""
    job = store.models.Job
    mine = (job.calibration == calibration) & (job.iteration == iteration) & (job.kind == "execution")
    return list(job.select().where(mine).order_by(job.created))


def _waiting(store: Reader, jobs: list[Any]) -> tuple[Waiting, ...]:
    """What the scheduler says of tasks that have not ended."""
    found: dict[tuple[str, str], int] = {}
    for job in {(job.kind, job.name): job for job in jobs}.values():
        for state, reason, count in store.rows(_REASONS, (job.key,)):
            found[state, reason] = found.get((state, reason), 0) + count
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return tuple(Waiting(state, reason, count) for (state, reason), count in ordered)


def _tasks(store: Reader, jobs: list[Any]) -> dict[str, int]:
    """The tasks of some jobs by state; of a collection that was submitted again the last job counts."""
    latest = {job.name: job for job in jobs}
    counts: dict[str, int] = {}
    for job in latest.values():
        known = dict(store.rows(_STATES, (job.key,)))
        files = read_job(store.place(job.directory))
        # Tasks that wait have no row yet; results of an earlier job that are used again have none here.
        known["init"] = known.get("init", 0) + max(0, (files.size if files else 0) - sum(known.values()))
        layout = json.loads(job.layout) if job.layout else None
        known["completed"] = known.get("completed", 0) + sum(row is not None for row in layout or ())
        for state, number in known.items():
            if number:
                counts[state] = counts.get(state, 0) + number
    return counts
