"""The ledger of jobs in the checkpoint store (see ``caf_core.jobs.ledger``)."""

import json
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter

from caf_core.control.store.models import FACTS
from caf_core.control.store.store import CheckpointStore
from caf_core.jobs.ledger import FailureKind, Intent, IntentState, JobRecord, TaskChange, TaskState
from caf_core.json_text import json_text

_INSERT = "INSERT OR REPLACE INTO {table} (job, task, {columns}) VALUES ({marks})"
_SELECT = f"SELECT task, {', '.join(FACTS)} FROM task WHERE job = ?"  # noqa: S608 - names of our own columns
_MARKS = ", ".join("?" * (len(FACTS) + 2))
_facts = attrgetter(*FACTS)


def _statement(table: str) -> str:
    return _INSERT.format(table=table, columns=", ".join(FACTS), marks=_MARKS)


class StoreLedger:
    """Writes intents and task facts into a checkpoint store.

    Args:
        store: The store; it stays open as long as the ledger is used.
        clock: Seconds since the epoch.
    """

    def __init__(self, store: CheckpointStore, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def intend(self, intent: Intent) -> None:
        """See ``Ledger``."""
        with self._store.batch():
            self._store.models.Intent.replace(
                token=intent.token,
                job=intent.job,
                backend=intent.backend,
                directory=self._store.relative(intent.directory),
                tasks=json_text(intent.tasks),
                attempts=json_text(intent.attempts),
                memory_mb=intent.memory_mb,
                state=str(IntentState.INTENDED),
                time=self._clock(),
            ).execute()

    def settle(self, token: str, state: IntentState, ids: Sequence[str] = ()) -> None:
        """See ``Ledger``."""
        table = self._store.models.Intent
        values: dict[str, str] = {"state": str(state)}
        if ids:
            values["ids"] = json_text(list(ids))
        with self._store.batch():
            table.update(**values).where(table.token == token).execute()

    def change(self, job: str, changes: Sequence[TaskChange]) -> None:
        """See ``Ledger``; one transaction, and no object a row."""
        rows = [_row(job, change) for change in changes]
        ended = [
            row
            for row, change in zip(rows, changes, strict=True)
            if change.state in (TaskState.COMPLETED, TaskState.FAILED)
        ]
        with self._store.batch():
            cursor = self._store.database.connection()
            cursor.executemany(_statement("task"), rows)
            if ended:
                cursor.executemany(_statement("attempt"), ended)

    def load(self, job: str) -> JobRecord:
        """See ``Ledger``."""
        models = self._store.models
        record = JobRecord()
        # Without peewee, which looks at every value: there may be a hundred thousand rows.
        for row in self._store.database.connection().execute(_SELECT, (job,)):
            record.tasks[row[0]] = _change(row)
        for row in models.Intent.select().where(models.Intent.job == job).order_by(models.Intent.time):
            intent = Intent(
                token=row.token,
                job=row.job,
                backend=row.backend,
                directory=self._store.directory / row.directory,
                tasks=tuple(json.loads(row.tasks)),
                attempts=tuple(json.loads(row.attempts)),
                memory_mb=row.memory_mb,
            )
            record.intents[row.token] = (intent, IntentState(row.state), tuple(json.loads(row.ids)))
        return record


def _row(job: str, change: TaskChange) -> tuple[object, ...]:
    return (
        job,
        change.index,
        *(_column(value) for value in _facts(change)),
    )


def _column(value: object) -> object:
    if isinstance(value, StrEnum):
        return value.value
    return _json(value) if isinstance(value, tuple) else value


@lru_cache(maxsize=16)
def _json(outputs: tuple[str, ...]) -> str:
    return json_text(outputs)


def _change(row: tuple[object, ...]) -> TaskChange:
    values = dict(zip(FACTS, row[1:], strict=True))
    values["state"] = TaskState(str(values["state"]))
    values["failure"] = FailureKind(str(values["failure"])) if values["failure"] else None
    values["outputs"] = None if values["outputs"] is None else tuple(json.loads(str(values["outputs"])))
    return TaskChange(index=row[0], **values)  # type: ignore[arg-type]  # the columns of the table are the fields of the class
