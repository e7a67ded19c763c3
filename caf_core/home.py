"""Paths as people write them."""

from contextlib import suppress
from os import PathLike
from pathlib import Path


def given_path(path: str | PathLike[str]) -> Path:
    """A path that a user gave, in which ``~`` or ``~NAME`` in front is the home of a user, if there is such a
    user."""
    given = Path(path)
    with suppress(RuntimeError):  # where there is none, the file's own name begins with a tilde
        return given.expanduser()
    return given
