"""A global tag of a central database, to look payloads up."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from caf_core.conditions.central_store import CentralStore
from caf_core.conditions.central_tags import TagState
from caf_core.conditions.codecs import BUILTIN_CODECS, Codecs
from caf_core.conditions.payload import Entry, StoredPayload
from caf_core.conditions.provenance import Provenance
from caf_core.conditions.validity import Validity, effect, validity_of
from caf_core.errors import ConfigurationError, PayloadError
from caf_core.home import given_path
from caf_core.iov import ExpRun

_URL = re.compile(r"sqlite:///(?P<path>[^?]+)(\?(?P<query>.*))?", re.IGNORECASE | re.DOTALL)


class CentralDatabase:
    """One global tag, opened for reading only: no right to write is needed.

    The entries are read at the first look-up and kept, until ``refresh``.

    Args:
        location: The SQLite file, or its URL ``sqlite:///relative/path`` or ``sqlite:////absolute/path``
            (percent-encoded), with ``?tag=NAME`` or without.
        global_tag: The tag, if the URL does not name it.
        codecs: The formats that ``load`` can read.
    Raises:
        ConfigurationError: If no tag is named, or two.
        PayloadError: If there is no such file or tag, or the tag is invalid.
    """

    def __init__(self, location: str | Path, global_tag: str = "", codecs: Codecs = BUILTIN_CODECS) -> None:
        path, tag = _parse(str(location)) if _URL.match(str(location)) else (given_path(location), "")
        if tag and global_tag and tag != global_tag:
            raise ConfigurationError(
                f"{str(location)!r} names the global tag {tag!r}, not {global_tag!r}; name one."
            )
        self._store = CentralStore(path, read_only=True, codecs=codecs)
        self.path = self._store.path
        self.global_tag = tag or global_tag
        self.codecs = codecs
        self._known: tuple[tuple[Entry, ...], Validity[Entry]] | None = None
        self._check()

    def __reduce__(self) -> tuple[type["CentralDatabase"], tuple[Path, str, Codecs]]:
        """Pickled as what it was made of."""
        return type(self), (self.path, self.global_tag, self.codecs)

    def __repr__(self) -> str:
        return f"CentralDatabase({str(self.path)!r}, {self.global_tag!r})"

    @property
    def url(self) -> str:
        """What ``open_database`` takes."""
        return f"sqlite:///{quote(bytes(self.path))}?tag={self.global_tag}"

    def entries(self) -> tuple[Entry, ...]:
        """The entries of the tag, in the order in which they count."""
        return self._read()[0]

    def find(self, name: str, run: ExpRun) -> Entry | None:
        """The entry of a name that counts for a run."""
        return self._read()[1].at(name, run)

    def read(self, entry: Entry) -> StoredPayload:
        """An entry with its bytes, still encoded."""
        return self._store.read(entry)

    def load(self, entry: Entry) -> Any:
        """The content of an entry."""
        return self.codecs.decode(self.read(entry))

    def provenance(self, entry: Entry) -> Provenance | None:
        """Where an entry came from."""
        return self._store.provenance(self.global_tag, entry)

    def fingerprint(self) -> str:
        """A hash of what look-ups give."""
        return effect(self.entries())

    def refresh(self) -> None:
        """Read the entries again at the next look-up; an open tag may have grown."""
        self._known = None

    def _check(self) -> None:
        if not self.global_tag:
            known = ", ".join(tag.name for tag in self._store.tags()) or "none"
            raise ConfigurationError(
                f"the central database {self.path} is used without a global tag; add ?tag=NAME, one "
                f"of: {known}."
            )
        if self._store.tag(self.global_tag).state is TagState.INVALID:
            raise PayloadError(
                f"the global tag {self.global_tag!r} of {self.path} was declared invalid; use another one."
            )

    def _read(self) -> tuple[tuple[Entry, ...], Validity[Entry]]:
        if self._known is None:
            entries = self._store.entries(self.global_tag)
            self._known = entries, validity_of(entries)
        return self._known


def open_sqlite(url: str) -> CentralDatabase:
    """Open the global tag that a URL names: ``sqlite:///path?tag=NAME``.

    Raises:
        ConfigurationError: If the URL is not of this form.
        PayloadError: If there is no such file or tag, or the tag is invalid.
    """
    path, tag = _parse(url)
    return CentralDatabase(path, tag)


def _parse(url: str) -> tuple[Path, str]:
    """Path and tag of a URL; three slashes and a path, so that a fourth begins an absolute one."""
    match = _URL.fullmatch(url)
    query = parse_qsl(match["query"] or "", keep_blank_values=True) if match else []
    if match is None or [key for key, _ in query] not in ([], ["tag"]):
        raise ConfigurationError(
            f"{url!r} is not the URL of a global tag; write sqlite:///relative/path?tag=NAME or "
            "sqlite:////absolute/path?tag=NAME."
        )
    return Path(unquote(match["path"], errors="surrogateescape")), dict(query).get("tag", "")
