"""Where an output directory is now, where it was, and what of caf's names the old place."""

from pathlib import Path

from caf_core.json_text import exact_json

PRIVATE = ".caf"
"""The folder in an output directory in which controllers keep what is theirs."""

PLACE = "written at"
"""The setting in a checkpoint that says where the output directory was when a controller wrote it last."""


def earlier_place(noted: str | None, directory: Path) -> str:
    """Where an output directory was when a controller wrote it last, if that was elsewhere; else nothing.

    Args:
        noted: What is noted of it.
        directory: Where it is now.
    """
    if noted in (None, str(directory)) or is_same(Path(str(noted)), directory):
        return ""
    return str(noted)


def is_same(one: Path, other: Path) -> bool:
    """Whether two names mean one folder that exists."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def renamed(line: bytes, before: str, now: str) -> bytes:
    """JSON of caf's, such as the line of a task, with the paths in one place put into another one."""
    old, new = (exact_json(f"{place}/")[:-1].encode() for place in (before, now))
    return line.replace(old, new)
