"""The SQLite file of a central database: made, checked, opened for one operation, closed again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import peewee

from caf_core.conditions.central_models import APPLICATION_ID, GUARDS, SCHEMA, Tables, make_tables
from caf_core.errors import PayloadError

_PATIENCE = 30.0
"""How long an operation waits for others that write [s]."""


class CentralFile:
    """A file that is connected to only while something is done with it: threads and forks may use it.

    Args:
        path: The file.
        read_only: Whether it is only read; then no right to write is needed, not even to its directory.
    Raises:
        PayloadError: If there is no such file, it is something else, or a newer version of caf made it.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path.absolute()
        self.read_only = read_only
        self._store, self.tables = _connect_later(self.path, "ro" if read_only else "rw")
        if not self.path.exists():
            raise PayloadError(
                f"there is no central database {self.path}; correct the path, or create it first."
            )
        with self.reading():
            self._check()

    @classmethod
    def create(cls, path: Path) -> "CentralFile":
        """Make the file if it does not exist, with its tables, and open it."""
        path = path.absolute()
        store, tables = _connect_later(path, "rwc")
        with _session(path, store), store.atomic("IMMEDIATE"):
            if not store.get_tables() and store.pragma("user_version") == 0:
                store.create_tables(tables.all())
                for guard in GUARDS:
                    store.execute_sql(guard)
                store.pragma("application_id", APPLICATION_ID)
                store.pragma("user_version", SCHEMA)
        return cls(path)

    @contextmanager
    def reading(self) -> Iterator[Tables]:
        """Connect, see one state of the file, and close."""
        with _session(self.path, self._store), self._store.atomic():
            yield self.tables

    @contextmanager
    def writing(self) -> Iterator[Tables]:
        """Connect, be the only one who writes, keep everything or nothing of it, and close."""
        if self.read_only:
            raise PayloadError(
                f"the central database {self.path} is open for reading only; open it for writing."
            )
        with _session(self.path, self._store), self._store.atomic("IMMEDIATE"):
            yield self.tables

    def _check(self) -> None:
        if self._store.pragma("application_id") != APPLICATION_ID:
            raise PayloadError(f"{self.path} is no central conditions database of caf; correct the path.")
        version = self._store.pragma("user_version")
        if version > SCHEMA:
            raise PayloadError(
                f"the central database {self.path} has version {version} of the tables, and this caf knows "
                f"version {SCHEMA}; install a newer caf-core."
            )


def _connect_later(path: Path, mode: str) -> tuple[Any, Tables]:
    store = peewee.SqliteDatabase(
        f"file:{quote(bytes(path))}?mode={mode}", uri=True, timeout=_PATIENCE, pragmas={"foreign_keys": 1}
    )
    return store, make_tables(store)


@contextmanager
def _session(path: Path, store: Any) -> Iterator[None]:
    """A connection, with what SQLite says turned into one clear sentence."""
    try:
        with store.connection_context():
            yield
    except peewee.PeeweeException as error:
        raise PayloadError(
            f"the central database {path} cannot be used: {error}; {_remedy(str(error))}."
        ) from error


def _remedy(words: str) -> str:
    """What helps, by the words of SQLite's messages (https://www.sqlite.org/rescode.html)."""
    remedies = {
        "locked": "another process writes to it for too long: try again",
        "readonly": "open it for reading only, or ask for the right to write",
        "unable to open": "check that its directory exists and that you have the rights",
        "not a database": "correct the path",
        "malformed": "restore it from a copy",
        "full": "make room on its disk",
    }
    return next(
        (remedy for word, remedy in remedies.items() if word in words), "check the file and its directory"
    )
