"""Local databases of basf2, written for programs that read their constants with basf2."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from caf_core.conditions import local_files
from caf_core.conditions.database import ConditionsDatabase
from caf_core.conditions.files import replace_file
from caf_core.conditions.opening import open_database
from caf_core.conditions.payload import Entry
from caf_core.errors import ConfigurationError, PayloadError
from caf_core.home import given_path

_ROOT = b"root"
_SHORTEST, _LONGEST = 6, 32


def databases_of(conditions: str | Path) -> list[ConditionsDatabase]:
    """The databases that a task's ``conditions.json`` names, in the order of search.

    Raises:
        ConfigurationError: If the file is no such list.
        CafError: If one of them is not there.
    """
    try:
        urls = json.loads(Path(conditions).read_text(encoding="utf-8"))["databases"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigurationError(
            f"{conditions} is no conditions.json of a task ({error}); correct its name."
        ) from error
    return [open_database(url) for url in urls]


def export_basf2(
    databases: Iterable[ConditionsDatabase] | str | Path,
    directory: str | Path,
    names: Iterable[str] | None = None,
) -> Path:
    """Write a local database of basf2: a ``database.txt``, and a ROOT file for each payload.

    Args:
        databases: In the order in which they are searched, or the ``conditions.json`` of a task.
        directory: Where; what basf2's database there said before is replaced.
        names: The payloads; all of them if left out.
    Returns:
        The ``database.txt``, as ``basf2.conditions.append_testing_payloads`` takes it. Of two lines that hold
        a run the last one counts, as for caf.
    Raises:
        PayloadError: If a payload is no ROOT file, is unknown, or the directory holds a database of caf.
    """
    if isinstance(databases, str | Path):
        databases = databases_of(databases)
    folder = given_path(directory).absolute()
    if any(not entry.of_basf2 for entry in local_files.read_index(folder)):
        raise PayloadError(f"{folder} holds a database of caf; give another directory for that of basf2.")
    chosen = [(each, entry) for each in reversed(list(databases)) for entry in each.entries()]
    wanted = {entry.name for _, entry in chosen} if names is None else set(names)
    if absent := sorted(wanted - {entry.name for _, entry in chosen}):
        raise PayloadError(f"there is no payload {', '.join(map(repr, absent))}; correct the name.")
    chosen = [(each, entry) for each, entry in chosen if entry.name in wanted]
    for each, entry in chosen:  # before anything is written
        _content(each, entry)
    with local_files.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        local_files.write_index(folder, [_write(folder, each, entry) for each, entry in chosen])
    return local_files.index_path(folder)


def _content(database: ConditionsDatabase, entry: Entry) -> bytes:
    """The bytes of a payload that basf2 can read."""
    data = database.read(entry).data
    if not data.startswith(_ROOT):
        raise PayloadError(
            f"the payload {entry.name!r} for {entry.iov} is no ROOT file, and basf2 reads nothing else; let "
            f"the algorithm answer with the bytes of one, or name the payloads to be written."
        )
    return data


def _write(folder: Path, database: ConditionsDatabase, entry: Entry) -> Entry:
    """Write the file of a payload under the first digits of its MD5 sum that no other content has."""
    data = _content(database, entry)
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    # 16 digits would look like a revision of caf's.
    for size in (size for size in range(_SHORTEST, _LONGEST + 1) if size != 16):
        line = Entry(entry.name, digest[:size], entry.iov)
        path = folder / f"dbstore_{line.name}_rev_{line.revision}.root"
        if not path.exists():
            replace_file(path, data)
            return line
        if path.read_bytes() == data:
            return line
    raise PayloadError(f"{folder} holds another {entry.name!r} with the MD5 sum {digest}; empty it.")
