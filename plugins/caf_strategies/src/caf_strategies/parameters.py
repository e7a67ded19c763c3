"""What users may write for the parameters of strategies, and what it becomes: a converter for each parameter.

All of them raise a ``ConfigurationError`` that names the parameter.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from itertools import pairwise
from operator import index
from typing import Any

from caf_core.errors import ConfigurationError, InvalidIoVError
from caf_core.iov import ExpRun, IoV, as_iov, as_runs

ON_SHORT = ("merge", "gap", "fail")
ON_FAILURE = ("stop", "keep_previous", "gap")


def apply_iov(value: IoV | Sequence[int] | str | None) -> IoV | None:
    """An interval that holds runs, from an ``IoV``, four numbers or text; or None."""
    return _interval("apply_iov", value)


def iov_coverage(value: IoV | Sequence[int] | str | None) -> IoV | None:
    """An interval that holds runs, from an ``IoV``, four numbers or text; or None."""
    return _interval("iov_coverage", value)


def _interval(name: str, value: IoV | Sequence[int] | str | None) -> IoV | None:
    if value is None:
        return None
    try:
        iov = as_iov(value)
    except InvalidIoVError as error:
        raise InvalidIoVError(f"{name}: {error}") from error
    if iov.empty:
        raise ConfigurationError(f"{name} is an empty IoV; give one with runs, or None.")
    return iov


def payload_boundaries(
    values: Iterable[ExpRun | Sequence[int] | str] | None,
) -> tuple[ExpRun, ...] | None:
    """Runs, each once and in order, from ``ExpRun``, pairs of numbers or texts; or None."""
    if values is None:
        return None
    try:
        runs = as_runs(values)
    except InvalidIoVError as error:
        raise InvalidIoVError(f"payload_boundaries: {error}") from error
    if isinstance(values, AbstractSet):
        return tuple(sorted(runs))
    for first, second in pairwise(runs):
        if first >= second:
            what = "twice" if first == second else f"after {first}"
            raise ConfigurationError(
                f"payload_boundaries has {second} {what}; give each boundary once, by experiment and run."
            )
    return runs


def step_size(value: Any) -> int:
    """A whole number of runs, at least one."""
    try:
        number = None if isinstance(value, bool) else index(value)
    except TypeError:
        number = None
    if number is None:
        raise ConfigurationError(f"step_size is {value!r}; it must be a whole number of runs.")
    if number < 1:
        raise ConfigurationError(f"step_size is {number}; it must be at least 1.")
    return number


def keep_boundaries(value: Any) -> bool:
    """True or False, and nothing that merely looks like it."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"keep_boundaries is {value!r}; it must be True or False.")
    return value


def on_short(value: Any) -> str:
    """One of the words of ``ON_SHORT``."""
    return _word("on_short", value, ON_SHORT)


def on_failure(value: Any) -> str:
    """One of the words of ``ON_FAILURE``."""
    return _word("on_failure", value, ON_FAILURE)


def _word(name: str, value: Any, words: Sequence[str]) -> str:
    if isinstance(value, str) and value in words:
        return value
    close = get_close_matches(value.lower(), words, n=1) if isinstance(value, str) else []
    hint = f"do you mean {close[0]!r}?" if close else f"it can be {', '.join(map(repr, words))}."
    raise ConfigurationError(f"{name} is {value!r}; {hint}")
