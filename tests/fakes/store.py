"""What a fake scheduler knows, in one SQLite file: jobs, settings, faults, and the calls of its commands.

Commands and the pump change it under one lock. All times are seconds since the epoch.
"""

# ruff: noqa: PTH103, PTH123
# pathlib takes longer to import than a command may take to start, and os serves as well.

import fcntl
import json
import os
import sqlite3
import time
from contextlib import contextmanager

PENDING, RUNNING, HELD, SUSPENDED, ENDED = "pending", "running", "held", "suspended", "ended"

EXIT, CANCELLED, WALLTIME, MEMORY, NODE = "exit", "cancelled", "walltime", "memory", "node"
"""How a job ended: by itself, or by whom it was ended."""

DEFAULTS = {
    "slots": 8,  # so many jobs execute at once
    "start_delay": 0.0,  # a job is pending at least so long [s]
    "kill_wait": 2.0,  # between SIGTERM and SIGKILL [s]
    "keep": 300.0,  # so long finished jobs are listed [s]
    "history": True,  # whether finished jobs are known at all to commands that ask for history
    "host": "fakenode",
    "down": False,  # whether the daemons are down
    "dropped": [],  # keys of jobs that listings leave out
    "records": None,  # see Faults.delay_records
}

_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS faults (id INTEGER PRIMARY KEY, command TEXT, skip INT, times INT, plan TEXT);
CREATE TABLE IF NOT EXISTS calls (id INTEGER PRIMARY KEY, command TEXT, args TEXT, began REAL);
CREATE TABLE IF NOT EXISTS specs (number INTEGER PRIMARY KEY, name TEXT, spec TEXT);
CREATE TABLE IF NOT EXISTS jobs (
    number INT, idx INT, state TEXT, ending TEXT, exit_code INT, signal INT, reason TEXT, host TEXT,
    pid INT, runs INT, submitted REAL, appears REAL, started REAL, ended REAL,
    wish TEXT, kill_at REAL, shadow TEXT, PRIMARY KEY (number, idx));
CREATE INDEX IF NOT EXISTS by_state ON jobs (state);
CREATE TABLE IF NOT EXISTS moves (source TEXT, target TEXT, due REAL);
"""
_COLUMNS = (
    *("number", "idx", "state", "ending", "exit_code", "signal", "reason", "host", "pid", "runs"),
    *("submitted", "appears", "started", "ended", "wish", "kill_at", "shadow"),
)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM jobs"
PLAIN = -1
"""The index of a job that is no array."""


class Job:
    """One job, or one element of an array.

    Attributes:
        number: Its number; all elements of an array have the same.
        index: Its index in the array; ``None`` for a plain job.
        state: pending, running, held, suspended or ended.
        ending: How it ended: exit, cancelled, walltime, memory or node; empty before.
        exit_code, signal: Of its process, once that has ended by itself or was killed.
        reason: Why it is held or pending, as whoever did it said.
        runs: How often it was started.
        spec: What ``Store.submit`` was given, by name.
    """

    __slots__ = (*_COLUMNS, "index", "spec")

    def __init__(self, row, spec):
        for name, value in zip(_COLUMNS, row, strict=True):
            setattr(self, name, value)
        self.index = None if self.idx == PLAIN else self.idx
        self.spec = spec

    @property
    def name(self):
        """The name that it was submitted with."""
        return self.spec["name"]

    @property
    def key(self):
        """A text for the job that no scheduler uses: ``7`` or ``7:3``."""
        return str(self.number) if self.index is None else f"{self.number}:{self.index}"


class Store:
    """The state of one fake scheduler.

    Args:
        folder: Where it lies.
    """

    def __init__(self, folder):
        self.folder = str(folder)
        os.makedirs(f"{self.folder}/spool", exist_ok=True)
        self._db = sqlite3.connect(f"{self.folder}/state.db", isolation_level=None, timeout=60)
        self._db.execute("PRAGMA synchronous = OFF")
        self._lock = os.open(f"{self.folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        self._depth = 0
        self.listing_copies = 1
        self.submission_copies = 1
        self.submission_delay = 0.0
        with self.transaction():
            if not self.sql("SELECT 1 FROM sqlite_master WHERE name = 'moves'"):
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)

    @contextmanager
    def transaction(self):
        """Hold the lock; what is changed counts when the block ends, and not if it raises."""
        if self._depth:
            yield
            return
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._depth += 1
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        else:
            self._db.execute("COMMIT")
        finally:
            self._depth -= 1
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def sql(self, statement, *values):
        """Execute a statement; its rows."""
        return self._db.execute(statement, values).fetchall()

    def close(self):
        """Let go."""
        self._db.close()
        os.close(self._lock)

    # Settings

    def __getitem__(self, name):
        rows = self.sql("SELECT value FROM settings WHERE name = ?", name)
        return json.loads(rows[0][0]) if rows else DEFAULTS.get(name)

    def __setitem__(self, name, value):
        with self.transaction():
            self.sql("INSERT OR REPLACE INTO settings VALUES (?, ?)", name, json.dumps(value))

    # For dialects

    def submit(self, script, *, indices=None, held="", **spec):
        """Take a job.

        Args:
            script: The text of its script; ``/bin/sh`` executes it.
            indices: The indices of its elements, if it is an array.
            held: Why it is held from the beginning; empty if it is not.
            spec: Whatever the dialect wants to know of it later (JSON values). The engine reads ``name``,
                ``cwd``, ``environment`` (a dict), ``stdout`` and ``stderr`` (functions of the dialect may
                make one path an element of it: see ``Dialect.output``), ``walltime`` [s].
        Returns:
            Its number.
        """
        spec = {
            "name": "",
            "cwd": "/",
            "environment": {},
            "stdout": "",
            "stderr": "",
            "walltime": None,
            **spec,
        }
        spec["size"] = 1 if indices is None else len(indices)
        now = time.time()
        appears = now + self.submission_delay
        with self.transaction():
            for _ in range(self.submission_copies):
                ((last,),) = self.sql("SELECT coalesce(max(number), 0) FROM specs")
                number = last + 1
                with open(
                    f"{self.folder}/spool/{number}.sh", "w", encoding="utf-8", errors="surrogateescape"
                ) as stream:
                    stream.write(script)
                self.sql("INSERT INTO specs VALUES (?, ?, ?)", number, spec["name"], json.dumps(spec))
                state = HELD if held else PENDING
                self._db.executemany(
                    "INSERT INTO jobs (number, idx, state, ending, reason, runs, submitted, appears)"
                    " VALUES (?, ?, ?, '', ?, 0, ?, ?)",
                    (
                        (number, i, state, held, now, appears)
                        for i in ([PLAIN] if indices is None else indices)
                    ),
                )
        return number

    def jobs(self, *numbers, name=None, ended=True, history=False):
        """The jobs that a command sees, in order.

        Args:
            numbers: Only those; all by default.
            name: Only those of this name.
            ended: Whether finished jobs are wanted that are not forgotten yet (the setting ``keep``).
            history: Whether finished jobs are wanted from the history, which forgets nothing (if the setting
                ``history`` is on).
        """
        now = time.time()
        where, values = ["appears <= ?"], [now]
        if numbers:
            where.append(f"number IN ({', '.join('?' * len(numbers))})")
            values += numbers
        if name is not None:
            where.append("number IN (SELECT number FROM specs WHERE name = ?)")
            values.append(name)
        if not (history and self["history"]):
            where.append("(state != 'ended' OR ended > ?)")
            values.append(now - self["keep"] if ended else now + 1e9)
        rows = self.sql(f"{_SELECT} WHERE {' AND '.join(where)} ORDER BY number, idx", *values)
        dropped = set(self["dropped"])
        found = [job for job in self._with_specs(rows) if job.key not in dropped]
        return [job for job in found for _ in range(self.listing_copies)]

    def every(self, where="1", *values):
        """All jobs, also those that commands do not see (SQL condition on the columns of jobs)."""
        return self._with_specs(self.sql(f"{_SELECT} WHERE {where} ORDER BY number, idx", *values))

    def change(self, job, **columns):
        """Change what is known of a job."""
        names = ", ".join(f"{name} = ?" for name in columns)
        self.sql(
            f"UPDATE jobs SET {names} WHERE number = ? AND idx = ?", *columns.values(), job.number, job.idx
        )
        for name, value in columns.items():
            setattr(job, name, value)

    def cancel(self, job, ending=CANCELLED):
        """End a job: SIGTERM and then SIGKILL if it executes; ``False`` if it has ended already."""
        if job.state == ENDED:
            return False
        if job.state in (PENDING, HELD):
            self.change(job, state=ENDED, ending=ending, ended=time.time(), pid=None)
        else:
            self.change(job, wish=ending, kill_at=None)
        return True

    def hold(self, job, reason="held by the user"):
        """Keep a job that waits from starting; ``False`` if it does not wait."""
        if job.state != PENDING:
            return False
        self.change(job, state=HELD, reason=reason)
        return True

    def release(self, job):
        """Let a held job start; ``False`` if it is not held."""
        if job.state != HELD:
            return False
        self.change(job, state=PENDING, reason="")
        return True

    def requeue(self, job):
        """End a job that executes, and start it again under the same id; ``False`` if it does not execute."""
        if job.state != RUNNING:
            return False
        self.change(job, wish="requeue", kill_at=None)
        return True

    # For the engine

    def called(self, command, args):
        """Note the call of a command, and take the fault that is meant for it, if any."""
        with self.transaction():
            self.sql("INSERT INTO calls VALUES (NULL, ?, ?, ?)", command, json.dumps(args), time.time())
            faults = "SELECT id, skip, times, plan FROM faults WHERE command IN (?, '*') ORDER BY id LIMIT 1"
            for number, skip, times, plan in self.sql(faults, command):
                if skip:
                    self.sql("UPDATE faults SET skip = skip - 1 WHERE id = ?", number)
                    return {}
                if times == 1:
                    self.sql("DELETE FROM faults WHERE id = ?", number)
                elif times > 1:
                    self.sql("UPDATE faults SET times = times - 1 WHERE id = ?", number)
                return json.loads(plan)
        return {}

    def _with_specs(self, rows):
        specs = {}
        for row in rows:
            if row[0] not in specs:
                ((text,),) = self.sql("SELECT spec FROM specs WHERE number = ?", row[0])
                specs[row[0]] = json.loads(text)
        return [Job(row, specs[row[0]]) for row in rows]
