"""What the parts of the store have in common."""

from types import SimpleNamespace
from typing import Any

from caf_core.json_text import exact_json


class Rows:
    """A part of the store; belongs to the thread of its database.

    Args:
        models: The tables.
    """

    def __init__(self, models: SimpleNamespace) -> None:
        self._m = models


def as_text(value: Any) -> str:
    """A value as the JSON that is kept of it."""
    return exact_json(value, separators=(",", ":"))
