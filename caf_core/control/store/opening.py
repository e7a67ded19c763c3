"""Opening a checkpoint file: for writing by the one controller, for reading by anybody."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import peewee

from caf_core.control.store import FILE_NAME
from caf_core.control.store.migrations import SCHEMA_VERSION, migrate
from caf_core.control.store.models import make_models
from caf_core.errors import CheckpointError

DATABASE_ERRORS = (peewee.DatabaseError, sqlite3.DatabaseError)
"""What peewee and SQLite raise when a file cannot be read or written."""

_LOCAL_FILESYSTEMS = frozenset(["btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"])


def filesystem_type(path: Path) -> str:
    """The type of the filesystem that holds a path, as the kernel names it; empty if it cannot be told."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    resolved = str(path.resolve())
    for line in lines:
        fields = line.split()
        mount = fields[4]
        inside = resolved == mount or resolved.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best) and "-" in fields:
            best, kind = mount, fields[fields.index("-") + 1]
    return kind


def open_for_writing(directory: Path) -> tuple[peewee.SqliteDatabase, SimpleNamespace]:
    """Open or make the checkpoint of an output directory; one of an older caf is migrated.

    Raises:
        CheckpointError: If the file is no checkpoint, is damaged, or was written by a newer caf.
    """
    path = directory / FILE_NAME
    _check_directory(directory)
    database = peewee.SqliteDatabase(str(path), timeout=30)
    # The write-ahead log needs shared memory between processes, which network filesystems do not give.
    mode = "wal" if filesystem_type(directory) in _LOCAL_FILESYSTEMS else "delete"
    try:
        database.connect()
        models = make_models(database)
        existing = database.table_exists("setting")
        if existing:
            version = _version(models, path)
            _check_pages(database, path)
        elif database.get_tables():
            raise CheckpointError(
                f"{path} is an SQLite file, but no checkpoint of caf; move it away or choose another "
                f"output directory."
            )
        database.execute_sql(f"PRAGMA journal_mode={mode}")
        database.execute_sql("PRAGMA synchronous=NORMAL")
        if not existing:
            with database.atomic():
                database.create_tables(models.all)
                models.Setting.create(key="schema", value=str(SCHEMA_VERSION))
        elif version < SCHEMA_VERSION:
            with database.atomic("IMMEDIATE"):
                migrate(database.execute_sql, version)
        return database, models
    except CheckpointError:
        database.close()
        raise
    except DATABASE_ERRORS as error:
        database.close()
        raise unusable(path, error) from error


def no_checkpoint(directory: Path) -> CheckpointError:
    """The error for a folder that is no output directory; it names some that lie here."""
    try:
        here = sorted(path.parent.name for path in Path().glob(f"*/{FILE_NAME}"))[:3]
    except OSError:  # no folder to be in; there is nothing to propose then
        here = []
    such = f" (here are: {', '.join(here)})" if here else ""
    return CheckpointError(
        f"there is no checkpoint in {directory}; name the output directory of a calibration run with "
        f"-p{such}."
    )


def open_for_reading(directory: Path) -> tuple[peewee.SqliteDatabase, SimpleNamespace]:
    """Open a checkpoint without changing anything.

    Raises:
        CheckpointError: If there is none, or it cannot be read.
    """
    path = directory / FILE_NAME
    if not path.exists():
        raise no_checkpoint(directory)
    if not os.access(path, os.R_OK):
        raise CheckpointError(f"{path} may not be read by you; ask its owner to make it readable.")
    database = peewee.SqliteDatabase(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=10)
    try:
        database.connect()
        models = make_models(database)
        if not database.table_exists("setting"):
            raise CheckpointError(f"{path} is no checkpoint of caf.")
        version = _version(models, path)
        return (database, models) if version == SCHEMA_VERSION else _migrated_copy(database, version)
    except CheckpointError:
        database.close()
        raise
    except DATABASE_ERRORS as error:
        database.close()
        raise unusable(path, error) from error


def _migrated_copy(
    database: peewee.SqliteDatabase, version: int
) -> tuple[peewee.SqliteDatabase, SimpleNamespace]:
    """A copy of an older checkpoint in memory, migrated; the file is closed, and stays as it is."""
    copy = peewee.SqliteDatabase(":memory:")
    copy.connect()
    database.connection().backup(copy.connection())
    database.close()
    migrate(copy.execute_sql, version)
    return copy, make_models(copy)


def _check_directory(directory: Path) -> None:
    """The checkpoint holds paths as text, so they have to be text.

    Raises:
        CheckpointError: If the output directory's name is none.
    """
    try:
        str(directory).encode()
    except UnicodeEncodeError as error:
        raise CheckpointError(
            f"the output directory {str(directory)!r} has a name that is no valid UTF-8; choose another one."
        ) from error


def _check_pages(database: peewee.SqliteDatabase, path: Path) -> None:
    """Find damage at once, and not in the middle of a run.

    Raises:
        CheckpointError: If the file is damaged.
    """
    problem = str(database.execute_sql("PRAGMA quick_check(1)").fetchone()[0])
    if problem != "ok":
        raise unusable(path, ValueError(problem.splitlines()[-1]))


def _version(models: Any, path: Path) -> int:
    """The schema of a checkpoint.

    Raises:
        CheckpointError: If this caf does not know it.
    """
    row = models.Setting.get_or_none(models.Setting.key == "schema")
    try:
        version = int(row.value) if row is not None else 0
    except ValueError as error:
        raise unusable(path, error) from error
    if version > SCHEMA_VERSION:
        raise CheckpointError(
            f"{path} was written by a newer caf (schema {version}, this caf knows {SCHEMA_VERSION}); "
            f"upgrade caf-core, or choose another output directory."
        )
    if version < 1:
        raise CheckpointError(
            f"{path} has schema {version}, which no caf has written; choose another output directory."
        )
    return version


@contextmanager
def told_errors(directory: Path) -> Iterator[None]:
    """Tell errors of the checkpoint of an output directory by their cause.

    Raises:
        CheckpointError: If the database fails.
    """
    try:
        yield
    except DATABASE_ERRORS as error:
        raise unusable(directory / FILE_NAME, error) from error


def unusable(path: Path, error: Exception) -> CheckpointError:
    """What an error of the database means for the user of a checkpoint.

    SQLite's own code decides, not the words of the last exception: after a write that failed, taking the
    transaction back fails as well, and hides why.
    """
    cause = _first_cause(error)
    text = " ".join(str(cause).split())
    damage = sqlite3.SQLITE_CORRUPT  # what was found by us, and not by SQLite
    match getattr(cause, "sqlite_errorcode", damage if isinstance(cause, ValueError) else 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            what, remedy = "cannot be written", "free some space, and start again: nothing is lost"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            what = "is locked by another process"
            remedy = "wait for it, or end it (a program that looks into the file, a backup), and start again"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            what = "cannot be opened or written"
            remedy = "make it and its directory writable, or choose another output directory"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_MISMATCH:
            what = "is damaged"
            remedy = (
                "restore it from a backup, or move it away to start afresh: payloads already written stay"
            )
        case _:
            what = "cannot be used"
            remedy = (
                "look at its disk or file server (space, quota, limit of the size of files), and start again"
            )
    return CheckpointError(f"the checkpoint {path} {what} ({text}); {remedy}.")


def _first_cause(error: BaseException) -> BaseException:
    """The error of SQLite that came first; the error itself if there is none."""
    found = error
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, sqlite3.Error) and getattr(seen, "sqlite_errorcode", None) is not None:
            found = seen
        seen = seen.__cause__ or seen.__context__
    return found
