"""What may stand in a configuration file, and what it must look like."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from caf_core.errors import ConfigurationError
from caf_core.jobs.ledger import FailureKind
from caf_core.jobs.units import time_span

Check = Callable[[Any], Any]
"""Takes what a file holds and gives the value that is meant; raises ``ConfigurationError``."""


def _number(low: float, *, whole: bool) -> Check:
    def check(value: Any) -> Any:
        kinds = (int,) if whole else (int, float)
        if not isinstance(value, kinds) or isinstance(value, bool) or value < low:
            raise ConfigurationError(f"it is a {'whole ' if whole else ''}number of at least {low:g}")
        return value

    return check


def _span(value: Any) -> timedelta:
    if not isinstance(value, str):
        raise ConfigurationError("it is a text with a unit, such as '2h'")
    return time_span(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError("it is a text")
    return value


TOP: Mapping[str, Check] = {"backend": _text, "algorithm_backend": _text}
RESOURCES: Mapping[str, Check] = {
    "cpus": _number(1, whole=True),
    "memory_mb": _number(1, whole=True),
    "walltime": _span,
    "disk_mb": _number(1, whole=True),
}
RETRY: Mapping[str, Check] = {
    "memory_factor": _number(1, whole=False),
    "memory_cap_mb": _number(1, whole=True),
    "time_factor": _number(1, whole=False),
    "walltime_cap": _span,
    "held_for": _span,
}
ATTEMPTS: Mapping[str, Check] = {
    str(kind): _number(1, whole=True) for kind in FailureKind if kind is not FailureKind.CANCELLED
}
TABLES = ("backends", "resources", "retry")


def checked(
    table: str, values: Any, known: Mapping[str, Check], more: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The values of a table.

    Args:
        table: Its name, for messages; empty for the file itself.
        values: What the file holds.
        known: Key -> its check.
        more: Keys that are tables and not looked at here.
    Raises:
        ConfigurationError: For a key that nobody knows, or a value that cannot be.
    """
    if not isinstance(values, Mapping):
        raise ConfigurationError(
            f"{table!r} is {values!r}; it is a table, so write [{table}] above its keys."
        )
    found = {}
    for key, value in values.items():
        path = f"{table}.{key}" if table else key
        if key in more:
            continue
        if key not in known:
            raise ConfigurationError(f"there is no {path!r}; {alternatives(key, [*known, *more])}")
        try:
            found[key] = known[key](value)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path} is {value!r}; {str(error).rstrip('.')}.") from error
    return found


def alternatives(name: str, known: "list[str]") -> str:
    """What may be meant instead of a name."""
    near = get_close_matches(name, known, 1)
    return f"do you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known))}."
