"""Payload files in one file: where thousands of them need not be files of their own.

The pack of a directory is an archive, ``payloads.zip``, whose members have the names of payload files and are
not compressed; what belongs to it counts by ``database.txt``, as files do.
"""

import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from attrs import field, frozen

from caf_core.conditions.files import file_state, replace_file_with
from caf_core.errors import PayloadError

PACK = "payloads.zip"
_NO_TIME = (1980, 1, 1, 0, 0, 0)  # the same payloads make the same bytes
_REFUSALS = (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile)


@frozen
class Pack:
    """A pack that is open for reading; an empty one where there is no file.

    Args:
        path: Its file.
        state: What changes whenever the file is replaced, or this process is a fork of the one that opened
            it: both would move one position in the file.
        archive: The archive.
        members: Names by what stands before their suffix.
    """

    path: Path
    state: tuple[int, object]
    archive: zipfile.ZipFile | None = None
    members: Mapping[str, str] = field(factory=dict, repr=False)

    def files(self, stems: Iterable[str]) -> dict[str, bytes]:
        """The content of those members that there are, by name, as ``write_pack`` takes it.

        Raises:
            PayloadError: If one is damaged.
        """
        found = ((self.members.get(stem), self.read(stem)) for stem in stems)
        return {name: item[1] for name, item in found if name is not None and item is not None}

    def read(self, stem: str) -> tuple[str, bytes] | None:
        """The suffix and the content of a member; ``None`` if there is none.

        Raises:
            PayloadError: If it is damaged.
        """
        if self.archive is None or (name := self.members.get(stem)) is None:
            return None
        try:
            return _suffix(name), self.archive.read(name)
        except _REFUSALS as error:
            raise _unreadable(self.path, error) from error


def open_pack(directory: Path, known: Pack | None = None) -> Pack:
    """The pack of a directory.

    Args:
        directory: The directory.
        known: What was opened there before; it is returned if it still holds.
    Raises:
        PayloadError: If it is damaged.
    """
    path = directory / PACK
    try:
        state = os.getpid(), file_state(path)
        if known is not None and known.state == state:
            return known
        if state[1] is None:
            return Pack(path, state)
        archive = zipfile.ZipFile(path)
    except _REFUSALS as error:
        raise _unreadable(path, error) from error
    return Pack(path, state, archive, {name.rpartition(".")[0]: name for name in archive.namelist()})


def write_pack(directory: Path, files: Mapping[str, bytes]) -> None:
    """Replace the pack of a directory.

    Args:
        directory: The directory.
        files: Content by name.
    """

    def write(stream: IO[bytes]) -> None:
        with zipfile.ZipFile(stream, "w") as archive:
            for name, data in sorted(files.items()):
                archive.writestr(zipfile.ZipInfo(name, _NO_TIME), data)

    replace_file_with(directory / PACK, write)


def _suffix(name: str) -> str:
    return name.rpartition(".")[2]


def _unreadable(path: Path, error: Exception) -> PayloadError:
    return PayloadError(f"{path} cannot be read ({error}); restore it, or leave its database out.")
