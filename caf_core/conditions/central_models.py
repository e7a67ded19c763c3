"""The tables of a central database. Models are made for every opened store, so any number can be open."""

from typing import Any

from attrs import frozen
from peewee import (
    BlobField,
    CharField,
    FloatField,
    ForeignKeyField,
    IntegerField,
    Model,
    SqliteDatabase,
    TextField,
)

SCHEMA = 1
"""The version of these tables."""
APPLICATION_ID = 0x43414643
"""What marks an SQLite file as one of ours: ``CAFC``."""


@frozen
class Tables:
    """The models of one store. Their fields are made by peewee and unknown to a type checker."""

    tag: Any
    payload: Any
    entry: Any

    def all(self) -> tuple[Any, ...]:
        """All of them."""
        return self.tag, self.payload, self.entry


def make_tables(store: SqliteDatabase) -> Tables:
    """Make the models of a store."""

    class Base(Model):
        class Meta:
            database = store

    class Tag(Base):
        name = CharField(unique=True)
        state = CharField()
        description = TextField()
        created = FloatField()
        changed = FloatField()

        class Meta:
            table_name = "global_tag"

    class StoredContent(Base):
        name = CharField()
        revision = CharField()
        suffix = CharField()
        data = BlobField()

        class Meta:
            table_name = "payload"
            indexes = ((("name", "revision"), True),)

    class TagEntry(Base):
        """A line of a tag; lines count in the order of their ids."""

        tag = ForeignKeyField(Tag, backref="entries", on_delete="CASCADE")
        payload = ForeignKeyField(StoredContent, on_delete="RESTRICT")
        exp_low = IntegerField()
        run_low = IntegerField()
        exp_high = IntegerField()
        run_high = IntegerField()
        provenance = TextField()

        class Meta:
            table_name = "entry"
            indexes = ((("tag", "payload", "exp_low", "run_low", "exp_high", "run_high"), True),)

    return Tables(Tag, StoredContent, TagEntry)


GUARDS = (
    """
    CREATE TRIGGER entry_insert BEFORE INSERT ON entry
    WHEN (SELECT state FROM global_tag WHERE id = NEW.tag_id) != 'open'
    BEGIN SELECT RAISE(ABORT, 'only an open global tag can be changed'); END
    """,
    """
    CREATE TRIGGER entry_update BEFORE UPDATE ON entry
    WHEN (SELECT state FROM global_tag WHERE id = OLD.tag_id) != 'open'
    BEGIN SELECT RAISE(ABORT, 'only an open global tag can be changed'); END
    """,
    """
    CREATE TRIGGER entry_delete BEFORE DELETE ON entry
    WHEN (SELECT state FROM global_tag WHERE id = OLD.tag_id) != 'open'
    BEGIN SELECT RAISE(ABORT, 'only an open global tag can be changed'); END
    """,
    """
    CREATE TRIGGER payload_update BEFORE UPDATE ON payload
    BEGIN SELECT RAISE(ABORT, 'a payload is never changed'); END
    """,
)
"""Triggers, so that the promise holds for whatever program opens the file."""
