"""What ``caf doctor`` finds out: sentences with their weight, and what to set."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from attrs import field, frozen


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


@frozen
class Finding:
    """One thing that was found out.

    Args:
        level: ``problem`` if tasks cannot be executed like this; ``warning`` if something will go wrong
            sooner or later; ``note`` for what is worth knowing.
        text: One sentence for people.
        remedy: What to do about it, if there is something.
        settings: Arguments of the backend that would mend it, for ``caf.toml``.
        section: What it is about.
    """

    level: Level
    text: str
    remedy: str = ""
    settings: Mapping[str, Any] = field(factory=dict)
    section: str = "site"
