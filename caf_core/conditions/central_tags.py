"""Global tags: their states, and their rows in the tables."""

import re
from enum import StrEnum
from typing import Any

from attrs import frozen

from caf_core.conditions.central_models import Tables
from caf_core.errors import ConfigurationError, PayloadError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,149}")


class TagState(StrEnum):
    """What may be done with a global tag."""

    OPEN = "open"
    """Payloads may be added."""
    PUBLISHED = "published"
    """Its content never changes again."""
    INVALID = "invalid"
    """Not to be used any more; its content is kept."""


_NEXT = {
    TagState.OPEN: (TagState.PUBLISHED, TagState.INVALID),
    TagState.PUBLISHED: (TagState.INVALID,),
    TagState.INVALID: (),
}


@frozen
class GlobalTag:
    """A named collection of payloads with their intervals.

    Args:
        name: Its name.
        state: What may be done with it.
        description: What it is for.
        entries: How many entries it has.
        created: When it was made [s since 1970].
        changed: When its content or state changed last [s since 1970].
    """

    name: str
    state: TagState
    description: str
    entries: int
    created: float
    changed: float


def tag_of(row: Any) -> GlobalTag:
    """What a row says."""
    return GlobalTag(
        row.name, TagState(row.state), row.description, row.entries.count(), row.created, row.changed
    )


def tag_row(tables: Tables, name: str) -> Any:
    """The row of a tag.

    Raises:
        PayloadError: If there is no such tag; names those that there are.
    """
    row = tables.tag.get_or_none(tables.tag.name == name)
    if row is None:
        known = ", ".join(sorted(other.name for other in tables.tag.select())) or "none"
        raise PayloadError(f"there is no global tag {name!r}; there are: {known}.")
    return row


def add_tag(tables: Tables, name: str, description: str, now: float) -> Any:
    """Add the row of an open tag.

    Raises:
        ConfigurationError: If there is one of this name, or this cannot be a name.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot be the name of a global tag: use at most 150 of the ASCII letters, digits, and "
            "'_', '.', '+', '-', and begin with a letter, a digit or '_'."
        )
    if tables.tag.get_or_none(tables.tag.name == name) is not None:
        raise ConfigurationError(f"there is a global tag {name!r} already; choose another name.")
    return tables.tag.create(
        name=name, state=TagState.OPEN.value, description=description, created=now, changed=now
    )


def open_row(tables: Tables, name: str) -> Any:
    """The row of a tag whose content may be changed.

    Raises:
        ConfigurationError: If it is not open.
    """
    row = tag_row(tables, name)
    if row.state != TagState.OPEN:
        raise ConfigurationError(
            f"the global tag {name!r} is {row.state}, and only an open one can be changed; "
            "clone it, and change the clone."
        )
    return row


def move_tag(tables: Tables, name: str, state: TagState, now: float) -> Any:
    """Give a tag another state.

    Raises:
        ConfigurationError: If it cannot have that state now.
    """
    row = tag_row(tables, name)
    if state not in _NEXT[TagState(row.state)]:
        allowed = ", ".join(_NEXT[TagState(row.state)]) or "nothing else"
        raise ConfigurationError(
            f"the global tag {name!r} is {row.state} and cannot become {state}, only {allowed}."
        )
    if state is TagState.PUBLISHED and not row.entries.count():
        raise ConfigurationError(f"the global tag {name!r} is empty; upload payloads before it is published.")
    row.state, row.changed = state.value, now
    row.save()
    return row
