"""Which of many intervals holds a run, when later ones win: pure functions over entries."""

import hashlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from itertools import groupby, pairwise
from math import inf
from typing import Generic, TypeVar

from caf_core.conditions.payload import Entry
from caf_core.iov import ExpRun, IoV

T = TypeVar("T")
Point = tuple[float, float]
"""An (experiment, run), with infinity for what is open."""


class Steps(Generic[T]):
    """Items by run as a step function: of the intervals that hold a run, the last one given wins."""

    def __init__(self, items: Sequence[tuple[IoV, T]]) -> None:
        self.steps = _steps(items)
        self._starts = [start for start, _, _ in self.steps]

    def at(self, run: ExpRun) -> T | None:
        """The item that holds for a run."""
        index = bisect_right(self._starts, run) - 1
        if index < 0:
            return None
        _, stop, item = self.steps[index]
        return item if run < stop else None


class Validity(Generic[T]):
    """Items by name and run. Names are indexed when they are first asked for."""

    def __init__(self, items: Iterable[tuple[str, IoV, T]]) -> None:
        self.items: dict[str, list[tuple[IoV, T]]] = defaultdict(list)
        for name, iov, item in items:
            self.items[name].append((iov, item))
        self._steps: dict[str, Steps[T]] = {}

    def at(self, name: str, run: ExpRun) -> T | None:
        """The item of a name that holds for a run."""
        steps = self._steps.get(name)
        if steps is None:
            steps = self._steps[name] = Steps(self.items.get(name, ()))
        return steps.at(run)


def validity_of(entries: Iterable[Entry]) -> Validity[Entry]:
    """The index of a database's entries, in the order of its file."""
    return Validity((entry.name, entry.iov, entry) for entry in entries)


def effect(entries: Iterable[Entry]) -> str:
    """A hash of what look-ups give, whatever the order or number of lines by which it is said."""
    digest = hashlib.sha256()
    by_name = Validity((entry.name, entry.iov, entry.revision) for entry in entries).items
    for name, items in sorted(by_name.items()):
        for start, stop, revision in _joined(_steps(items)):
            digest.update(f"{name} {revision} {start} {stop}\n".encode())
    return digest.hexdigest()


def appended(old: Sequence[Entry], new: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries of a database after new ones were appended.

    Entries that are there already move to the end, unless look-ups would give the same without it; then
    nothing moves. So appending the same again changes nothing, and what was appended last is always what a
    look-up gives.
    """
    new = unique(new)
    again = set(old).intersection(new)
    if len(again) == len(new) and not _would_change(old, new):
        return tuple(old)
    return (*(entry for entry in old if entry not in again), *new)


def _would_change(old: Sequence[Entry], new: Sequence[Entry]) -> bool:
    before, after = validity_of(old).items, validity_of((*old, *new)).items
    return any(
        _joined(_steps(before[name])) != _joined(_steps(after[name]))
        for name in {entry.name for entry in new}
    )


def unique(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Entries without repetitions; of equal ones the last stays, for it is the one that counts."""
    return tuple(reversed(dict.fromkeys(reversed(tuple(entries)))))


def without_overlaps(items: Sequence[tuple[IoV, T]]) -> list[tuple[IoV, T]]:
    """The same by intervals that do not overlap: where several hold, the last one given is left."""
    return [(_between(start, stop), item) for start, stop, item in _steps(items)]


def _between(start: Point, stop: Point) -> IoV:
    begin = IoV(int(start[0]), int(start[1]), -1, -1)
    return begin if stop[0] == inf else begin.ending_before(ExpRun(int(stop[0]), int(stop[1])))


def overlaps(entries: Iterable[Entry]) -> tuple[tuple[Entry, Entry], ...]:
    """Pairs of entries of one name that share a run; one pair for every entry that begins within another."""
    found = []
    ordered = sorted(entries, key=lambda entry: (entry.name, entry.iov))
    for _, group in groupby(ordered, key=lambda entry: entry.name):
        reaching: Entry | None = None  # the entry that reaches farthest so far
        for entry in group:
            if reaching is not None and reaching.iov.overlaps(entry.iov):
                found.append((reaching, entry))
            if reaching is None or entry.iov.bounds[1] > reaching.iov.bounds[1]:
                reaching = entry
    return tuple(found)


def _stop(iov: IoV) -> Point:
    """The first (experiment, run) after an interval; open within an experiment ends at run 0 of the next."""
    exp, run = iov.bounds[1]
    return (exp + 1, 0) if run == inf else (exp, run + 1)


def _steps(items: Sequence[tuple[IoV, T]]) -> list[tuple[Point, Point, T]]:
    """Non-overlapping (start, stop, item), in order, without the stop; a sweep over all starts and stops."""
    held = [(iov.bounds[0], _stop(iov), position) for position, (iov, _) in enumerate(items) if not iov.empty]
    waiting = sorted(held, reverse=True)
    points = sorted({point for start, stop, _ in held for point in (start, stop)})
    active: list[tuple[int, Point]] = []  # a heap: the latest position first
    steps: list[tuple[Point, Point, T]] = []
    last = None
    for begin, end in pairwise(points):
        while waiting and waiting[-1][0] <= begin:
            _, stop, position = waiting.pop()
            heappush(active, (-position, stop))
        while active and active[0][1] <= begin:
            heappop(active)
        winner = active[0][0] if active else None
        if winner is not None and winner == last:
            steps[-1] = (steps[-1][0], end, steps[-1][2])
        elif winner is not None:
            steps.append((begin, end, items[-winner][1]))
        last = winner
    return steps


def _joined(steps: Iterable[tuple[Point, Point, T]]) -> list[tuple[Point, Point, T]]:
    """Neighbours with equal items as one step, as if they were one line."""
    joined: list[tuple[Point, Point, T]] = []
    for start, stop, item in steps:
        if joined and joined[-1][1] == start and joined[-1][2] == item:
            joined[-1] = (joined[-1][0], stop, item)
        else:
            joined.append((start, stop, item))
    return joined
