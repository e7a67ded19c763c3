"""What the controller writes down, and reads back after a restart. Only the controller's thread touches
it."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import peewee
from attrs import frozen

from caf_core.calibration.carry_out import Question
from caf_core.calibration.journal import iov_text
from caf_core.calibration.plans import Commit, commit_rows, commits_of
from caf_core.calibration.states import CHECKPOINTS, State
from caf_core.conditions.payload import Entry
from caf_core.conditions.validity import unique
from caf_core.control.store import FILE_NAME
from caf_core.control.store.opening import DATABASE_ERRORS, open_for_writing, unusable
from caf_core.iov import ExpRun, IoV
from caf_core.json_text import json_text
from caf_core.text import storable


@frozen
class StoredCalibration:
    """A calibration as the checkpoint has it."""

    name: str
    state: State
    checkpoint: State
    iteration: int
    collect_fingerprint: str
    algorithm_fingerprint: str
    convergence: str
    reason: str


@frozen
class StoredExecution:
    """The recorded answer of an algorithm to one ask."""

    ask: str
    algorithm: str
    fingerprint: str
    runs: tuple[ExpRun, ...]
    iov: str
    result: str
    message: str
    answer: Mapping[str, Any]
    directory: Path
    iteration: int = 0

    def answers(self, question: Question) -> bool:
        """Whether it is about the same runs and interval as a question."""
        return self.runs == question.runs and self.iov == iov_text(question)


@frozen
class IterationEnd:
    """How an iteration ended.

    Args:
        result: The algorithms' result.
        convergence: How the calibration stands.
        missing: What the collectors did not deliver.
        commits: By algorithm.
        payloads: (algorithm, name, revision, IoV) of every payload.
        asked: The keys of the questions that the plans asked; what else is recorded answers those of former
            plans, and is dropped. Nothing is dropped if it is empty.
    """

    result: str
    convergence: str
    missing: Sequence[str]
    commits: Mapping[int, Sequence[Commit]]
    payloads: Sequence[tuple[str, str, str, str]]
    asked: Set[str] = frozenset()


@frozen
class StoredJob:
    """A job that the checkpoint knows."""

    key: str
    calibration: str
    iteration: int
    kind: str
    name: str
    directory: Path
    fingerprint: str
    layout: Any


class CheckpointStore:
    """The checkpoint of one output directory.

    Args:
        directory: The output directory; it exists.
        clock: Seconds since the epoch.
    """

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.directory = directory.absolute()
        self.path = directory / FILE_NAME
        self._clock = clock
        self.database, self.models = open_for_writing(directory)

    def close(self) -> None:
        """Leave a file that everybody who may read it can read (no write-ahead log)."""
        try:
            with suppress(peewee.OperationalError):
                # A reader holds the log open, or the disk is full: the next controller folds it in.
                self.database.execute_sql("PRAGMA journal_mode=DELETE")
        finally:
            self.database.close()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """One transaction; an error of the database becomes a ``CheckpointError``."""
        try:
            with self.database.atomic():
                yield
        except DATABASE_ERRORS as error:
            raise unusable(self.path, error) from error

    def relative(self, path: str | Path) -> str:
        """How the checkpoint writes a path: relative to the output directory, which may be moved."""
        path = Path(path).absolute()
        return str(path.relative_to(self.directory) if path.is_relative_to(self.directory) else path)

    def begin_process(self, host: str, pid: int, version: str) -> int:
        """Write down that a controller started; returns its number."""
        with self.batch():
            return int(
                self.models.Process.insert(
                    host=host, pid=pid, version=version, started=self._clock()
                ).execute()
            )

    def end_process(self, number: int, how: str) -> None:
        """Write down that a controller ended."""
        with self.batch():
            self.models.Process.update(ended=self._clock(), how=how).where(
                self.models.Process.id == number
            ).execute()

    def calibrations(self) -> list[StoredCalibration]:
        """All of them, in the user's order."""
        rows = self.models.Calibration.select().order_by(self.models.Calibration.position)
        return [found for row in rows if (found := self.calibration(row.name)) is not None]

    def calibration(self, name: str) -> StoredCalibration | None:
        """What is known of a calibration."""
        row = self.models.Calibration.get_or_none(self.models.Calibration.name == name)
        if row is None:
            return None
        return StoredCalibration(
            row.name,
            State(row.state),
            State(row.checkpoint),
            row.iteration,
            row.collect_fingerprint,
            row.algorithm_fingerprint,
            row.convergence,
            row.reason,
        )

    def enter(self, name: str, position: int, max_iterations: int, depends_on: Sequence[str]) -> None:
        """Write a calibration down, or bring its settings up to date."""
        table = self.models.Calibration
        settings = {
            "position": position,
            "max_iterations": max_iterations,
            "depends_on": json_text(list(depends_on)),
        }
        with self.batch():
            table.insert(name=name, state=State.INIT, checkpoint=State.INIT, **settings).on_conflict(
                conflict_target=[table.name], update=settings
            ).execute()

    def update(self, name: str, **values: Any) -> None:
        """Change facts about a calibration: fingerprints, convergence, reason."""
        with self.batch():
            self.models.Calibration.update(**values).where(self.models.Calibration.name == name).execute()

    def move(self, name: str, iteration: int, old: State, new: State, reason: str = "") -> None:
        """The one write of a move: the new state, its checkpoint, and a row of history."""
        values: dict[str, Any] = {"state": str(new), "iteration": iteration, "reason": reason}
        if new in CHECKPOINTS:
            values["checkpoint"] = str(new)
        with self.batch():
            self.models.Calibration.update(**values).where(self.models.Calibration.name == name).execute()
            self.models.Transition.insert(
                calibration=name,
                iteration=iteration,
                old=str(old),
                new=str(new),
                time=self._clock(),
                reason=reason,
            ).execute()

    def begin_job(self, job: StoredJob, backend: str) -> None:
        """Write a job down before anything of it is submitted."""
        with self.batch():
            # One of this name that was dropped may have been heard of afterwards.
            self.drop_jobs([job.key])
            self.models.Job.replace(
                key=job.key,
                calibration=job.calibration,
                iteration=job.iteration,
                kind=job.kind,
                name=job.name,
                backend=backend,
                directory=self.relative(job.directory),
                fingerprint=job.fingerprint,
                layout=json_text(_each_place(job.layout, self.relative)),
                created=self._clock(),
            ).execute()

    def jobs(self, calibration: str, iteration: int, kind: str) -> list[StoredJob]:
        """The jobs of an iteration, oldest first."""
        table = self.models.Job
        rows = table.select().where(
            (table.calibration == calibration) & (table.iteration == iteration) & (table.kind == kind)
        )
        return [
            StoredJob(
                row.key,
                row.calibration,
                row.iteration,
                row.kind,
                row.name,
                self.directory / row.directory,
                row.fingerprint,
                _each_place(json.loads(row.layout), lambda place: str(self.directory / place)),
            )
            for row in rows.order_by(table.created)
        ]

    def is_busy(self, key: str) -> bool:
        """Whether something that was submitted for a job has not ended, as far as is written down."""
        table = self.models.Intent
        is_open = table.state.in_(("intended", "issued"))
        return bool(table.select().where((table.job == key) & is_open).exists())

    def backend_of(self, key: str) -> str:
        """The backend to which a job was given."""
        return str(self.models.Job.get_by_id(key).backend)

    def give_job(self, key: str, backend: str) -> None:
        """Give a job to another backend; nothing of it may be at its former one."""
        with self.batch():
            self.models.Job.update(backend=backend).where(self.models.Job.key == key).execute()

    def busy_backends(self) -> set[str]:
        """The backends at which something may be going on, as far as is written down."""
        intent, job = self.models.Intent, self.models.Job
        keys = intent.select(intent.job).where(intent.state.in_(("intended", "issued")))
        return {row.backend for row in job.select(job.backend).where(job.key.in_(keys)).distinct()}

    def record_executions(self, calibration: str, executions: Iterable[StoredExecution]) -> None:
        """Write down what an algorithm answered, in one transaction."""
        now = self._clock()
        executions = list(executions)
        directories = {path: self.relative(path) for path in {one.directory for one in executions}}
        rows = (
            {
                "calibration": calibration,
                "iteration": one.iteration,
                "ask": one.ask,
                "algorithm": one.algorithm,
                "fingerprint": one.fingerprint,
                "runs": json_text([[run.exp, run.run] for run in one.runs]),
                "iov": one.iov,
                "result": one.result,
                "message": one.message,
                "answer": json_text(one.answer),
                "directory": directories[one.directory],
                "time": now,
            }
            for one in executions
        )
        self._insert("execution", rows)

    def _insert(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Insert many rows, or replace them: peewee would take longer to write the statement than SQLite to
        carry it out."""
        rows = list(rows)
        if rows:
            names = list(rows[0])
            places = ", ".join("?" * len(names))
            statement = f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({places})"  # noqa: S608 - names of ours
            values = [
                tuple(storable(value) if isinstance(value, str) else value for value in row.values())
                for row in rows
            ]
            with self.batch():
                self.database.connection().executemany(statement, values)

    def executions(self, calibration: str, iteration: int) -> dict[str, StoredExecution]:
        """The recorded answers of an iteration, by ask."""
        table = self.models.Execution
        rows = (
            table.select()
            .where((table.calibration == calibration) & (table.iteration == iteration))
            .order_by(table.time)
        )
        return {
            row.ask: StoredExecution(
                ask=row.ask,
                algorithm=row.algorithm,
                fingerprint=row.fingerprint,
                runs=tuple(ExpRun(exp, run) for exp, run in json.loads(row.runs)),
                iov=row.iov,
                result=row.result,
                message=row.message,
                answer=json.loads(row.answer),
                directory=self.directory / row.directory,
                iteration=row.iteration,
            )
            for row in rows
        }

    def forget_failures(self, calibration: str, iteration: int) -> None:
        """Drop the recorded failures of algorithms, so that they are executed again."""
        table = self.models.Execution
        with self.batch():
            table.delete().where(
                (table.calibration == calibration)
                & (table.iteration == iteration)
                & (table.result == "failure")
            ).execute()

    def end_iteration(self, calibration: str, iteration: int, ended: "IterationEnd") -> None:
        """Write down how an iteration ended, and what it committed."""
        table = self.models.Payload
        commits = {index: commit_rows(ones) for index, ones in ended.commits.items()}
        with self.batch():
            self.models.Iteration.replace(
                calibration=calibration,
                number=iteration,
                result=ended.result,
                convergence=ended.convergence,
                missing=json_text(list(ended.missing)),
                commits=json_text(commits),
                ended=self._clock(),
            ).execute()
            table.delete().where(
                (table.calibration == calibration) & (table.iteration == iteration)
            ).execute()
            names = ("calibration", "iteration", "algorithm", "name", "revision", "iov")
            rows = ((calibration, iteration, *payload) for payload in ended.payloads)
            self._insert("payload", (dict(zip(names, row, strict=True)) for row in rows))
            if ended.asked:
                self._drop_unasked(calibration, iteration, ended.asked)

    def _drop_unasked(self, calibration: str, iteration: int, asked: Set[str]) -> None:
        table = self.models.Execution
        mine = (table.calibration == calibration) & (table.iteration == iteration)
        for row in table.select(table.ask).where(mine):
            if row.ask not in asked:
                table.delete().where(mine & (table.ask == row.ask)).execute()

    def payloads(self, calibration: str, iteration: int) -> tuple[Entry, ...] | None:
        """What an iteration that ended committed; ``None`` if it did not end."""
        table, ended = self.models.Payload, self.models.Iteration
        if ended.get_or_none((ended.calibration == calibration) & (ended.number == iteration)) is None:
            return None
        rows = table.select().where((table.calibration == calibration) & (table.iteration == iteration))
        return unique(Entry(row.name, row.revision, IoV.parse(row.iov)) for row in rows)

    def note(self, key: str, value: str) -> None:
        """Write one word about the process down, in place of an earlier one."""
        with self.batch():
            self.models.Setting.replace(key=key, value=value).execute()

    def noted(self, key: str) -> str | None:
        """What was written down with ``note``."""
        row = self.models.Setting.get_or_none(self.models.Setting.key == key)
        return None if row is None else str(row.value)

    def commits(self, calibration: str, iteration: int) -> dict[int, tuple[Commit, ...]]:
        """What an iteration that ended committed, by algorithm."""
        table = self.models.Iteration
        row = table.get_or_none((table.calibration == calibration) & (table.number == iteration))
        if row is None:
            return {}
        return {int(index): commits_of(rows) for index, rows in json.loads(row.commits).items()}

    def place(self, name: str, state: State, iteration: int, reason: str, **prints: str) -> None:
        """Put a calibration where a restart begins, with the fingerprints that led there."""
        table = self.models.Calibration
        old = self.calibration(name)
        values = {"state": str(state), "iteration": iteration, "reason": reason, **prints}
        if state in CHECKPOINTS:
            values["checkpoint"] = str(state)
        with self.batch():
            table.update(**values).where(table.name == name).execute()
            if old is not None and (old.state is not state or old.iteration != iteration):
                self.models.Transition.insert(
                    calibration=name,
                    iteration=iteration,
                    old=str(old.state),
                    new=str(state),
                    time=self._clock(),
                    reason=reason,
                ).execute()

    def drop(self, calibration: str, *, collectors_from: int, executions_from: int) -> None:
        """Forget collector jobs, and what algorithms did, from an iteration on."""
        job, execution = self.models.Job, self.models.Execution
        with self.batch():
            rows = job.select(job.key).where(
                (job.calibration == calibration)
                & (
                    ((job.kind == "collector") & (job.iteration >= collectors_from))
                    | ((job.kind == "execution") & (job.iteration >= executions_from))
                )
            )
            self.drop_jobs([row.key for row in rows])
            for table, column in (
                (execution, execution.iteration),
                (self.models.Payload, self.models.Payload.iteration),
                (self.models.Iteration, self.models.Iteration.number),
            ):
                table.delete().where(
                    (table.calibration == calibration) & (column >= executions_from)
                ).execute()

    def drop_jobs(self, keys: Sequence[str]) -> None:
        """Forget jobs with all that belongs to them."""
        models = self.models
        for key in keys:
            for table in (models.Task, models.Attempt, models.Intent):
                table.delete().where(table.job == key).execute()
            models.Job.delete().where(models.Job.key == key).execute()


def _each_place(layout: Any, write: Callable[[str], str]) -> Any:
    """A job's layout with the directories of its rows written in another way."""
    return layout and [row and [write(row[0]), *row[1:]] for row in layout]
