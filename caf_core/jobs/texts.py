"""Lists of texts, from whatever a user gives for one."""

import os
from collections.abc import Iterable, Mapping
from os import PathLike

from caf_core.errors import ConfigurationError


def texts(values: object) -> list[str]:
    """A list of names, patterns or lines; a single one needs no list, and ``None`` is an empty one.

    Raises:
        ConfigurationError: If it is nothing of the kind, or a list within the list.
    """
    if values is None:
        return []
    if isinstance(values, str | bytes | PathLike):
        return [_text(values, values)]
    if not isinstance(values, Iterable):
        raise ConfigurationError(f"{values!r} is no list of texts; write ['text', ...].")
    if isinstance(values, set | frozenset):
        # A set has another order in every process, and the order decides how the work is cut.
        values = sorted(values, key=str)
    return [_text(value, values) for value in values]


def words(values: object) -> list[str]:
    """The words of a command: as ``texts``, but one text is no command.

    Raises:
        ConfigurationError: As for ``texts``, or if it is one text.
    """
    if isinstance(values, str | bytes):
        raise ConfigurationError(
            f"{values!r} is one text where a list of texts is needed; write ['my-program', '--option']."
        )
    return texts(values)


def _text(value: object, values: object) -> str:
    if isinstance(value, bytes | PathLike):
        return os.fsdecode(value)
    if value is None or isinstance(value, list | tuple | set | frozenset | Mapping):
        raise ConfigurationError(
            f"{value!r} in {values!r} is no text; write one list of texts: ['text', ...]."
        )
    return str(value)
