"""What may be wrong in a local database."""

from collections.abc import Iterable
from typing import Literal

from attrs import frozen

from caf_core.conditions.codecs import Codecs, revision_of
from caf_core.conditions.database import ConditionsDatabase
from caf_core.conditions.local_files import stem_of
from caf_core.conditions.payload import Entry
from caf_core.conditions.validity import overlaps, unique
from caf_core.errors import PayloadError


@frozen
class Problem:
    """Something that is wrong with an entry.

    Args:
        kind: ``overlap``: another entry of its name holds for the same run; ``missing``: it has no file;
            ``hash``: its file holds something else than its name says; ``codec``: its file is in a format
            that nothing here can check.
        entry: The entry.
        message: One sentence.
    """

    kind: Literal["overlap", "missing", "hash", "codec"]
    entry: Entry
    message: str


def audit(database: ConditionsDatabase, entries: Iterable[Entry], codecs: Codecs) -> tuple[Problem, ...]:
    """Everything that is wrong with entries of a database, in their order; overlaps last."""
    entries = unique(entries)
    problems = [problem for entry in entries if (problem := _check_content(database, entry, codecs))]
    for first, second in overlaps(entries):
        message = (
            f"{first.name!r} holds for {first.iov} and for {second.iov}, which overlap; the later line wins."
        )
        problems.append(Problem("overlap", second, message))
    return tuple(problems)


def _check_content(database: ConditionsDatabase, entry: Entry, codecs: Codecs) -> Problem | None:
    try:
        item = database.read(entry)
    except PayloadError as error:
        return Problem("missing", entry, str(error))
    if entry.of_basf2:
        return None  # its revision is no hash of all of its bytes
    codec = codecs.by_suffix(item.suffix)
    what = f"{stem_of(entry)}.{item.suffix} in {database!r}"
    if codec is None:
        return Problem("codec", entry, f"no codec here knows the format of {what}, so it was not checked.")
    if revision_of(codec.name, item.data) != entry.revision:
        return Problem(
            "hash", entry, f"{what} has another content than its name says; restore it from a copy."
        )
    return None
