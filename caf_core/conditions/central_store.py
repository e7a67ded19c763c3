"""A central database: global tags and what is in them."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from caf_core.conditions import central_content as content
from caf_core.conditions.central_file import CentralFile
from caf_core.conditions.central_tags import (
    GlobalTag,
    TagState,
    add_tag,
    move_tag,
    open_row,
    tag_of,
    tag_row,
)
from caf_core.conditions.codecs import BUILTIN_CODECS, Codecs
from caf_core.conditions.database import ConditionsDatabase, items_of
from caf_core.conditions.local import LocalDatabase
from caf_core.conditions.payload import Entry, Payload, StoredPayload
from caf_core.conditions.provenance import Provenance
from caf_core.conditions.validity import appended, unique, validity_of
from caf_core.errors import PayloadError
from caf_core.home import given_path
from caf_core.iov import ExpRun

Clock = Callable[[], float]


class CentralStore:
    """A central database in an SQLite file, for those who keep it; ``CentralDatabase`` looks payloads up.

    Every method is one transaction. Any number of processes may use the file at once.

    Args:
        path: The file; it must exist (``create`` makes it).
        read_only: Whether it is only read.
        codecs: The formats that it can write.
        clock: Gives the time [s since 1970].
    """

    def __init__(
        self,
        path: str | Path,
        *,
        read_only: bool = False,
        codecs: Codecs = BUILTIN_CODECS,
        clock: Clock = time.time,
    ) -> None:
        self._file = CentralFile(given_path(path), read_only=read_only)
        self.path = self._file.path
        self.codecs = codecs
        self._clock = clock

    @classmethod
    def create(
        cls, path: str | Path, *, codecs: Codecs = BUILTIN_CODECS, clock: Clock = time.time
    ) -> "CentralStore":
        """Make the file if it does not exist, and open it."""
        return cls(CentralFile.create(given_path(path)).path, codecs=codecs, clock=clock)

    def tags(self) -> tuple[GlobalTag, ...]:
        """All global tags, by name."""
        with self._file.reading() as tables:
            return tuple(tag_of(row) for row in tables.tag.select().order_by(tables.tag.name))

    def tag(self, name: str) -> GlobalTag:
        """One global tag.

        Raises:
            PayloadError: If there is no such tag; names those that there are.
        """
        with self._file.reading() as tables:
            return tag_of(tag_row(tables, name))

    def create_tag(self, name: str, description: str = "") -> GlobalTag:
        """Make an open, empty global tag.

        Raises:
            ConfigurationError: If there is one of this name, or this cannot be a name.
        """
        with self._file.writing() as tables:
            return tag_of(add_tag(tables, name, description, self._clock()))

    def clone(self, source: str, name: str, description: str = "") -> GlobalTag:
        """Make an open global tag with the content of another one, whatever the state of that."""
        with self._file.writing() as tables:
            row = tag_row(tables, source)
            new = add_tag(tables, name, description or f"clone of {source}", self._clock())
            content.copy_entries(tables, row, new)
            return tag_of(new)

    def publish(self, name: str) -> GlobalTag:
        """Fix the content of an open global tag for good.

        Raises:
            ConfigurationError: If it is not open, or empty.
        """
        with self._file.writing() as tables:
            return tag_of(move_tag(tables, name, TagState.PUBLISHED, self._clock()))

    def invalidate(self, name: str) -> GlobalTag:
        """Declare a global tag not to be used any more."""
        with self._file.writing() as tables:
            return tag_of(move_tag(tables, name, TagState.INVALID, self._clock()))

    def upload(self, tag: str, payloads: Iterable[tuple[Payload, Provenance]]) -> tuple[Entry, ...]:
        """Add payloads to an open global tag: all or none. To upload the same again changes nothing.

        Returns:
            Their entries.
        Raises:
            PayloadError: If one cannot be stored.
            ConfigurationError: If the tag is not open.
        """
        return self.upload_encoded(tag, [self.codecs.encode(payload, origin) for payload, origin in payloads])

    def upload_encoded(self, tag: str, items: Iterable[StoredPayload]) -> tuple[Entry, ...]:
        """As ``upload``, for payloads that are encoded already."""
        items = list(items)  # read before anything is locked
        origins = {item.entry: item.provenance for item in items}
        new = unique(item.entry for item in items)
        with self._file.writing() as tables:
            row = open_row(tables, tag)
            old = content.entries(tables, row)
            if appended(old, new) != old:
                content.add_payloads(tables, items)
                gone = [entry for entry in new if entry in set(old)]
                content.replace_entries(tables, row, gone, {entry: origins[entry] for entry in new})
                row.changed = self._clock()
                row.save()
        return new

    def import_database(self, tag: str, database: ConditionsDatabase) -> tuple[Entry, ...]:
        """Upload everything that another database has, such as a ``LocalDatabase``."""
        return self.upload_encoded(tag, items_of(database))

    def export(self, tag: str, database: LocalDatabase) -> tuple[Entry, ...]:
        """Append the content of a global tag to a local database."""
        return database.store_encoded(self.items(tag))

    def items(self, tag: str) -> Iterator[StoredPayload]:
        """The payloads of a global tag, encoded, with their origins."""
        for entry in self.entries(tag):
            item = self.read(entry)
            yield StoredPayload(entry, item.suffix, item.data, self.provenance(tag, entry) or Provenance())

    def entries(self, tag: str) -> tuple[Entry, ...]:
        """The entries of a global tag, in the order in which they count."""
        with self._file.reading() as tables:
            return content.entries(tables, tag_row(tables, tag))

    def find(self, tag: str, name: str, run: ExpRun) -> Entry | None:
        """The entry of a name that counts for a run in a global tag."""
        return validity_of(self.entries(tag)).at(name, run)

    def read(self, entry: Entry) -> StoredPayload:
        """An entry with its bytes, whatever their format, without its origin.

        Raises:
            PayloadError: If its payload is not here.
        """
        with self._file.reading() as tables:
            payload = tables.payload
            row = payload.get_or_none((payload.name == entry.name) & (payload.revision == entry.revision))
        if row is None:
            raise PayloadError(
                f"the central database {self.path} has no payload {entry.name!r} of revision "
                f"{entry.revision}; look it up again."
            )
        return StoredPayload(entry, row.suffix, bytes(row.data))

    def provenance(self, tag: str, entry: Entry) -> Provenance | None:
        """Where an entry of a global tag came from."""
        with self._file.reading() as tables:
            return content.provenance(tables, tag_row(tables, tag), entry)
