"""The tables. Models are made anew for every database that is opened, so that two never mix."""

from types import SimpleNamespace
from typing import Any

import peewee

SCHEMA_VERSION = 1


def make_models(database: peewee.Database) -> SimpleNamespace:
    """The models, bound to a database."""

    class Base(peewee.Model):
        class Meta:
            pass

    Base.bind(database)
    builders = (_setting, _user, _token, _calibration, _worker, _step, _result, _event)
    tables = [build(Base, database) for build in builders]
    return SimpleNamespace(**{table.__name__: table for table in tables}, all=tables)


def _options(database: peewee.Database, name: str, **more: Any) -> type:
    # A prefix, for in PostgreSQL "user" is a word of the language.
    return type("Meta", (), {"database": database, "table_name": f"caf_{name}", **more})


def _setting(base: Any, db: peewee.Database) -> Any:
    class Setting(base):
        key = peewee.TextField(primary_key=True)
        value = peewee.TextField()
        Meta = _options(db, "setting")

    return Setting


def _user(base: Any, db: peewee.Database) -> Any:
    class User(base):
        id = peewee.AutoField()
        name = peewee.TextField(unique=True)
        role = peewee.TextField()
        created = peewee.DoubleField()
        Meta = _options(db, "user")

    return User


def _token(base: Any, db: peewee.Database) -> Any:
    class Token(base):
        id = peewee.AutoField()
        digest = peewee.TextField()
        user = peewee.IntegerField(null=True, index=True)
        calibration = peewee.IntegerField(null=True)
        worker = peewee.IntegerField(null=True)
        created = peewee.DoubleField()
        revoked = peewee.DoubleField(null=True)
        Meta = _options(db, "token", indexes=((("calibration", "worker"), False),))

    return Token


def _calibration(base: Any, db: peewee.Database) -> Any:
    class Calibration(base):
        id = peewee.AutoField()
        owner = peewee.IntegerField(index=True)
        key = peewee.TextField(null=True)
        # What was asked for, as JSON: see ``records.Setup``.
        setup = peewee.TextField()
        route = peewee.TextField()
        workers = peewee.IntegerField()
        quorum = peewee.DoubleField()
        state = peewee.TextField(index=True)
        at = peewee.IntegerField()
        step = peewee.IntegerField()
        serial = peewee.IntegerField()
        failures = peewee.IntegerField()
        resubmissions = peewee.IntegerField()
        dead = peewee.TextField()
        excused = peewee.TextField(default="{}")
        message = peewee.TextField()
        output = peewee.TextField(default="")
        job = peewee.TextField(default="")
        dismissed = peewee.BooleanField(default=False)
        cleaned = peewee.BooleanField(default=False)
        created = peewee.DoubleField()
        ended = peewee.DoubleField(null=True)
        Meta = _options(db, "calibration", indexes=((("owner", "key"), True),))

    return Calibration


def _worker(base: Any, db: peewee.Database) -> Any:
    class Worker(base):
        calibration = peewee.IntegerField()
        number = peewee.IntegerField()
        share = peewee.TextField()
        Meta = _options(db, "worker", primary_key=peewee.CompositeKey("calibration", "number"))

    return Worker


def _step(base: Any, db: peewee.Database) -> Any:
    class Step(base):
        calibration = peewee.IntegerField()
        serial = peewee.IntegerField()
        at = peewee.IntegerField()
        stage = peewee.IntegerField()
        phase = peewee.IntegerField()
        step = peewee.IntegerField()
        parameters = peewee.TextField()
        used = peewee.TextField(default="[]")
        missing = peewee.TextField(default="[]")
        began = peewee.DoubleField()
        quorum_at = peewee.DoubleField(null=True)
        ended = peewee.DoubleField(null=True)
        metrics = peewee.TextField(default="{}")
        converged = peewee.BooleanField(null=True)
        message = peewee.TextField(default="")
        Meta = _options(db, "step", primary_key=peewee.CompositeKey("calibration", "serial"))

    return Step


def _result(base: Any, db: peewee.Database) -> Any:
    class Result(base):
        calibration = peewee.IntegerField()
        serial = peewee.IntegerField()
        worker = peewee.IntegerField()
        sha256 = peewee.TextField()
        size = peewee.BigIntegerField()
        late = peewee.BooleanField()
        time = peewee.DoubleField()
        Meta = _options(db, "result", primary_key=peewee.CompositeKey("calibration", "serial", "worker"))

    return Result


def _event(base: Any, db: peewee.Database) -> Any:
    class Event(base):
        id = peewee.AutoField()
        calibration = peewee.IntegerField(index=True)
        time = peewee.DoubleField()
        kind = peewee.TextField()
        text = peewee.TextField()
        Meta = _options(db, "event")

    return Event
