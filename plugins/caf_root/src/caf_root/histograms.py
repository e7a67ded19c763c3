"""Histograms run by run that add up exactly, whatever runs are wanted and however the files were split."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import boost_histogram as bh
import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike

from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun
from caf_root.counts import Axis, Counts, Integers, checked_axes
from caf_root.packing import pack, unpack


@frozen
class _Sums:
    """Cumulative sums.

    Args:
        runs: The runs, in order.
        places: The place of each among them.
        before: The sums over all runs before each of them and over all, shape (n_runs + 1, ...).
    """

    runs: tuple[ExpRun, ...]
    places: Mapping[ExpRun, int]
    before: Integers


class RunHistograms:
    """One histogram a run; any range of runs is added up by one difference of cumulative sums.

    These are made when the first sum is asked for after something was filled, and take as much memory as the
    histograms. All numbers are whole, so every way to a sum gives the same bits: see ``Counts``.

    Args:
        axes: The axes of all of them, of ``boost_histogram`` or of ``hist``.
    """

    merges_exactly = True
    """See ``Counts``."""

    def __init__(self, *axes: Axis) -> None:
        self.axes = checked_axes(axes)
        self._shape = tuple(int(axis.extent) for axis in self.axes)
        self._rows: dict[ExpRun, Integers] = {}
        self._sums: _Sums | None = None

    @classmethod
    def from_runs(cls, runs: Mapping[ExpRun, Counts]) -> Self:
        """Put the histograms of several runs together, such as ``context.data().by_run()`` gives them.

        Raises:
            ConfigurationError: If there are none, or if their axes differ.
        """
        if not runs:
            raise ConfigurationError("no histograms were given; at least one run is needed to know the axes.")
        histograms = cls(*next(iter(runs.values())).axes)
        for run, counts in runs.items():
            histograms.add(run, counts)
        return histograms

    def add(self, run: ExpRun, counts: Counts) -> None:
        """Add to the histogram of one run.

        Raises:
            ConfigurationError: If the axes differ.
        """
        if counts.axes != self.axes:
            raise ConfigurationError(
                f"the histogram of run {run} has other axes than the rest; fill all runs with the same axes."
            )
        self._row(run)[...] += counts.values

    def fill(self, run: ExpRun, *columns: ArrayLike) -> None:
        """Count events of one run.

        Args:
            run: The run; it is known from now on, even if there are no events.
            columns: What to count, one column an axis.
        """
        self._row(run)[...] += Counts.of(self.axes, *columns).values

    def fill_events(self, experiments: ArrayLike, runs: ArrayLike, *columns: ArrayLike) -> None:
        """Count events of any runs at once.

        Args:
            experiments: The experiment of every event, shape (n_events,).
            runs: The run of every event, shape (n_events,).
            columns: What to count, one column an axis, shape (n_events,) each.
        """
        pairs = np.column_stack([np.asarray(experiments, dtype=np.int64), np.asarray(runs, dtype=np.int64)])
        if len(pairs) == 0:
            return
        distinct, position = np.unique(pairs, axis=0, return_inverse=True)
        run_axis = bh.axis.Integer(0, len(distinct), underflow=False, overflow=False)
        filled = Counts.of((run_axis, *self.axes), position.ravel(), *columns).values
        for (experiment, run), row in zip(distinct.tolist(), filled, strict=True):
            self._row(ExpRun(experiment, run))[...] += row

    @staticmethod
    def merge(parts: "Sequence[RunHistograms]") -> "RunHistograms":
        """Add up collections run by run.

        Raises:
            ConfigurationError: If there are none, or if their axes differ.
        """
        if not parts:
            raise ConfigurationError("no histograms were given that could be merged; at least one is needed.")
        total = RunHistograms(*parts[0].axes)
        for part in parts:
            for run, counts in part.items():
                total.add(run, counts)
        return total

    @property
    def runs(self) -> tuple[ExpRun, ...]:
        """The runs, in order."""
        return tuple(sorted(self._rows))

    def items(self) -> Iterator[tuple[ExpRun, Counts]]:
        """Every run with its histogram, in order."""
        return ((run, self[run]) for run in self.runs)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, run: ExpRun) -> Counts:
        return Counts(self.axes, self._rows[run].copy())

    def between(self, first: ExpRun, last: ExpRun) -> Counts:
        """The sum over all runs from ``first`` to ``last``, both included; neither needs to exist."""
        sums = self._cumulative()
        low = bisect_left(sums.runs, first)
        high = max(low, bisect_right(sums.runs, last))
        return Counts(self.axes, sums.before[high] - sums.before[low])

    def of(self, runs: Iterable[ExpRun]) -> Counts:
        """The sum over these runs; it costs one difference for each unbroken range of them.

        Raises:
            KeyError: If one of them is not there.
        """
        sums = self._cumulative()
        positions = np.array(sorted({sums.places[run] for run in runs}), dtype=np.int64)
        total = np.zeros(self._shape, dtype=np.int64)
        for block in np.split(positions, np.flatnonzero(np.diff(positions) != 1) + 1):
            if len(block):
                total += sums.before[block[-1] + 1] - sums.before[block[0]]
        return Counts(self.axes, total)

    def entries(self) -> dict[ExpRun, int]:
        """How many entries every run has."""
        return {run: int(self._rows[run].sum()) for run in self.runs}

    def _row(self, run: ExpRun) -> Integers:
        self._sums = None
        return self._rows.setdefault(ExpRun(*run), np.zeros(self._shape, dtype=np.int64))

    def _cumulative(self) -> "_Sums":
        if self._sums is None:
            runs = self.runs
            before = np.zeros((len(runs) + 1, *self._shape), dtype=np.int64)
            for i, run in enumerate(runs):
                np.add(before[i], self._rows[run], out=before[i + 1])
            self._sums = _Sums(runs, {run: i for i, run in enumerate(runs)}, before)
        return self._sums

    def __getstate__(self) -> dict[str, Any]:
        return {"axes": self.axes, "rows": [(run, pack(self._rows[run])) for run in self.runs]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(*state["axes"])  # type: ignore[misc]  # the one way to the same invariants
        self._rows = {run: unpack(self._shape, *packed) for run, packed in state["rows"]}
