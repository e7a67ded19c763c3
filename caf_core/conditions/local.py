"""A database that is a directory: ``database.txt`` and one file a payload.

A line of ``database.txt`` is ``<name> <revision> <exp_low>,<run_low>,<exp_high>,<run_high>``; the file of a
payload is ``<name>_rev_<revision>.<suffix>``, and where all of them came from stands in
``provenance.jsonl``. Of two lines that hold a run the last one counts, so databases can be merged by
appending. A directory has any number of readers and one writer at a time.

Databases of basf2 can be read: their lines have ``dbstore/`` before the name, their files are
``dbstore_<name>_rev_<revision>.root``, and the content of a payload is the bytes of its file.
``export_basf2`` writes such a database.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from caf_core.conditions import audit, local_files
from caf_core.conditions.codecs import BUILTIN_CODECS, Codecs
from caf_core.conditions.database import ConditionsDatabase, items_of
from caf_core.conditions.diff import Difference, difference
from caf_core.conditions.pack import PACK, Pack, open_pack
from caf_core.conditions.payload import Entry, Payload, StoredPayload
from caf_core.conditions.provenance import Provenance
from caf_core.conditions.validity import Validity, appended, effect, unique, validity_of
from caf_core.errors import PayloadError
from caf_core.home import given_path
from caf_core.iov import ExpRun

Payloads = Iterable[Payload | tuple[Payload, Provenance]]


class LocalDatabase:
    """A directory of payloads. One that does not exist yet is empty, and is made by the first write.

    Args:
        path: The directory.
        codecs: The formats that it can write and read.
    """

    def __init__(self, path: str | Path, codecs: Codecs = BUILTIN_CODECS) -> None:
        # Absolute, because other processes have other working directories.
        self.path = given_path(path).absolute()
        self.codecs = codecs
        self._suffixes = tuple(codec.suffix for codec in codecs.codecs)
        self._origins: tuple[object, local_files.Origins] | None = None
        self._pack: Pack | None = None
        self._seen: tuple[object, tuple[Entry, ...], Validity[Entry]] | None = None

    def __reduce__(self) -> tuple[type["LocalDatabase"], tuple[Path, Codecs]]:
        """Pickled as what it was made of."""
        return type(self), (self.path, self.codecs)

    def __repr__(self) -> str:
        return f"LocalDatabase({str(self.path)!r})"

    @property
    def url(self) -> str:
        """What ``open_database`` takes: ``file:///...``."""
        return self.path.as_uri()

    def exists(self) -> bool:
        """Whether it has been written."""
        return local_files.index_path(self.path).exists()

    def entries(self) -> tuple[Entry, ...]:
        """The lines of ``database.txt``, as they are now.

        Raises:
            PayloadError: If a line is corrupt; names file and line.
        """
        return self._read()[0]

    def find(self, name: str, run: ExpRun) -> Entry | None:
        """The last entry of a name that holds a run."""
        return self._read()[1].at(name, run)

    def read(self, entry: Entry) -> StoredPayload:
        """An entry with its bytes, whatever their format; the origin is left to ``provenance``.

        Raises:
            PayloadError: If its file is missing.
        """
        self._pack = open_pack(self.path, self._pack)
        return local_files.read_item(self.path, entry, self._suffixes, self._pack)

    def items(self) -> Iterator[StoredPayload]:
        """All its payloads, encoded, with their origins, in the order of the entries.

        Raises:
            PayloadError: If a file is missing.
        """
        origins = self._read_origins()
        self._pack = open_pack(self.path, self._pack)
        for entry in self.entries():
            item = local_files.read_item(self.path, entry, self._suffixes, self._pack)
            origin = origins.get(entry) or local_files.read_old_origin(self.path, entry) or Provenance()
            yield StoredPayload(item.entry, item.suffix, item.data, origin)

    def load(self, entry: Entry) -> Any:
        """The content of an entry.

        Raises:
            PayloadError: If its file is missing or damaged, or no codec reads it.
        """
        return self.codecs.decode(self.read(entry))

    def provenance(self, entry: Entry) -> Provenance | None:
        """Where an entry came from, if that was kept."""
        origin = self._read_origins().get(entry)
        return origin if origin is not None else local_files.read_old_origin(self.path, entry)

    def path_of(self, entry: Entry) -> Path:
        """The file of an entry; those of an iteration's database are packed, and have none.

        Raises:
            PayloadError: If there is none.
        """
        return local_files.payload_path(self.path, entry, self._suffixes)

    @property
    def packed(self) -> bool:
        """Whether its payloads are in one file, which programs without caf may not know."""
        return (self.path / PACK).exists()

    def fingerprint(self) -> str:
        """A hash of what look-ups give; equal for databases that say the same by other lines."""
        return effect(self.entries())

    def store(self, payloads: Payloads) -> tuple[Entry, ...]:
        """Add payloads in one transaction: all of them count afterwards, or none.

        To store the same again changes nothing.

        Args:
            payloads: Payloads with their intervals, each alone or with where it came from.
        Returns:
            Their entries.
        Raises:
            PayloadError: If one of them cannot be stored, or the directory cannot be written.
        """
        return self.store_encoded(self._encoded(payloads))

    def write(self, payloads: Payloads) -> tuple[Entry, ...]:
        """Make the database hold exactly these payloads, in one transaction.

        Args:
            payloads: As for ``store``.
        Returns:
            Their entries.
        Raises:
            PayloadError: As for ``store``.
        """
        return self.write_encoded(self._encoded(payloads))

    def _encoded(self, payloads: Payloads) -> list[StoredPayload]:
        return [
            self.codecs.encode(one) if isinstance(one, Payload) else self.codecs.encode(*one)
            for one in payloads
        ]

    def store_encoded(self, items: Iterable[StoredPayload]) -> tuple[Entry, ...]:
        """As ``store``, for encoded payloads; they are written one by one, and not kept in memory."""
        self._check_own()
        with local_files.writing(self.path):
            written, _ = local_files.write_items(self.path, items, self._read_origins())
            local_files.write_index(self.path, appended(self.entries(), new := unique(written)))
        return new

    def write_encoded(
        self, items: Iterable[StoredPayload], *, packed: bool = False, durable: bool = True
    ) -> tuple[Entry, ...]:
        """As ``write``, for encoded payloads. Files that nothing refers to any more are removed last.

        Args:
            items: The payloads.
            packed: Whether they become one file (see ``caf_core.conditions.pack``), and not a file each.
            durable: Whether they have to survive a crash of the machine; without it, only of the process.
        Returns:
            Their entries.
        """
        self._check_own()
        with local_files.writing(self.path):
            known = self._read_origins()
            written, origins = local_files.write_items(
                self.path, items, known, packed=packed, durable=durable
            )
            new = unique(written)
            local_files.write_index(self.path, new, durable=durable)
            local_files.prune(self.path, new, origins, packed=packed, durable=durable)
        return new

    def merge(self, other: ConditionsDatabase) -> tuple[Entry, ...]:
        """Append the payloads of another database to this one, in one transaction."""
        return self.store_encoded(items_of(other))

    def export_basf2(self, directory: str | Path, names: Iterable[str] | None = None) -> Path:
        """Write a local database of basf2 with these payloads, which are ROOT files.

        Args:
            directory: Its directory; what basf2's database there said before is replaced.
            names: The payloads; all of them if left out.
        Returns:
            Its ``database.txt``, as ``basf2.conditions.append_testing_payloads`` takes it.
        Raises:
            PayloadError: If a payload is no ROOT file, or the directory holds a database of caf.
        """
        from caf_core.conditions.basf2 import export_basf2

        return export_basf2([self], directory, names)

    def diff(self, other: ConditionsDatabase) -> Difference:
        """What this database and another one do not have in common."""
        return difference(self.entries(), other.entries())

    def validate(self, entries: Iterable[Entry] | None = None) -> tuple[audit.Problem, ...]:
        """What is wrong: overlapping intervals of one name, missing files, files with a wrong hash.

        Args:
            entries: Those that are looked at; all of them if left out.
        """
        return audit.audit(self, self.entries() if entries is None else entries, self.codecs)

    def _check_own(self) -> None:
        if self.exists() and any(entry.of_basf2 for entry in self.entries()):
            raise PayloadError(
                f"{self.path} is a database of basf2, which caf only reads; store into another directory "
                f"(merge takes over what is here), and write basf2's with export_basf2."
            )

    def _read_origins(self) -> local_files.Origins:
        """Where the entries came from, read again if the file was replaced."""
        state = local_files.origins_state(self.path)
        if self._origins is None or self._origins[0] != state:
            self._origins = state, {} if state is None else local_files.read_origins(self.path)
        return self._origins[1]

    def _read(self) -> tuple[tuple[Entry, ...], Validity[Entry]]:
        """Entries and their index, read again if the file was replaced."""
        state = local_files.index_state(self.path)
        if self._seen is None or self._seen[0] != state:
            entries = local_files.read_index(self.path)
            self._seen = state, entries, validity_of(entries)
        return self._seen[1:]
