"""Opening a checkpoint file: for writing by the one controller, for reading by anybody."""

import os
import sqlite3
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


def unusable(path: Path, error: Exception) -> CheckpointError:
    """What an error of the database means for the user of a checkpoint."""
    text = str(error)
    if "readonly" in text or "unable to open" in text:
        return CheckpointError(
            f"the checkpoint {path} cannot be written ({text}); make its directory writable, or choose "
            f"another output directory."
        )
    if "full" in text:
        return CheckpointError(
            f"the checkpoint {path} cannot be written ({text}); free some space and start again: nothing "
            f"is lost."
        )
    return CheckpointError(
        f"the checkpoint {path} is damaged ({text}); restore it from a backup, or move it away to start "
        f"afresh: payloads already written stay."
    )
