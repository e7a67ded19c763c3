"""What every conditions database can do, and how one is opened by its URL."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from attrs import evolve

from caf_core.conditions.payload import Entry, StoredPayload
from caf_core.conditions.provenance import Provenance
from caf_core.errors import ConfigurationError, PayloadError
from caf_core.iov import ExpRun

if TYPE_CHECKING:
    from caf_core.conditions.local import LocalDatabase

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


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


def open_local(url: str) -> "LocalDatabase":
    """Open a local database that exists, by path, ``file:path`` (percent-encoded) or ``file:///path``.

    Raises:
        ConfigurationError: If the URL names another host.
        PayloadError: If there is no database.
    """
    from caf_core.conditions.local import LocalDatabase  # it imports this module

    database = LocalDatabase(_local_path(url))
    if not database.exists():
        raise PayloadError(
            f"there is no conditions database in {database.path} (it has no database.txt); "
            "correct the path, or leave it out."
        )
    return database


def _open_sqlite(url: str) -> ConditionsDatabase:
    from caf_core.conditions.central import open_sqlite  # peewee is imported only when it is needed

    return open_sqlite(url)


BUILTIN_OPENERS: Mapping[str, Opener] = {"file": open_local, "sqlite": _open_sqlite}
"""The databases of the core, by URL scheme."""


def open_database(url: str, openers: Mapping[str, Opener] | None = None) -> ConditionsDatabase:
    """Open a conditions database to look payloads up.

    Args:
        url: A path, or a URL whose scheme says what kind of database it is.
        openers: The kinds by scheme, to which ``file`` always belongs; those of the core if nothing is given.
    Raises:
        ConfigurationError: If no opener knows the scheme.
        PayloadError: If there is no such database.
    """
    openers = BUILTIN_OPENERS if openers is None else {"file": open_local, **openers}
    match = _SCHEME.match(url)
    if match is None:
        return open_local(url)
    opener = openers.get(match[1].lower())
    if opener is None:
        known = ", ".join(f"{scheme}:" for scheme in sorted(openers))
        raise ConfigurationError(
            f"nothing opens the conditions database {url!r}: the known kinds are {known}; "
            f"install a plugin for {match[1]!r}, or write ./{url} if it is a path."
        )
    return opener(url)


def _local_path(url: str) -> Path:
    if not url.lower().startswith("file:"):
        return Path(url)
    rest = url[len("file:") :]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host not in ("", "localhost"):
            raise ConfigurationError(
                f"{url!r} is on the host {host!r}; only paths of this machine can be opened."
            )
        rest = slash + path
    # As pathlib writes a name that is not UTF-8.
    return Path(unquote(rest, errors="surrogateescape"))
