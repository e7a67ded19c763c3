"""Closed intervals of runs.

The runs of an experiment are 0, 1, 2, ... without a last one, and so are the experiments; runs are ordered by
experiment first. Inside this module an interval is a pair of bounds in which infinity stands for "open". The
empty interval has its low bound above its high bound, so that few operations need to ask for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import total_ordering
from math import inf

from attrs import field, frozen

from caf_core.errors import InvalidIoVError
from caf_core.iov.exprun import ExpRun
from caf_core.iov.whole_numbers import split_numbers, whole

Bound = tuple[float, float]
_EMPTY: tuple[Bound, Bound] = ((inf, inf), (-1, -1))


@total_ordering
@frozen
class IoV:
    """An interval of validity: every run from the first to the last, both included.

    ``-1`` as ``run_high`` leaves the interval open within its last experiment; ``-1`` as ``exp_high`` (and as
    ``run_high`` too) leaves it open for ever. ``IoV()`` holds no run. Two intervals are equal if they hold
    the same runs. They sort by their beginning, then by their end; the empty one comes last.

    Args:
        exp_low: Experiment of the first run.
        run_low: Number of the first run.
        exp_high: Experiment of the last run, or -1.
        run_high: Number of the last run, or -1.
    Raises:
        InvalidIoVError: If there is no such interval.
    """

    exp_low: int = field(default=-1, converter=whole)
    run_low: int = field(default=-1, converter=whole)
    exp_high: int = field(default=-1, converter=whole)
    run_high: int = field(default=-1, converter=whole)

    def __attrs_post_init__(self) -> None:
        """Refuse what is not an interval."""
        problem = _problem(self.exp_low, self.run_low, self.exp_high, self.run_high)
        if problem:
            raise InvalidIoVError(f"there is no IoV {self}: {problem}.")

    @classmethod
    def always(cls) -> IoV:
        """The interval of every run there will ever be."""
        return cls(0, 0, -1, -1)

    @property
    def empty(self) -> bool:
        """Whether it holds no run."""
        return self.exp_low == -1

    @property
    def open_ended(self) -> bool:
        """Whether it has no last run, in its last experiment or for ever."""
        return self.run_high == -1 and not self.empty

    @property
    def first(self) -> ExpRun:
        """Its first run; ``ExpRun(-1, -1)``, which is no run, if it is empty."""
        return ExpRun(self.exp_low, self.run_low)

    @property
    def bounds(self) -> tuple[Bound, Bound]:
        """Lowest and highest (experiment, run); infinity where open; low is above high if it is empty."""
        if self.exp_low == -1:
            return _EMPTY
        run_high = inf if self.run_high == -1 else self.run_high
        return (self.exp_low, self.run_low), (inf if self.exp_high == -1 else self.exp_high, run_high)

    def contains(self, other: ExpRun | IoV) -> bool:
        """Whether it holds a run, or every run of another interval (the empty one is in all of them)."""
        low, high = self.bounds
        if isinstance(other, IoV):
            other_low, other_high = other.bounds
            return low <= other_low and other_high <= high
        return low <= other <= high

    __contains__ = contains

    def overlaps(self, other: IoV) -> bool:
        """Whether there is a run that both hold."""
        (low, high), (other_low, other_high) = self.bounds, other.bounds
        return max(low, other_low) <= min(high, other_high)

    def intersection(self, other: IoV) -> IoV:
        """The runs that both hold; empty if there are none."""
        (low, high), (other_low, other_high) = self.bounds, other.bounds
        return _from_bounds(max(low, other_low), min(high, other_high))

    def union(self, other: IoV) -> IoV | None:
        """The runs that either holds, or None if that is not one interval because runs are missing."""
        if self.empty or other.empty:
            return other if self.empty else self
        (low, high), (other_low, other_high) = self.bounds, other.bounds
        if max(low, other_low) > _after(min(high, other_high)):
            return None
        return _from_bounds(min(low, other_low), max(high, other_high))

    def starting_at(self, run: ExpRun) -> IoV:
        """The interval from ``run`` to the end of this one; empty if it ends before ``run``."""
        return self if self.empty else _from_bounds(run, self.bounds[1])

    def ending_before(self, run: ExpRun) -> IoV:
        """The interval from the beginning of this one to just before ``run``; empty if that is nothing.

        Just before run 0 of an experiment means open within the experiment before it.
        """
        return _from_bounds(self.bounds[0], _before(run))

    def open_in_experiment(self) -> IoV:
        """The interval from the beginning of this one, open within its last experiment."""
        return IoV(self.exp_low, self.run_low, self.exp_high, -1)

    def open_for_ever(self) -> IoV:
        """The interval from the beginning of this one, open for ever."""
        return IoV(self.exp_low, self.run_low, -1, -1)

    def __lt__(self, other: IoV) -> bool:
        """Order by beginning, then by end."""
        if not isinstance(other, IoV):
            return NotImplemented
        return self.bounds < other.bounds

    def __str__(self) -> str:
        """The text form ``"exp_low,run_low,exp_high,run_high"``, which ``parse`` reads."""
        return f"{self.exp_low},{self.run_low},{self.exp_high},{self.run_high}"

    @classmethod
    def parse(cls, text: str) -> IoV:
        """Read ``"exp_low,run_low,exp_high,run_high"``.

        Raises:
            InvalidIoVError: If the text is something else, or there is no such interval.
        """
        return cls(*split_numbers(text, 4, "'exp_low,run_low,exp_high,run_high'"))

    def to_json(self) -> list[int]:
        """The JSON form ``[exp_low, run_low, exp_high, run_high]``."""
        return [self.exp_low, self.run_low, self.exp_high, self.run_high]

    @classmethod
    def from_json(cls, value: Sequence[int]) -> IoV:
        """Read what ``to_json`` wrote.

        Raises:
            InvalidIoVError: If it is not four whole numbers, or there is no such interval.
        """
        return as_iov(value)


def as_iov(value: IoV | Sequence[int] | str) -> IoV:
    """An interval from an ``IoV``, four numbers or a text ``"exp_low,run_low,exp_high,run_high"``.

    Raises:
        InvalidIoVError: If it is none of these, or there is no such interval.
    """
    if isinstance(value, IoV):
        return value
    if isinstance(value, str):
        return IoV.parse(value)
    try:
        exp_low, run_low, exp_high, run_high = value
    except (TypeError, ValueError) as error:
        message = f"{value!r} is not an IoV; give IoV(exp_low, run_low, exp_high, run_high) or four numbers."
        raise InvalidIoVError(message) from error
    return IoV(exp_low, run_low, exp_high, run_high)


def _problem(exp_low: int, run_low: int, exp_high: int, run_high: int) -> str:
    """What is wrong with these numbers; nothing if they are an interval."""
    if exp_low == run_low == exp_high == run_high == -1:
        return ""
    if exp_low < 0 or run_low < 0:
        return "it must begin at a run, counted from 0"
    if exp_high < -1 or run_high < -1:
        return "the only negative number is -1, for an open end"
    if exp_high == -1:
        return "" if run_high == -1 else "open for ever is -1 for both numbers of the end"
    if exp_high < exp_low or (exp_high == exp_low and -1 < run_high < run_low):
        return "it ends before it begins"
    return ""


def _from_bounds(low: Bound, high: Bound) -> IoV:
    if low > high:
        return IoV()
    exp_high, run_high = (-1 if number == inf else int(number) for number in high)
    return IoV(int(low[0]), int(low[1]), exp_high, run_high)


def _after(bound: Bound) -> Bound:
    """The first run after a bound; infinity where there is none."""
    exp, run = bound
    return (exp + 1, 0) if run == inf else (exp, run + 1)


def _before(run: ExpRun) -> Bound:
    """The bound just before a run; below every run if it is the very first."""
    return (run.exp, run.run - 1) if run.run > 0 else (run.exp - 1, inf)
