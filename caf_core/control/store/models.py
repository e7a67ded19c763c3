"""The tables of the checkpoint store. Models are made anew for every store that is opened, so that two
stores never mix."""

from types import SimpleNamespace
from typing import Any

import peewee

from caf_core.text import storable


class Text(peewee.TextField):
    """A text; what SQLite cannot store of one (file names that are no UTF-8) is escaped."""

    def db_value(self, value: Any) -> Any:
        """See peewee."""
        return None if value is None else storable(super().db_value(value))


def make_models(database: peewee.Database) -> SimpleNamespace:
    """The models, bound to a database."""

    class Base(peewee.Model):
        class Meta:
            pass

    Base.bind(database)
    tables = [build(Base, database) for build in (_meta, _process, _calibration, _iteration, _transition)]
    tables += [build(Base, database) for build in (_job, _intent, _task, _attempt, _execution, _payload)]
    return SimpleNamespace(**{table.__name__: table for table in tables}, all=tables)


def _options(connection: peewee.Database, name: str, **more: Any) -> type:
    return type("Meta", (), {"database": connection, "table_name": name, **more})


def _meta(base: Any, db: peewee.Database) -> Any:
    class Setting(base):
        key = Text(primary_key=True)
        value = Text()
        Meta = _options(db, "setting")

    return Setting


def _process(base: Any, db: peewee.Database) -> Any:
    class Process(base):
        host = Text()
        pid = peewee.IntegerField()
        version = Text()
        started = peewee.DoubleField()
        ended = peewee.DoubleField(null=True)
        how = Text(default="")
        Meta = _options(db, "process")

    return Process


def _calibration(base: Any, db: peewee.Database) -> Any:
    class Calibration(base):
        name = Text(primary_key=True)
        position = peewee.IntegerField()
        state = Text()
        checkpoint = Text()
        iteration = peewee.IntegerField(default=0)
        max_iterations = peewee.IntegerField(default=0)
        depends_on = Text(default="[]")
        collect_fingerprint = Text(default="")
        algorithm_fingerprint = Text(default="")
        convergence = Text(default="")
        reason = Text(default="")
        Meta = _options(db, "calibration")

    return Calibration


def _iteration(base: Any, db: peewee.Database) -> Any:
    class Iteration(base):
        calibration = Text()
        number = peewee.IntegerField()
        result = Text(default="")
        convergence = Text(default="")
        missing = Text(default="[]")
        commits = Text(default="{}")
        ended = peewee.DoubleField(null=True)
        Meta = _options(db, "iteration", primary_key=peewee.CompositeKey("calibration", "number"))

    return Iteration


def _transition(base: Any, db: peewee.Database) -> Any:
    class Transition(base):
        calibration = Text(index=True)
        iteration = peewee.IntegerField()
        old = Text()
        new = Text()
        time = peewee.DoubleField()
        reason = Text(default="")
        Meta = _options(db, "transition")

    return Transition


def _job(base: Any, db: peewee.Database) -> Any:
    class Job(base):
        key = Text(primary_key=True)
        calibration = Text(index=True)
        iteration = peewee.IntegerField()
        kind = Text()
        name = Text()
        backend = Text()
        directory = Text()
        fingerprint = Text()
        layout = Text(default="")
        created = peewee.DoubleField()
        Meta = _options(db, "job")

    return Job


def _intent(base: Any, db: peewee.Database) -> Any:
    class Intent(base):
        token = Text(primary_key=True)
        job = Text(index=True)
        backend = Text()
        directory = Text()
        tasks = Text()
        attempts = Text()
        memory_mb = peewee.IntegerField(null=True)
        state = Text()
        ids = Text(default="[]")
        time = peewee.DoubleField()
        Meta = _options(db, "intent")

    return Intent


FACTS = (
    "state",
    "attempt",
    "token",
    "scheduler_id",
    "failure",
    "exit_code",
    "host",
    "peak_memory_mb",
    "started",
    "ended",
    "reason",
    "outputs",
)
"""The columns of ``task`` and ``attempt``; each is a field of ``TaskChange``."""


def _facts() -> dict[str, Any]:
    return {
        "state": Text(),
        "attempt": peewee.IntegerField(),
        "token": Text(),
        "scheduler_id": Text(),
        "failure": Text(null=True),
        "exit_code": peewee.IntegerField(null=True),
        "host": Text(),
        "peak_memory_mb": peewee.DoubleField(null=True),
        "started": peewee.DoubleField(null=True),
        "ended": peewee.DoubleField(null=True),
        "reason": Text(),
        "outputs": Text(null=True),
    }


def _task(base: Any, db: peewee.Database) -> Any:
    body = {"job": Text(), "task": peewee.IntegerField(), **_facts()}
    body["Meta"] = _options(db, "task", primary_key=peewee.CompositeKey("job", "task"), without_rowid=True)
    return type("Task", (base,), body)


def _attempt(base: Any, db: peewee.Database) -> Any:
    body = {"job": Text(), "task": peewee.IntegerField(), **_facts()}
    body["Meta"] = _options(
        db, "attempt", primary_key=peewee.CompositeKey("job", "task", "attempt"), without_rowid=True
    )
    return type("Attempt", (base,), body)


def _execution(base: Any, db: peewee.Database) -> Any:
    class Execution(base):
        calibration = Text()
        iteration = peewee.IntegerField()
        ask = Text()
        algorithm = Text()
        fingerprint = Text()
        runs = Text()
        iov = Text()
        result = Text()
        message = Text()
        answer = Text()
        directory = Text()
        time = peewee.DoubleField()
        Meta = _options(db, "execution", primary_key=peewee.CompositeKey("calibration", "iteration", "ask"))

    return Execution


def _payload(base: Any, db: peewee.Database) -> Any:
    class Payload(base):
        calibration = Text(index=True)
        iteration = peewee.IntegerField()
        algorithm = Text()
        name = Text()
        revision = Text()
        iov = Text()
        Meta = _options(db, "payload")

    return Payload
