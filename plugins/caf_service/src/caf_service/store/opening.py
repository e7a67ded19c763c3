"""Opening the database of a service."""

import sqlite3
from pathlib import Path
from types import SimpleNamespace

import peewee

from caf_core.errors import ConfigurationError
from caf_service.store.models import SCHEMA_VERSION, make_models

FILE_NAME = "service.db"

_MAKING = 0x636166  # "caf"
"""The number of the lock that is held in PostgreSQL while tables are made."""

DATABASE_ERRORS = (peewee.DatabaseError, peewee.InterfaceError, sqlite3.DatabaseError)
"""What is raised when a database cannot be read or written."""


def open_database(data: Path, url: str) -> tuple[peewee.Database, SimpleNamespace]:
    """Open or make the database; the connection belongs to the thread that calls.

    Args:
        data: The folder of the service.
        url: ``postgresql://...``, or nothing for SQLite in that folder.
    Raises:
        ConfigurationError: If it cannot be opened, or was made by another version.
    """
    where = "the PostgreSQL database" if url else str(data / FILE_NAME)
    database = _postgresql(url) if url else _sqlite(data / FILE_NAME)
    models = make_models(database)
    try:
        database.connect()
        with database.atomic():
            if not url or _makes_tables(database, models):
                database.create_tables(models.all, safe=True)
            models.Setting.insert(key="schema", value=str(SCHEMA_VERSION)).on_conflict_ignore().execute()
            version = models.Setting.get_by_id("schema").value
    except peewee.ImproperlyConfigured as error:
        raise ConfigurationError(
            "PostgreSQL needs a driver; install it with: pip install 'caf-service[postgresql]'."
        ) from error
    except DATABASE_ERRORS as error:
        database.close()
        raise ConfigurationError(
            f"{where} cannot be opened ({str(error).strip()}); mend that, or name another database."
        ) from error
    if version != str(SCHEMA_VERSION):
        database.close()
        raise ConfigurationError(
            f"{where} has schema {version}, and this caf-service knows {SCHEMA_VERSION}; use the "
            f"caf-service that made it, or another database."
        )
    return database, models


def _makes_tables(database: peewee.Database, models: SimpleNamespace) -> bool:
    """Whether a PostgreSQL database has no tables yet; nobody else makes them then until we have.

    IF NOT EXISTS is no help there: it fails where others make the same tables at the same time, and locks
    those that exist against who writes into them.
    """
    database.execute_sql("SELECT pg_advisory_xact_lock(%s)", (_MAKING,))
    name = models.Setting._meta.table_name
    return database.execute_sql("SELECT to_regclass(%s)", (name,)).fetchone()[0] is None


def _sqlite(path: Path) -> peewee.Database:
    # Everything is written before it is answered, so that it has to survive a power cut too.
    pragmas = {"journal_mode": "wal", "synchronous": "full", "cache_size": -16_000}
    return peewee.SqliteDatabase(str(path), pragmas=pragmas, timeout=30)


def _postgresql(url: str) -> peewee.Database:
    return peewee.PostgresqlDatabase(url, prefer_psycopg3=True, connect_timeout=10)
