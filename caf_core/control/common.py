"""The common database of a CAF: the constants of all calibrations that completed, without overlaps.

Two calibrations may give payloads of one name: for different runs, or where one depends on the other and
refines its constants. Then the one that depends on the other wins where both hold. If neither depends on the
other, nobody can say which is right, and the later one in the order of calibrations fails.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path

from attrs import evolve, frozen

from caf_core.conditions.local import LocalDatabase
from caf_core.conditions.payload import Entry, StoredPayload
from caf_core.conditions.validity import overlaps, without_overlaps
from caf_core.control.resolved import Resolved


@frozen
class Clash:
    """A calibration whose constants contradict those of an earlier one.

    Args:
        loser: The later of the two in the order of calibrations, whichever ended first.
        reason: One sentence that names both.
    """

    loser: str
    reason: str


class Owners:
    """Which of the calibrations that have completed gives payloads of which name, and where they hold.

    Args:
        calibrations: All calibrations, each after those that it depends on.
    """

    def __init__(self, calibrations: Mapping[str, Resolved]) -> None:
        self._calibrations = calibrations
        self._place = {name: number for number, name in enumerate(calibrations)}
        self._entries: dict[str, tuple[Entry, ...]] = {}
        self._lost: set[str] = set()

    def enter(self, one: Resolved) -> list[Clash]:
        """Take up a calibration that completes; says who has to fail because of it.

        The constants of one that fails count all the same: who fails does not depend on who ended first.
        """
        if not one.calibration.save_payloads:
            return []
        mine = self._entries[one.name] = LocalDatabase(one.final_database).entries()
        clashes = []
        for name in sorted(self._entries, key=self._place.__getitem__):
            if name in (one.name, *one.nearest) or one.name in self._calibrations[name].nearest:
                continue
            pair = _first_overlap(self._entries[name], mine)
            first, second = sorted((name, one.name), key=self._place.__getitem__)
            if pair is not None and second not in self._lost:
                self._lost.add(second)
                clashes.append(Clash(second, _contradiction(first, second, pair[0])))
        return clashes


def _contradiction(first: str, second: str, entry: Entry) -> str:
    return (
        f"its payloads {entry.name!r} hold where those of calibration {first!r} hold too (such as "
        f"{entry.iov}), and neither depends on the other; give them different names or different runs, let "
        f"{second!r} depend on {first!r} if it refines its constants, or set save_payloads = False for one "
        f"of them"
    )


def _first_overlap(first: Iterable[Entry], second: Iterable[Entry]) -> tuple[Entry, Entry] | None:
    """An entry of each that are called alike and share a run; what one of them says twice does not count."""
    first, second = list(first), list(second)
    names = {entry.name for entry in first} & {entry.name for entry in second}
    sides = [
        {evolve(entry, revision=revision) for entry in _effective(entries, names)}
        for entries, revision in ((first, "first"), (second, "second"))
    ]
    for one, other in overlaps((*sides[0], *sides[1])):
        if one.revision != other.revision:
            return one, other
    return None


def _effective(entries: Iterable[Entry], names: Iterable[str]) -> Iterator[Entry]:
    """What the entries of these names say, by entries that do not overlap."""
    for name in sorted(names):
        held = [(entry.iov, entry) for entry in entries if entry.name == name]
        yield from (evolve(entry, iov=iov) for iov, entry in without_overlaps(held))


def merge_all(output_dir: Path, calibrations: Iterable[Resolved], say: Callable[[str], None]) -> None:
    """Make the common database hold the constants of these calibrations, as far as they want it.

    Args:
        output_dir: The CAF's output directory.
        calibrations: Those that have completed, each after those that it depends on.
        say: Tells the user a sentence.
    """
    found: dict[str, list[tuple[str, StoredPayload]]] = {}
    for one in calibrations:
        if one.calibration.save_payloads and (one.final_database / "database.txt").exists():
            for item in LocalDatabase(one.final_database).items():
                found.setdefault(item.entry.name, []).append((one.name, item))
    _tell_of_cases(found, say)
    items: list[StoredPayload] = []
    for name, owned in found.items():
        owners = list(dict.fromkeys(owner for owner, _ in owned))
        for first, second in combinations(owners, 2):
            pair = _first_overlap(*([i.entry for o, i in owned if o == owner] for owner in (first, second)))
            if pair is not None:
                say(
                    f"{second}: its payloads {name!r} replace those of {first!r}, on which it depends, in "
                    f"the common database, where both hold"
                )
        kept = without_overlaps([(item.entry.iov, item) for _, item in owned])
        items += [item.valid_for(iov) for iov, item in kept]
    LocalDatabase(output_dir / "outputdb").write_encoded(items)


def _tell_of_cases(found: Iterable[str], say: Callable[[str], None]) -> None:
    """Names that differ in case only are different names; whoever wrote them may not have meant it."""
    alike: dict[str, list[str]] = {}
    for name in found:
        alike.setdefault(name.casefold(), []).append(name)
    for spellings in alike.values():
        if len(spellings) > 1:
            names = ", ".join(map(repr, spellings))
            say(f"the payloads {names} are different ones, as upper and lower case count")
