"""The tables of the checkpoint store. Models are made anew for every store that is opened, so that two
stores never mix."""

from types import SimpleNamespace
from typing import Any

import peewee


def make_models(database: peewee.Database) -> SimpleNamespace:
    """The models, bound to a database."""

    class Base(peewee.Model):
        class Meta:
            pass

    Base._meta.set_database(database)
    tables = [build(Base, database) for build in (_meta, _process, _calibration, _iteration, _transition)]
    tables += [build(Base, database) for build in (_job, _intent, _task, _attempt, _execution, _payload)]
    return SimpleNamespace(**{table.__name__: table for table in tables}, all=tables)


def _options(connection: peewee.Database, name: str, **more: Any) -> type:
    return type("Meta", (), {"database": connection, "table_name": name, **more})


def _meta(base: Any, db: peewee.Database) -> Any:
    class Setting(base):
        key = peewee.TextField(primary_key=True)
        value = peewee.TextField()
        Meta = _options(db, "setting")

    return Setting


def _process(base: Any, db: peewee.Database) -> Any:
    class Process(base):
        host = peewee.TextField()
        pid = peewee.IntegerField()
        version = peewee.TextField()
        started = peewee.DoubleField()
        ended = peewee.DoubleField(null=True)
        how = peewee.TextField(default="")
        Meta = _options(db, "process")

    return Process


def _calibration(base: Any, db: peewee.Database) -> Any:
    class Calibration(base):
        name = peewee.TextField(primary_key=True)
        position = peewee.IntegerField()
        state = peewee.TextField()
        checkpoint = peewee.TextField()
        iteration = peewee.IntegerField(default=0)
        max_iterations = peewee.IntegerField(default=0)
        depends_on = peewee.TextField(default="[]")
        collect_fingerprint = peewee.TextField(default="")
        algorithm_fingerprint = peewee.TextField(default="")
        convergence = peewee.TextField(default="")
        reason = peewee.TextField(default="")
        Meta = _options(db, "calibration")

    return Calibration


def _iteration(base: Any, db: peewee.Database) -> Any:
    class Iteration(base):
        calibration = peewee.TextField()
        number = peewee.IntegerField()
        result = peewee.TextField(default="")
        convergence = peewee.TextField(default="")
        missing = peewee.TextField(default="[]")
        commits = peewee.TextField(default="{}")
        ended = peewee.DoubleField(null=True)
        Meta = _options(db, "iteration", primary_key=peewee.CompositeKey("calibration", "number"))

    return Iteration


def _transition(base: Any, db: peewee.Database) -> Any:
    class Transition(base):
        calibration = peewee.TextField(index=True)
        iteration = peewee.IntegerField()
        old = peewee.TextField()
        new = peewee.TextField()
        time = peewee.DoubleField()
        reason = peewee.TextField(default="")
        Meta = _options(db, "transition")

    return Transition


def _job(base: Any, db: peewee.Database) -> Any:
    class Job(base):
        key = peewee.TextField(primary_key=True)
        calibration = peewee.TextField(index=True)
        iteration = peewee.IntegerField()
        kind = peewee.TextField()
        name = peewee.TextField()
        backend = peewee.TextField()
        directory = peewee.TextField()
        fingerprint = peewee.TextField()
        layout = peewee.TextField(default="")
        created = peewee.DoubleField()
        Meta = _options(db, "job")

    return Job


def _intent(base: Any, db: peewee.Database) -> Any:
    class Intent(base):
        token = peewee.TextField(primary_key=True)
        job = peewee.TextField(index=True)
        backend = peewee.TextField()
        directory = peewee.TextField()
        tasks = peewee.TextField()
        attempts = peewee.TextField()
        memory_mb = peewee.IntegerField(null=True)
        state = peewee.TextField()
        ids = peewee.TextField(default="[]")
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
)
"""The columns of ``task`` and ``attempt``; each is a field of ``TaskChange``."""


def _facts() -> dict[str, Any]:
    return {
        "state": peewee.TextField(),
        "attempt": peewee.IntegerField(),
        "token": peewee.TextField(),
        "scheduler_id": peewee.TextField(),
        "failure": peewee.TextField(null=True),
        "exit_code": peewee.IntegerField(null=True),
        "host": peewee.TextField(),
        "peak_memory_mb": peewee.DoubleField(null=True),
        "started": peewee.DoubleField(null=True),
        "ended": peewee.DoubleField(null=True),
        "reason": peewee.TextField(),
    }


def _task(base: Any, db: peewee.Database) -> Any:
    body = {"job": peewee.TextField(), "task": peewee.IntegerField(), **_facts()}
    body["Meta"] = _options(db, "task", primary_key=peewee.CompositeKey("job", "task"), without_rowid=True)
    return type("Task", (base,), body)


def _attempt(base: Any, db: peewee.Database) -> Any:
    body = {"job": peewee.TextField(), "task": peewee.IntegerField(), **_facts()}
    body["Meta"] = _options(
        db, "attempt", primary_key=peewee.CompositeKey("job", "task", "attempt"), without_rowid=True
    )
    return type("Attempt", (base,), body)


def _execution(base: Any, db: peewee.Database) -> Any:
    class Execution(base):
        calibration = peewee.TextField()
        iteration = peewee.IntegerField()
        ask = peewee.TextField()
        algorithm = peewee.TextField()
        fingerprint = peewee.TextField()
        runs = peewee.TextField()
        iov = peewee.TextField()
        result = peewee.TextField()
        message = peewee.TextField()
        answer = peewee.TextField()
        directory = peewee.TextField()
        time = peewee.DoubleField()
        Meta = _options(db, "execution", primary_key=peewee.CompositeKey("calibration", "iteration", "ask"))

    return Execution


def _payload(base: Any, db: peewee.Database) -> Any:
    class Payload(base):
        calibration = peewee.TextField(index=True)
        iteration = peewee.IntegerField()
        algorithm = peewee.TextField()
        name = peewee.TextField()
        revision = peewee.TextField()
        iov = peewee.TextField()
        Meta = _options(db, "payload")

    return Payload
