"""How a checkpoint that an older caf wrote becomes one of now: ``MIGRATIONS[n - 1]`` takes schema n to n + 1.

A controller migrates the file before it goes on, in one transaction; whoever only reads migrates a copy in
memory. A migration uses SQL and no models, which are those of now. It is never changed once it was released.
"""

import json
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from caf_core.json_text import json_text

Execute = Callable[..., Any]
"""Executes one SQL statement: ``execute(sql, values)``; the result is iterated."""


def migrate(execute: Execute, version: int) -> None:
    """Take a checkpoint from its schema to the one of now; the caller holds a transaction."""
    for step in MIGRATIONS[version - 1 :]:
        step(execute)
    execute("UPDATE setting SET value = ? WHERE key = 'schema'", (str(SCHEMA_VERSION),))


def _relative_directories(execute: Execute) -> None:
    """Directories become relative to the output directory; where that was is kept for the files of jobs,
    whose lines name absolute paths."""
    jobs = list(execute("SELECT key, calibration, iteration, kind, directory, layout FROM job"))
    home = next((home for row in jobs if (home := _home(*row[1:5]))), None)
    if home is None:
        return
    execute("INSERT INTO setting (key, value) VALUES ('written at', ?)", (home,))
    for key, _, _, _, directory, layout in jobs:
        rows = json.loads(layout)
        rows = rows and [row and [_below(home, row[0]), *row[1:]] for row in rows]
        execute(
            "UPDATE job SET directory = ?, layout = ? WHERE key = ?",
            (_below(home, directory), json_text(rows), key),
        )
    for table in ("intent", "execution"):
        for row, directory in list(execute(f"SELECT rowid, directory FROM {table}")):  # noqa: S608 - our own names
            execute(
                f"UPDATE {table} SET directory = ? WHERE rowid = ?",  # noqa: S608 - our own names
                (_below(home, directory), row),
            )


def _home(calibration: str, iteration: int, kind: str, directory: str) -> str | None:
    """The output directory, from the directory of a job in it."""
    inside = {
        "collector": f"/{calibration}/{iteration}/collector_output/",
        "execution": f"/{calibration}/{iteration}/algorithm_output/",
        "submission": "/.caf/job",
    }.get(kind)
    return directory.rpartition(inside)[0] or None if inside else None


def _below(home: str, directory: str) -> str:
    path = PurePosixPath(directory)
    return str(path.relative_to(home)) if path.is_relative_to(home) else directory


def _outputs(execute: Execute) -> None:
    """What tasks left is known without their exit records; of those that have ended already it is not."""
    for table in ("task", "attempt"):
        execute(f"ALTER TABLE {table} ADD COLUMN outputs TEXT")


MIGRATIONS: tuple[Callable[[Execute], None], ...] = (_relative_directories, _outputs)
"""In their order."""

SCHEMA_VERSION = 1 + len(MIGRATIONS)
