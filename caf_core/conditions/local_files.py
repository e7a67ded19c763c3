"""The files of a local database: their names, and how they are read and written."""

import errno
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from attrs import evolve

from caf_core.conditions.codecs import BytesCodec, revision_of
from caf_core.conditions.files import (
    create_file,
    file_state,
    read_if_there,
    replace_file,
    sync_directory,
    sync_files,
)
from caf_core.conditions.pack import PACK, Pack, open_pack, write_pack
from caf_core.conditions.payload import Entry, StoredPayload, check_name
from caf_core.conditions.provenance import Provenance
from caf_core.errors import PayloadError
from caf_core.iov import IoV
from caf_core.json_text import COMPACT, json_text

_PROVENANCE = "provenance.json"
"""What ends the name of the file in which caf 0.1.0 kept where one payload came from."""
_ORIGINS = "provenance.jsonl"
_OWN = re.compile(r"\.?(?P<stem>.+_rev_[0-9a-f]{16})\.(?P<kind>provenance\.json|[A-Za-z0-9]+)(?P<tmp>\.tmp)?")
Origins = dict[Entry, Provenance]
"""Where entries came from."""


def index_path(directory: Path) -> Path:
    """Where the lines stand."""
    return directory / "database.txt"


def index_state(directory: Path) -> object:
    """What changes whenever ``database.txt`` is replaced."""
    return _state(index_path(directory))


def _state(path: Path) -> object:
    try:
        return file_state(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def read_index(directory: Path) -> tuple[Entry, ...]:
    """The entries of a directory; none if there is no ``database.txt``.

    Raises:
        PayloadError: If a line is corrupt; names file and line.
    """
    path = index_path(directory)
    try:
        lines = (read_if_there(path) or b"").decode("ascii", "surrogateescape").split("\n")
    except OSError as error:
        raise _unreadable(path, error) from error
    if lines[-1]:
        raise PayloadError(
            f"{path}, line {len(lines)} has no end, so part of it may be missing; complete it, with "
            f"a newline."
        )
    entries = []
    for number, line in enumerate(lines, start=1):
        line = line.partition("#")[0]  # a comment, as basf2 has them
        if not line.strip():
            continue
        try:
            entries.append(Entry.parse(line.rstrip() if "dbstore/" in line else line))
        except PayloadError as error:
            raise PayloadError(f"{path}, line {number}: {error} Correct or remove the line.") from error
    return tuple(entries)


def write_index(directory: Path, entries: Iterable[Entry], *, durable: bool = True) -> None:
    """Replace the lines; this is the moment at which a transaction counts."""
    lines = "".join(f"{entry.line()}\n" for entry in entries).encode()
    if durable:
        sync_directory(directory)
    if replace_file(index_path(directory), lines, durable=durable) and durable:
        sync_directory(directory)


def payload_path(directory: Path, entry: Entry, suffixes: Iterable[str] = ()) -> Path:
    """The file of an entry, whatever its format; these suffixes are tried before the directory is searched.

    Raises:
        PayloadError: If it has none of its own.
    """
    stem = stem_of(entry)
    if entry.of_basf2:
        for path in (directory / f"{stem}.root", directory / "dbstore" / f"{stem}.root"):
            if path.exists():
                return path
    for suffix in suffixes:
        if (path := directory / f"{stem}.{suffix}").exists():
            return path
    for path in sorted(directory.glob(f"{escape(stem)}.*")):
        match = _OWN.fullmatch(path.name)
        if match and match["stem"] == stem and match["kind"] != _PROVENANCE:
            return path
    raise PayloadError(
        f"{index_path(directory)} has the payload {entry.name!r} for {entry.iov}, but its file "
        f"{directory / stem}.* is missing; "
        "restore it, or remove the line."
    )


def stem_of(entry: Entry) -> str:
    """What the name of an entry's file begins with; a dot and a suffix follow."""
    return f"{'dbstore_' * entry.of_basf2}{entry.name}_rev_{entry.revision}"


def read_item(directory: Path, entry: Entry, suffixes: Iterable[str], pack: Pack) -> StoredPayload:
    """An entry with its bytes, without its origin; from the pack of the directory if it is there."""
    if (packed := pack.read(stem_of(entry))) is not None:
        return StoredPayload(entry, *packed)
    path = payload_path(directory, entry, suffixes)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    if entry.of_basf2:
        # Bytes under a revision of caf's, so that whoever stores them further needs to know nothing of basf2.
        own = evolve(entry, revision=revision_of(BytesCodec().name, data))
        return StoredPayload(own, BytesCodec().suffix, data)
    return StoredPayload(entry, path.suffix[1:], data)


def origins_state(directory: Path) -> object:
    """What changes whenever the file of origins is replaced."""
    return _state(directory / _ORIGINS)


def read_origins(directory: Path) -> Origins:
    """Where the entries of a directory came from, as far as that is kept in one file.

    Raises:
        PayloadError: If the file cannot be read.
    """
    path = directory / _ORIGINS
    tasks: dict[str, Any] = {"": {}}
    found: Origins = {}
    try:
        for line in (read_if_there(path) or b"").splitlines():
            row = json.loads(line)
            if "of" in row:
                tasks[row["tasks"]] = row["of"]
                continue
            name, revision, iov = row["payload"]
            origin = Provenance.from_json({**row["origin"], "tasks": tasks[row["tasks"]]})
            found[Entry(name, revision, IoV.parse(iov))] = origin
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise _bad_origins(path, error) from error
    return found


def read_old_origin(directory: Path, entry: Entry) -> Provenance | None:
    """The origin of an entry that caf 0.1.0 wrote, if it was kept."""
    known = _read_old_origins(directory / f"{stem_of(entry)}.{_PROVENANCE}").get(str(entry.iov))
    return None if known is None else Provenance.from_json(known)


def _write_origins(directory: Path, origins: Origins, *, durable: bool) -> None:
    """Replace the file of origins: one line an entry, and one for each list of tasks, before those who refer
    to it."""
    lines: list[bytes] = []
    digests: dict[int, str] = {id(None): ""}
    known = {""}
    for entry, origin in origins.items():
        if id(origin.tasks) not in digests:
            of = _line({"of": origin.tasks}) if origin.tasks else b""
            digests[id(origin.tasks)] = hashlib.sha256(of).hexdigest()[:16] if of else ""
        digest = digests[id(origin.tasks)]
        if digest not in known:
            known.add(digest)
            lines.append(_line({"schema": 2, "tasks": digest, "of": origin.tasks}))
        payload = [entry.name, entry.revision, str(entry.iov)]
        lines.append(_line({"payload": payload, "tasks": digest, "origin": origin.facts()}))
    if lines or (directory / _ORIGINS).exists():
        replace_file(directory / _ORIGINS, b"".join(lines), durable=durable)


def _line(value: Mapping[str, Any]) -> bytes:
    return json_text(value, sort_keys=True, separators=COMPACT).encode() + b"\n"


def write_items(
    directory: Path,
    items: Iterable[StoredPayload],
    known: Origins,
    *,
    packed: bool = False,
    durable: bool = True,
) -> tuple[tuple[Entry, ...], Origins]:
    """Write payload files and their origins; they do not count before ``write_index``.

    Args:
        directory: The database.
        items: What is written.
        known: The origins of what the database holds.
        packed: Whether they become one file, which replaces what was packed.
        durable: Whether they have to survive a crash of the machine.
    Returns:
        The entries of the items, and the origins that are kept now.
    """
    directory.mkdir(parents=True, exist_ok=True)
    origins = {**known}
    entries = []
    files = _Packed(directory) if packed else _Files(directory, durable=durable)
    for item in items:
        check_name(item.entry.name)
        files.add(f"{stem_of(item.entry)}.{item.suffix}", item.data)
        origins[item.entry] = item.provenance
        entries.append(item.entry)
    files.end()
    _write_origins(directory, origins, durable=durable)
    return tuple(entries), origins


class _Packed:
    """Payload files that become one, together with those that still count until the next ``write_index``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            self._files = open_pack(directory).files(stem_of(entry) for entry in read_index(directory))
        except PayloadError:  # what is damaged is lost already
            self._files = {}

    def add(self, name: str, data: bytes) -> None:
        self._files[name] = data

    def end(self) -> None:
        write_pack(self._directory, self._files)


class _Files:
    """Payload files of their own."""

    def __init__(self, directory: Path, *, durable: bool) -> None:
        self._directory, self._durable = directory, durable
        # What no line refers to nobody reads yet, and a new file of that name needs no other name before.
        self._counted = {stem_of(entry) for entry in read_index(directory)}
        self._there = {path.name for path in directory.iterdir()}
        self._new: list[str] = []

    def add(self, name: str, data: bytes) -> None:
        if name in self._there or name.rpartition(".")[0] in self._counted:
            if not replace_file(self._directory / name, data, durable=False):
                return
        else:
            create_file(f"{self._directory}/{name}", data)
            self._there.add(name)
        self._new.append(name)

    def end(self) -> None:
        if self._durable:
            sync_files(self._directory, self._new)


def prune(
    directory: Path, entries: Iterable[Entry], origins: Origins, *, packed: bool = False, durable: bool = True
) -> None:
    """Remove the files and origins of payloads that are not among the entries, and what crashes left.

    Args:
        directory: The database.
        entries: Its entries.
        origins: The origins of these and of others.
        packed: Whether the entries are packed: then no file of their own is needed, and else no pack.
        durable: Whether that has to survive a crash of the machine.
    """
    entries = set(entries)
    stems = {stem_of(entry) for entry in entries}
    if not packed:
        (directory / PACK).unlink(missing_ok=True)
    elif (pack := open_pack(directory)).members.keys() - stems:
        write_pack(directory, pack.files(stems))
    left = {entry: origin for entry, origin in origins.items() if entry in entries}
    if left.keys() != origins.keys():
        _write_origins(directory, left, durable=durable)
    for name in sorted(path.name for path in directory.iterdir()):
        match = _OWN.fullmatch(name)
        if match is not None and (packed or match["tmp"] or match["stem"] not in stems):
            (directory / name).unlink(missing_ok=True)


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Turn what the file system refuses into one clear error."""
    try:
        yield
    except OSError as error:
        remedy = (
            "make room"
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "choose a directory that you may write"
        )
        raise PayloadError(
            f"the database {directory} cannot be written ({error.strerror or error}); its old "
            f"content still counts; {remedy}."
        ) from error


def _read_old_origins(path: Path) -> Mapping[str, Any]:
    """The origins in a file of caf 0.1.0, by interval."""
    try:
        data = read_if_there(path)
        return {} if data is None else dict(json.loads(data)["by_iov"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise _bad_origins(path, error) from error


def _bad_origins(path: Path, error: Exception) -> PayloadError:
    return PayloadError(f"the origins in {path} cannot be read ({error}); restore the file, or remove it.")


def _unreadable(path: Path, error: OSError) -> PayloadError:
    return PayloadError(
        f"{path} cannot be read ({error.strerror or error}); make it readable, or leave its database out."
    )
