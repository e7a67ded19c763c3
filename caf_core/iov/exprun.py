"""One run of the detector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from caf_core.errors import InvalidIoVError
from caf_core.iov.whole_numbers import split_numbers, whole


class ExpRun(NamedTuple):
    """A run of an experiment; both count from 0. Sorts by experiment, then by run.

    It is a tuple, so JSON writes it as ``[exp, run]``.

    Args:
        exp: The experiment's number.
        run: The run's number within the experiment.
    """

    exp: int
    run: int

    def __str__(self) -> str:
        """The text form ``"exp,run"``, which ``parse`` reads."""
        return f"{self.exp},{self.run}"

    @classmethod
    def parse(cls, text: str) -> ExpRun:
        """Read ``"exp,run"``.

        Raises:
            InvalidIoVError: If the text is something else, or a number is negative.
        """
        return _checked(*split_numbers(text, 2, "'exp,run'"))

    def to_json(self) -> list[int]:
        """The JSON form ``[exp, run]``."""
        return [self.exp, self.run]

    @classmethod
    def from_json(cls, value: Sequence[int]) -> ExpRun:
        """Read what ``to_json`` wrote.

        Raises:
            InvalidIoVError: If it is not a pair of whole numbers from 0.
        """
        return as_exprun(value)


def as_exprun(value: ExpRun | Sequence[int] | str) -> ExpRun:
    """A run from an ``ExpRun``, a pair of numbers or a text ``"exp,run"``.

    Raises:
        InvalidIoVError: If it is none of these, or a number is negative.
    """
    if isinstance(value, str):
        return ExpRun.parse(value)
    try:
        exp, run = value
    except (TypeError, ValueError) as error:
        raise InvalidIoVError(
            f"{value!r} is not a run; give ExpRun(exp, run) or a pair of numbers."
        ) from error
    return _checked(whole(exp), whole(run))


def as_runs(values: Iterable[ExpRun | Sequence[int] | str]) -> tuple[ExpRun, ...]:
    """Runs from anything that ``as_exprun`` takes, in the order given.

    Raises:
        InvalidIoVError: If one of them is not a run, or ``values`` is not a sequence of them.
    """
    if isinstance(values, str):
        raise InvalidIoVError(f"{values!r} is not a sequence of runs; put it into a list.")
    try:
        return tuple(as_exprun(value) for value in values)
    except TypeError as error:
        raise InvalidIoVError(f"{values!r} is not a sequence of runs; put it into a list.") from error


def _checked(exp: int, run: int) -> ExpRun:
    if exp < 0 or run < 0:
        raise InvalidIoVError(f"there is no run {exp},{run}; experiments and runs count from 0.")
    return ExpRun(exp, run)
