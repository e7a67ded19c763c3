"""What every conditions database can do."""

from collections.abc import Callable, Iterator
from typing import Protocol

from attrs import evolve

from caf_core.conditions.payload import Entry, StoredPayload
from caf_core.conditions.provenance import Provenance
from caf_core.iov import ExpRun


class ConditionsDatabase(Protocol):
    """Payloads by name and run, to look up. Instances can be pickled."""

    @property
    def url(self) -> str:
        """What ``open_database`` opens it by, in any process of this machine."""

    def entries(self) -> tuple[Entry, ...]:
        """All its entries; of two that hold a run the later one counts."""

    def find(self, name: str, run: ExpRun) -> Entry | None:
        """The entry of a name that counts for a run."""

    def read(self, entry: Entry) -> StoredPayload:
        """One of its entries with its bytes, still encoded; the origin may be left out.

        Raises:
            PayloadError: If it cannot be read.
        """

    def provenance(self, entry: Entry) -> Provenance | None:
        """Where one of its entries came from, if that was kept."""

    def fingerprint(self) -> str:
        """A hash of what look-ups give."""


Opener = Callable[[str], ConditionsDatabase]
"""Opens the database of a URL; raises a ``CafError`` if it is not there."""


def items_of(database: ConditionsDatabase) -> Iterator[StoredPayload]:
    """All payloads of a database, encoded, with their origins, in the order of the entries."""
    for entry in database.entries():
        yield evolve(database.read(entry), provenance=database.provenance(entry) or Provenance())
