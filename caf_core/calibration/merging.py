"""Merging what collectors kept, and going on from what was merged before."""

import functools
import io
import itertools
import operator
import pickle
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from attrs import define, field, frozen

from caf_core.errors import AlgorithmError
from caf_core.iov import ExpRun

_LIMIT = 64 * 2**20
"""The merged data of no more than this are kept for each collection, pickled [bytes]."""
_PLAIN = frozenset({bool, int, float, complex, str, bytes, type(None)})

_JOINED: dict[type, Callable[[Sequence[Any]], Any]] = {
    list: lambda items: list(itertools.chain.from_iterable(items)),
    tuple: lambda items: tuple(itertools.chain.from_iterable(items)),
    str: "".join,
    bytes: b"".join,
}
"""What ``+`` from the left would make too, with a copy of everything before for each item."""

Read = Callable[[Sequence[ExpRun]], Iterable[Any]]


def merge(items: Sequence[Any]) -> Any:
    """Merge objects in order: by ``merge(list)`` of their class where it has one, else with ``+`` from the
    left."""
    if len(items) == 1:
        return items[0]
    kind = type(items[0])
    merger = getattr(kind, "merge", None)
    if callable(merger):
        return merger(list(items))
    if kind in _JOINED and all(type(item) is kind for item in items):
        return _JOINED[kind](items)
    return functools.reduce(operator.add, items)


def goes_on_exactly(total: Any) -> bool:
    """Whether what is merged into a total is, bit by bit, what merging everything at once would give.

    Sums from the left are continued by the very same additions, so this holds for numbers, texts, lists of
    them and arrays, as these come out of a pickle as they went in. What merges by its class must declare it,
    by an attribute ``merges_exactly = True``.
    """
    kind = type(total)
    if kind is list:
        return _PLAIN.issuperset(map(type, total))
    if (kind.__module__, kind.__name__) == ("numpy", "ndarray"):  # which need not be installed
        return not total.dtype.hasobject
    return kind in _PLAIN or getattr(kind, "merges_exactly", False) is True


@frozen
class _Last:
    """What was asked for last.

    Args:
        runs: The runs.
        pickled: Their merged data, if they are kept.
    """

    runs: tuple[ExpRun, ...]
    pickled: bytes | None = None


@define
class Growing:
    """Merged data of runs, then of the same runs and more: they are added to what is there.

    A strategy that merges forward asks for run 1, for 1 and 2, for 1 to 3. What is kept is pickled, so
    whatever is done to an object that was given out stays there.
    """

    _last: dict[str | None, _Last] = field(factory=dict, init=False)

    def merged(self, runs: tuple[ExpRun, ...], collection: str | None, read: Read) -> Any:
        """The merged data of runs.

        Args:
            runs: The runs, sorted.
            collection: Whose data they are.
            read: Reads the objects of some of the runs, in order.
        Raises:
            AlgorithmError: If there are none.
        """
        last = self._last.get(collection, _Last(()))
        grows = bool(last.runs) and runs[: len(last.runs)] == last.runs
        if grows and last.pickled is not None:
            items = [pickle.loads(last.pickled), *read(runs[len(last.runs) :])]
        else:
            items = [*read(runs)]
        if not items:
            raise AlgorithmError(
                f"no data was kept for {len(runs)} run(s) from {min(runs, default=None)}: "
                "the collector counted entries but put no data, or read its output through .files."
            )
        kind = type(items[0])
        total = merge(items)
        # What was asked for with more runs once will be so again; nothing is spent on other plans.
        keeps = grows and type(total) is kind and goes_on_exactly(total)
        self._last[collection] = _Last(runs, _pickled(total) if keeps else None)
        return total


class _Bounded(io.BytesIO):
    """A file in memory that takes no more than it may."""

    def write(self, data: Any) -> int:
        if self.tell() + memoryview(data).nbytes > _LIMIT:
            raise OverflowError
        return super().write(data)


def _pickled(total: Any) -> bytes | None:
    """An object as bytes; ``None`` if it is too large, or cannot be pickled."""
    file = _Bounded()
    with suppress(Exception):  # the object is of any class
        pickle.dump(total, file, protocol=pickle.HIGHEST_PROTOCOL)
        return file.getvalue()
    return None
