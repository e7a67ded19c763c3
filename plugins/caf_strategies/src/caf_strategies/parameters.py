"""What users may write for the parameters of strategies, and what it becomes."""

from collections.abc import Iterable, Sequence
from operator import index
from typing import SupportsIndex

from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun, IoV, as_iov, as_runs


def interval(value: IoV | Sequence[int] | str | None) -> IoV | None:
    """An interval that holds runs, from an ``IoV``, four numbers or text; or None.

    Raises:
        ConfigurationError: If it is none of these, or empty.
    """
    if value is None:
        return None
    iov = as_iov(value)
    if iov.empty:
        raise ConfigurationError("an empty IoV cannot be that of payloads; give one with runs, or None.")
    return iov


def boundaries(values: Iterable[ExpRun | Sequence[int] | str] | None) -> tuple[ExpRun, ...] | None:
    """Runs, from ``ExpRun`` or pairs of numbers; or None.

    Raises:
        ConfigurationError: If one of them is no run.
    """
    return None if values is None else as_runs(values)


def number_of_runs(value: SupportsIndex) -> int:
    """A whole number of at least one.

    Raises:
        ConfigurationError: If it is something else.
    """
    try:
        number = index(value)
    except TypeError as error:
        raise ConfigurationError(f"step_size is {value!r}; it must be a whole number of runs.") from error
    if number < 1:
        raise ConfigurationError(f"step_size is {number}; it must be at least 1.")
    return number


def switch(value: bool) -> bool:
    """True or False, and nothing that merely looks like it.

    Raises:
        ConfigurationError: If it is something else.
    """
    if not isinstance(value, bool):
        raise ConfigurationError(f"keep_boundaries is {value!r}; it must be True or False.")
    return value
