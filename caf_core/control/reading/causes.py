"""Why things failed: everything that is known of a task or an execution, in one place."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from caf_core.calibration.journal import Recorded
from caf_core.control.lease import controller_lives
from caf_core.control.places import PRIVATE
from caf_core.control.reading.naming import Work, executions, runs_text, task
from caf_core.control.reading.overview import COLLECTOR_KINDS, Reader
from caf_core.errors import CheckpointError
from caf_core.jobs.claims import latest_folder
from caf_core.jobs.files import read_splits, submission_resources
from caf_core.jobs.records import read_record
from caf_core.jobs.task import Resources


@frozen
class Attempt:
    """One attempt of a task.

    Args:
        number: Counts from 1.
        state: ``completed`` or ``failed``; ``running`` or ``submitted`` if it has not ended.
        failure: The kind of the failure.
        exit_code: Of its process.
        signal: Which ended it.
        reason: What the record or the scheduler says.
        host: Where it executed.
        seconds: How long it took.
        peak_memory_mb: What it used.
        memory_mb: What was asked for.
        walltime_s: The time that was asked for.
        scheduler_id: Its name at the scheduler.
        directory: Its folder, with ``stdout`` and ``stderr``.
        submitted: When it was handed over [s since the epoch].
        begun: Whether it has left its mark at its beginning, read by a controller or not.
    """

    number: int
    state: str
    failure: str
    exit_code: int | None
    signal: int | None
    reason: str
    host: str
    seconds: float | None
    peak_memory_mb: float | None
    memory_mb: int | None
    walltime_s: float | None
    scheduler_id: str
    directory: Path
    submitted: float | None = None
    begun: bool = False


@frozen
class Answer:
    """What an execution answered.

    Args:
        result: The result.
        message: The algorithm's words.
        runs: The runs that it was executed on.
        iov: The interval for which it was executed.
        entries: The entries in them; ``None`` if nobody counted them.
        seconds: How long it took; ``None`` if that is not known.
    """

    result: str
    message: str
    runs: str
    iov: str
    entries: int | None = None
    seconds: float | None = None


@frozen
class Case:
    """All that is known of one task or execution.

    Args:
        work: Which one.
        state: Its state.
        attempts: Oldest first.
        line: How it is written down (see ``caf_core.jobs.files.task_line``).
        answer: Of an execution that has one.
        split: The tasks that took its place, if it was split in two.
        waits: Why there is no attempt yet.
        log: Which part of the log of its task belongs to it [bytes].
    """

    work: Work
    state: str
    attempts: tuple[Attempt, ...]
    line: Mapping[str, Any]
    answer: Answer | None = None
    split: tuple[str, ...] = ()
    waits: str = ""
    log: tuple[int, int | None] = (0, None)

    @property
    def last(self) -> Attempt | None:
        """The last attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def failed(self) -> bool:
        """Whether it failed, as a task or by its answer."""
        return self.state == "failed" or (self.answer is not None and self.answer.result == "failure")


def read_case(store: Reader, work: Work) -> Case:
    """Everything about one task or execution.

    Raises:
        CheckpointError: If its files are gone.
    """
    models = store.models
    try:
        line = store.line(work.directory, work.index)
    except (OSError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"the files of {work.name} in {work.directory} cannot be read ({error}); nothing more is known "
            "of it."
        ) from error
    now = models.Task.get_or_none((models.Task.job == work.job) & (models.Task.task == work.index))
    rows = models.Attempt.select().where(
        (models.Attempt.job == work.job) & (models.Attempt.task == work.index)
    )
    ended = {row.attempt: row for row in rows.order_by(models.Attempt.attempt)}
    if now is not None and now.attempt and now.attempt not in ended:
        ended[now.attempt] = now
    split = [one for one in read_splits(work.directory) if one.parent == work.index]
    prefix = work.name.rpartition("/")[0]
    attempts = tuple(_attempt(store, work, line, row) for row in ended.values())
    return Case(
        work=work,
        state=_state_of(work.execution) or (now.state if now is not None else "init"),
        attempts=attempts,
        line=line,
        answer=_answer(work.execution),
        log=work.execution.log if work.execution else (0, None),
        split=tuple(f"{prefix}/{child}" for one in split for child in one.children),
        waits="" if attempts else (now.reason if now is not None else "") or _why_it_waits(store, work),
    )


def _why_it_waits(store: Reader, work: Work) -> str:
    """Why a task was never submitted."""
    if controller_lives(store.directory / PRIVATE) is None:
        return "no controller drives this directory; start the script or command again"
    said = store.rows(_WAITS, (work.job,))
    if said:
        return f"others of its job wait too: {said[0][0]}"
    ((there,),) = store.rows(_THERE, (work.job,))
    if there:
        return (
            f"{there} task(s) of its job are at {work.backend}, and it waits for its turn (a limit such as "
            "global_job_limit, or an interval between submissions)"
        )
    return (
        f"caf is about to submit it, or waits for room at {work.backend} (global_job_limit counts all jobs "
        "that you have there)"
    )


_WAITS = """
    SELECT reason FROM task WHERE job = ? AND state = 'init' AND reason != ''
    GROUP BY reason ORDER BY count(*) DESC LIMIT 1"""
_THERE = "SELECT count(*) FROM task WHERE job = ? AND state IN ('submitted', 'running')"


def failed_work(store: Reader, calibration: str, iteration: int) -> list[Work]:
    """Tasks and executions of an iteration that failed, in order."""
    jobs = store.models.Job
    rows = jobs.select().where(
        (jobs.calibration == calibration) & (jobs.iteration == iteration) & jobs.kind.in_(COLLECTOR_KINDS)
    )
    latest = {row.name: row for row in rows.order_by(jobs.created)}
    found = []
    for job in latest.values():
        query = "SELECT task FROM task WHERE job = ? AND state = 'failed' ORDER BY task"
        found += [task(store, job, index) for (index,) in store.rows(query, (job.key,))]
    return found + [
        work
        for work in executions(store, calibration)
        if work.iteration == iteration
        and work.execution is not None
        and (work.execution.answer or {}).get("result") == "failure"
    ]


def _attempt(store: Reader, work: Work, line: Mapping[str, Any], row: Any) -> Attempt:
    intent = store.models.Intent.get_or_none(store.models.Intent.token == row.token)
    asked = Resources()
    record: Mapping[str, Any] = {}
    begun = False
    folder = f"{line['output_dir']}/attempt-{row.attempt}"
    if intent is not None:
        place, tasks = store.place(intent.directory), json.loads(intent.tasks)
        asked = submission_resources(place, asked)
        record = _record(place, tasks, work.index)
        if work.index in tasks:
            position = tasks.index(work.index)
            begun = row.started is not None or (place / "claims" / str(position)).exists()
            folder = latest_folder(str(place), position, folder)
    seconds = row.ended - row.started if row.ended and row.started else None
    return Attempt(
        number=row.attempt,
        state=row.state,
        failure=row.failure or "",
        exit_code=row.exit_code,
        signal=-row.exit_code if (row.exit_code or 0) < 0 else None,
        reason=row.reason or str(record.get("message") or ""),
        host=row.host,
        seconds=seconds,
        peak_memory_mb=row.peak_memory_mb,
        memory_mb=asked.memory_mb,
        walltime_s=asked.walltime.total_seconds() if asked.walltime else None,
        scheduler_id=row.scheduler_id,
        directory=Path(folder),
        submitted=intent.time if intent is not None else None,
        begun=begun,
    )


def _record(submission: Path, tasks: list[int], index: int) -> Mapping[str, Any]:
    """The exit record of a task; empty if there is none."""
    if index not in tasks:
        return {}
    try:
        return read_record(str(submission / "records" / f"{tasks.index(index)}.json"))
    except (OSError, ValueError):
        return {}


def _state_of(one: Recorded | None) -> str:
    """How an execution stands, whatever became of the task in which it happened; empty for a task."""
    if one is None:
        return ""
    if one.answer is None:
        return "running"
    return "failed" if one.answer.get("result") == "failure" else "completed"


def _answer(one: Recorded | None) -> Answer | None:
    if one is None or one.answer is None:
        return None
    result = one.answer.get("result", "boundaries")
    facts = (one.answer.get("entries"), one.answer.get("seconds"))
    return Answer(result, one.answer.get("message", ""), runs_text(one.runs), one.iov, *facts)
