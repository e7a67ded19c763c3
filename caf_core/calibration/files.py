"""Small files, written so that they are either there as a whole or not at all."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from caf_core.errors import ConfigurationError
from caf_core.json_text import json_text

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def write_atomically(path: Path, content: bytes, *, own: bool = False) -> None:
    """Replace a file, or make it, with its folders.

    Args:
        path: The file.
        content: What it shall hold.
        own: Whether nobody else may write it, also where a group shares the folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.write_bytes(content)
    if own:
        with temporary.open("rb") as stream:
            forbid_others(stream)
    temporary.replace(path)


def forbid_others(stream: BinaryIO) -> None:
    """Let nobody else write an open file of this user, whatever the umask is."""
    os.fchmod(stream.fileno(), stat.S_IMODE(os.fstat(stream.fileno()).st_mode) & ~_OTHERS_WRITE)


def read_own(path: Path, what: str) -> bytes:
    """The content of a file that will be executed: only its user, or root, may have written it.

    Args:
        path: The file.
        what: What it holds, for the error message.
    Raises:
        ConfigurationError: If it belongs to somebody else, or others may write it.
        OSError: If it cannot be read.
    """
    with path.open("rb") as stream:
        check_own(stream, path, what)
        return stream.read()


def check_own(stream: BinaryIO, path: Path, what: str) -> None:
    """Refuse an open file that holds what may be executed if somebody else may have written it.

    Args:
        stream: The open file.
        path: Its name, for the error message.
        what: What it holds, likewise.
    Raises:
        ConfigurationError: If it belongs to another user but root, or others may write it.
    """
    state = os.fstat(stream.fileno())
    if state.st_uid not in (0, os.geteuid()):
        raise ConfigurationError(
            f"{path} holds {what} and belongs to another user ({state.st_uid}), whose code would be "
            "executed; use an output directory of your own, or remove the file and start again."
        )
    if state.st_mode & _OTHERS_WRITE:
        raise ConfigurationError(
            f"{path} holds {what}, and others may write it ({stat.filemode(state.st_mode)}), so that "
            "nobody knows whose code it is; remove it and start again, or, if you trust it, "
            "chmod go-w it."
        )


def write_json(path: Path, value: object) -> None:
    """Replace a file by a JSON value."""
    write_atomically(path, json_text(value).encode())
