"""The files of a local database: their names, and how they are read and written."""

import errno
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from attrs import evolve

from caf_core.conditions.codecs import BytesCodec, revision_of
from caf_core.conditions.files import read_if_there, replace_file, sync_directory
from caf_core.conditions.payload import Entry, StoredPayload, check_name
from caf_core.conditions.plain import dump
from caf_core.conditions.provenance import Provenance
from caf_core.errors import PayloadError

_PROVENANCE = "provenance.json"
_OWN = re.compile(r"\.?(?P<stem>.+_rev_[0-9a-f]{16})\.(?P<kind>provenance\.json|[A-Za-z0-9]+)(?P<tmp>\.tmp)?")
Origins = dict[str, dict[str, Any]]
"""Origins by file stem and interval."""


def index_path(directory: Path) -> Path:
    """Where the lines stand."""
    return directory / "database.txt"


def index_state(directory: Path) -> object:
    """What changes whenever ``database.txt`` is replaced."""
    try:
        state = index_path(directory).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(index_path(directory), error) from error
    return state.st_ino, state.st_mtime_ns, state.st_size


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
        PayloadError: If there is none.
    """
    stem = _stem(entry)
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


def read_item(directory: Path, entry: Entry, suffixes: Iterable[str] = ()) -> StoredPayload:
    """An entry with its bytes, without its origin."""
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


def read_provenance(directory: Path, entry: Entry) -> Provenance | None:
    """The origin of an entry, if it was kept."""
    known = _read_origins(directory / f"{_stem(entry)}.{_PROVENANCE}").get(str(entry.iov))
    return None if known is None else Provenance.from_json(known)


def write_items(
    directory: Path, items: Iterable[StoredPayload], *, durable: bool = True
) -> tuple[Entry, ...]:
    """Write payload files and their origins; they do not count before ``write_index``."""
    directory.mkdir(parents=True, exist_ok=True)
    entries = []
    origins: Origins = defaultdict(dict)
    for item in items:
        check_name(item.entry.name)
        stem = _stem(item.entry)
        replace_file(directory / f"{stem}.{item.suffix}", item.data, durable=durable)
        origins[stem][str(item.entry.iov)] = item.provenance.to_json()
        entries.append(item.entry)
    for stem, by_iov in origins.items():
        path = directory / f"{stem}.{_PROVENANCE}"
        replace_file(path, _origin_bytes(stem, {**_read_origins(path), **by_iov}), durable=durable)
    return tuple(entries)


def prune(directory: Path, entries: Iterable[Entry]) -> None:
    """Remove the files and origins of payloads that are not among the entries, and what crashes left."""
    kept: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        kept[_stem(entry)].add(str(entry.iov))
    for path in sorted(directory.iterdir()):
        match = _OWN.fullmatch(path.name)
        if match is None:
            continue
        if match["tmp"] or match["stem"] not in kept:
            path.unlink(missing_ok=True)
        elif match["kind"] == _PROVENANCE:
            origins = _read_origins(path)
            left = {iov: origin for iov, origin in origins.items() if iov in kept[match["stem"]]}
            if left != origins:
                replace_file(path, _origin_bytes(match["stem"], left))


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


def _stem(entry: Entry) -> str:
    return f"{'dbstore_' * entry.of_basf2}{entry.name}_rev_{entry.revision}"


def _origin_bytes(stem: str, origins: Mapping[str, Any]) -> bytes:
    return dump({"schema": 1, "payload": stem, "by_iov": origins})


def _read_origins(path: Path) -> Mapping[str, Any]:
    """The origins in a file, by interval."""
    try:
        data = read_if_there(path)
        return {} if data is None else dict(json.loads(data)["by_iov"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise PayloadError(
            f"the origins in {path} cannot be read ({error}); restore the file, or remove it."
        ) from error


def _unreadable(path: Path, error: OSError) -> PayloadError:
    return PayloadError(
        f"{path} cannot be read ({error.strerror or error}); make it readable, or leave its database out."
    )
