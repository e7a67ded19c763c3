"""Reading exit records back: one listing, and only files that are new are opened."""

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from caf_core.jobs.evidence import is_unexplained

Record = dict[str, Any]

_CHUNK = 1 << 16


@frozen
class Scan:
    """What one reading of a records directory brought.

    Args:
        began: When it began, in the caller's clock.
        records: The records that are new, position -> record.
        broken: Records that cannot be read, position -> what is wrong. They are tried again at the next
            reading.
        claims: Which of the scheduler's jobs claimed a task, position -> id, where that was asked.
        error: Why the directory could not be read at all, if so; nothing follows from such a scan.
    """

    began: float
    records: dict[int, Record] = field(factory=dict)
    broken: dict[int, str] = field(factory=dict)
    claims: dict[int, str] = field(factory=dict)
    error: str = ""


@define
class RecordReader:
    """Reads the records of one submission.

    Args:
        directory: The submission's directory.
        token: Its token; a record of another one is broken.
    """

    directory: Path
    token: str
    _seen: set[int] = field(factory=set)

    def scan(self, began: float, claims: Iterable[int] = ()) -> Scan:
        """List the directory afresh (which is what makes NFS look) and read what is new.

        Args:
            began: The time.
            claims: Positions whose claims are read too.
        """
        scan = Scan(began)
        folder = self.directory / "records"
        try:
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries]
        except OSError as error:
            return Scan(began, error=f"{folder} cannot be read: {error.strerror}")
        for name in names:
            stem, dot, suffix = name.partition(".")
            # Anything else is a record that is still being written under another name.
            if suffix != "json" or not dot or not stem.isdecimal():
                continue
            position = int(stem)
            if position not in self._seen:
                self._read(position, f"{folder}/{name}", scan)
        for position in claims:
            with contextlib.suppress(OSError, UnicodeDecodeError):
                scan.claims[position] = (self.directory / "claims" / str(position)).read_text("utf-8")
        return scan

    def mark(self, position: int) -> None:
        """Take a record as read, because it came another way."""
        self._seen.add(position)

    def _read(self, position: int, path: str, scan: Scan) -> None:
        try:
            record = read_record(path)
        except (OSError, ValueError) as error:
            scan.broken[position] = f"the exit record {path} cannot be read ({error})"
            return
        if record.get("token") != self.token or record.get("position") != position:
            scan.broken[position] = f"the exit record {path} belongs to another task"
            return
        if not is_unexplained(record):
            # The others may be replaced by another execution under the same id, and are read again.
            self._seen.add(position)
        scan.records[position] = record


def read_record(path: str) -> Record:
    """One exit record.

    Raises:
        ValueError: If it is not one, or was written by a newer version.
        OSError: If it cannot be read.
    """
    record = json.loads(_content(path))
    if not isinstance(record, dict) or not isinstance(record.get("attempt"), int):
        raise ValueError("not an exit record")  # noqa: TRY004 - the content is wrong, not the caller's type
    if record.get("schema", 0) > 1:
        raise ValueError(f"written by a newer caf, schema {record['schema']}")
    return record


def _content(path: str) -> bytes:
    """A small file, in a third of the time that ``open`` takes: there may be a hundred thousand."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        content = os.read(descriptor, _CHUNK)
        if len(content) == _CHUNK:
            while more := os.read(descriptor, _CHUNK):
                content += more
    finally:
        os.close(descriptor)
    return content
