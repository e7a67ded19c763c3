"""Databases one behind the other."""

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from caf_core.conditions.codecs import BUILTIN_CODECS, Codecs
from caf_core.conditions.database import ConditionsDatabase, Opener
from caf_core.conditions.opening import open_database
from caf_core.conditions.payload import Entry
from caf_core.conditions.structured import structure
from caf_core.conditions.validity import Validity, effect
from caf_core.errors import PayloadError
from caf_core.iov import ExpRun, IoV

_NO_DEFAULT: Any = object()
_KEPT_CONTENTS = 1000
_LISTED_INTERVALS = 5


@frozen
class Found:
    """A payload that a chain found, and where."""

    database: ConditionsDatabase
    entry: Entry


class Chain:
    """Databases in the order in which they are searched: the first that has a payload for a run wins.

    The chain looks at its databases once, at the first look-up, and answers from that until ``refresh``:
    all look-ups of a job see the same constants.

    Args:
        databases: The databases; the first one has the highest priority.
        codecs: The formats that it can read.
    """

    def __init__(self, databases: Iterable[ConditionsDatabase], codecs: Codecs = BUILTIN_CODECS) -> None:
        self.databases = tuple(databases)
        self.codecs = codecs
        self._index: Validity[Found] | None = None
        self._contents: dict[tuple[str, str, object], Any] = {}
        self._read: set[tuple[str, str, str]] = set()

    def __reduce__(self) -> tuple[type["Chain"], tuple[tuple[ConditionsDatabase, ...], Codecs]]:
        """Pickled as what it was made of."""
        return type(self), (self.databases, self.codecs)

    def __repr__(self) -> str:
        return f"Chain({list(self.databases)!r})"

    @classmethod
    def from_description(
        cls,
        urls: Iterable[str],
        openers: Mapping[str, Opener] | None = None,
        codecs: Codecs = BUILTIN_CODECS,
    ) -> "Chain":
        """Make a chain from what ``describe`` gave, in this or another process.

        Raises:
            CafError: If one of the databases is not there.
        """
        return cls((open_database(url, openers) for url in urls), codecs)

    def describe(self) -> list[str]:
        """The URLs of the databases, in order: JSON values."""
        return [database.url for database in self.databases]

    def find(self, name: str, run: ExpRun) -> Found | None:
        """The payload of a name for a run, and the database that has it."""
        found = self._entries().at(name, run)
        if found is not None:
            self._read.add((found.database.url, name, found.entry.revision))
        return found

    def _entries(self) -> Validity[Found]:
        if self._index is None:
            # Later items win within an index, so the databases come in reverse.
            self._index = Validity(
                (entry.name, entry.iov, Found(database, entry))
                for database in reversed(self.databases)
                for entry in database.entries()
            )
        return self._index

    def anew(self) -> "Chain":
        """The same databases as they were looked at, for a reader who shares no content with others."""
        other = Chain(self.databases, self.codecs)
        other._index = self._entries()
        return other

    def get(self, name: str, run: ExpRun, default: Any = _NO_DEFAULT, *, as_type: type | None = None) -> Any:
        """The constants of a name for a run.

        Args:
            name: The payload's name.
            run: The run.
            default: What to return if there is no such payload; without it, that is an error.
            as_type: An attrs class, a dataclass or another type to make of plain content.
        Returns:
            The content, which all who ask for it share: do not change it.
        Raises:
            PayloadError: If there is no such payload and no default, or it cannot be read.
        """
        found = self.find(name, run)
        if found is None:
            if default is _NO_DEFAULT:
                raise PayloadError(self._missing(name, run))
            return default
        # A revision of basf2's counts within its database only.
        origin = found.database.url if found.entry.of_basf2 else ""
        key = (name, f"{found.entry.revision}{origin}", as_type)
        if key not in self._contents:
            content = self.codecs.decode(found.database.read(found.entry))
            if len(self._contents) >= _KEPT_CONTENTS:
                self._contents.pop(next(iter(self._contents)))
            self._contents[key] = content if as_type is None else structure(content, as_type, name=name)
        return self._contents[key]

    def read(self) -> list[list[str]]:
        """What look-ups have given so far: [database, name, revision], sorted."""
        return [list(row) for row in sorted(self._read)]

    def names(self) -> tuple[str, ...]:
        """The names of all payloads in the chain, sorted."""
        return tuple(sorted({entry.name for database in self.databases for entry in database.entries()}))

    def fingerprint(self) -> str:
        """A hash of what look-ups give now, whichever database gives it."""
        return effect(entry for database in reversed(self.databases) for entry in database.entries())

    def refresh(self) -> None:
        """Look at the databases again at the next look-up."""
        self._index = None
        for database in self.databases:
            if hasattr(database, "refresh"):
                database.refresh()

    def _missing(self, name: str, run: ExpRun) -> str:
        if not self.databases:
            return f"there is no payload {name!r} for run {run}: no conditions database is in use; add one."
        held = []
        for database in self.databases:
            iovs = [entry.iov for entry in database.entries() if entry.name == name]
            held.append(f"{database.url} {_held(name, iovs)}")
        return (
            f"there is no payload {name!r} for run {run}; searched {len(held)}: {'; '.join(held)}. "
            "Add a database that has it, correct the name, or give a default."
        )


def _held(name: str, iovs: list[IoV]) -> str:
    if not iovs:
        return f"has no {name!r}"
    listed = " and ".join(str(iov) for iov in iovs[:_LISTED_INTERVALS])
    more = len(iovs) - _LISTED_INTERVALS
    return f"has it for {listed}" + (f" and {more} more" if more > 0 else "")
