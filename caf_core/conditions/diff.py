"""What two databases do not have in common."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from attrs import frozen

from caf_core.conditions.payload import Entry
from caf_core.conditions.validity import effect
from caf_core.iov import IoV

NOTHING: Mapping[Entry, str] = MappingProxyType({})


@frozen
class Change:
    """A name that both databases have, with other revisions or intervals.

    Args:
        name: The payload's name.
        here: The entries that only this database has.
        there: The entries that only the other one has. If both are empty, the same entries overlap in
            another order.
    """

    name: str
    here: tuple[Entry, ...]
    there: tuple[Entry, ...]


@frozen
class Difference:
    """How a database differs from another; false if look-ups give the same in both.

    Args:
        only_here: Entries of names that only this database has.
        only_there: Entries of names that only the other one has.
        changed: Names that both have, and that differ.
    """

    only_here: tuple[Entry, ...] = ()
    only_there: tuple[Entry, ...] = ()
    changed: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.only_here or self.only_there or self.changed)

    def entries(self) -> tuple[list[Entry], list[Entry]]:
        """The entries that only this database has, and those that only the other one has, by name and
        interval.
        """
        here = [*self.only_here, *(entry for change in self.changed for entry in change.here)]
        there = [*self.only_there, *(entry for change in self.changed for entry in change.there)]
        return sorted(here, key=_place), sorted(there, key=_place)

    def reordered(self) -> list[str]:
        """The names whose entries are the same, and overlap in another order."""
        return [change.name for change in self.changed if not change.here and not change.there]

    def text(self, here: Mapping[Entry, str] = NOTHING, there: Mapping[Entry, str] = NOTHING) -> str:
        """The difference in lines: ``-`` only here, ``+`` only there, ``~`` overlaps in another order.

        Args:
            here: What stands behind entries of this database.
            there: What stands behind entries of the other one.
        """
        marked = [
            (mark, entry, behind.get(entry, ""))
            for mark, entries, behind in zip("-+", self.entries(), (here, there), strict=True)
            for entry in entries
        ]
        marked.sort(key=lambda row: _place(row[1]))
        return "\n".join(
            [f"{mark} {entry.line()}{behind}" for mark, entry, behind in marked]
            + [f"~ {name} (the same entries, overlapping in another order)" for name in self.reordered()]
        )

    def __str__(self) -> str:
        return self.text()


def difference(here: Iterable[Entry], there: Iterable[Entry]) -> Difference:
    """Compare the entries of two databases; other lines that say the same are no difference."""
    left, right = _by_name(here), _by_name(there)
    changed = []
    for name in sorted(left.keys() & right.keys()):
        if effect(left[name]) == effect(right[name]):
            continue
        only_left = tuple(entry for entry in left[name] if entry not in right[name])
        only_right = tuple(entry for entry in right[name] if entry not in left[name])
        changed.append(Change(name, only_left, only_right))
    return Difference(_only(left, right), _only(right, left), tuple(changed))


def _place(entry: Entry) -> tuple[str, IoV]:
    return entry.name, entry.iov


def _by_name(entries: Iterable[Entry]) -> dict[str, dict[Entry, None]]:
    """Entries by name, in order; dictionaries serve as ordered sets."""
    names: dict[str, dict[Entry, None]] = defaultdict(dict)
    for entry in entries:
        names[entry.name].pop(entry, None)
        names[entry.name][entry] = None
    return names


def _only(one: dict[str, dict[Entry, None]], other: dict[str, dict[Entry, None]]) -> tuple[Entry, ...]:
    return tuple(entry for name in sorted(one.keys() - other.keys()) for entry in one[name])
