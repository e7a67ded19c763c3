"""What every conditions database can do, and how one is opened by its URL."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from caf_core.conditions.codecs import BUILTIN_CODECS, Codecs
from caf_core.conditions.local import LocalDatabase
from caf_core.conditions.payload import Entry, StoredPayload
from caf_core.conditions.provenance import Provenance
from caf_core.errors import ConfigurationError, PayloadError
from caf_core.iov import ExpRun

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

    def load(self, entry: Entry) -> Any:
        """The content of one of its entries.

        Raises:
            PayloadError: If it cannot be read.
        """

    def provenance(self, entry: Entry) -> Provenance | None:
        """Where one of its entries came from, if that was kept."""

    def items(self) -> Iterable[StoredPayload]:
        """Its payloads, encoded, in the order of the entries."""

    def fingerprint(self) -> str:
        """A hash of what look-ups give."""


Opener = Callable[[str, Codecs], ConditionsDatabase]
"""Opens the database of a URL; raises a ``CafError`` if it is not there."""


def open_local(url: str, codecs: Codecs) -> LocalDatabase:
    """Open a local database that exists, by path, ``file:path`` (percent-encoded) or ``file:///path``.

    Raises:
        ConfigurationError: If the URL names another host.
        PayloadError: If there is no database.
    """
    database = LocalDatabase(_local_path(url), codecs)
    if not database.exists():
        raise PayloadError(
            f"there is no conditions database in {database.path} (it has no database.txt); correct "
            f"the path, or leave it out."
        )
    return database


def _open_sqlite(url: str, codecs: Codecs) -> ConditionsDatabase:
    """Open a global tag of a central database; peewee is imported only here."""
    from caf_core.conditions.central import open_sqlite

    return open_sqlite(url, codecs)


BUILTIN_OPENERS: Mapping[str, Opener] = {"file": open_local, "sqlite": _open_sqlite}
"""The databases of the core, by URL scheme."""


def open_database(
    url: str, openers: Mapping[str, Opener] | None = None, codecs: Codecs = BUILTIN_CODECS
) -> ConditionsDatabase:
    """Open a conditions database to look payloads up.

    Args:
        url: A path, or a URL whose scheme says what kind of database it is.
        openers: The kinds by scheme, to which ``file`` always belongs; those of the core if nothing is given.
        codecs: The payload formats.
    Raises:
        ConfigurationError: If no opener knows the scheme.
        PayloadError: If there is no such database.
    """
    openers = BUILTIN_OPENERS if openers is None else {"file": open_local, **openers}
    match = _SCHEME.match(url)
    if match is None:
        return open_local(url, codecs)
    opener = openers.get(match[1].lower())
    if opener is None:
        known = ", ".join(f"{scheme}:" for scheme in sorted(openers)) or "none"
        raise ConfigurationError(
            f"nothing opens the conditions database {url!r}: the known kinds are {known}; "
            f"install a plugin for {match[1]!r}, or write ./{url} if it is a path."
        )
    return opener(url, codecs)


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
