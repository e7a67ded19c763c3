"""Opening ROOT files, so that whatever is wrong with one is told in one sentence that names it."""

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from caf_core.errors import CafError
from caf_core.text import clause

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_MAGIC = b"root"
_SMALLEST_HEADER = 20
_BIG_FILE_VERSION = 1_000_000
TREE_CLASSES = ("TTree", "TChain", "TNtuple", "TNtupleD", "ROOT::RNTuple", "ROOT::Experimental::RNTuple")


class RootFileError(CafError):
    """A ROOT file that cannot be used.

    Args:
        path: The file, as it was named.
        problem: What is wrong with it and what to do, without the name.
    """

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        super().__init__(f"input file {path!r} {problem}")


def is_remote(path: str) -> bool:
    """Whether this is a URI, such as ``root://...``, that is passed through to uproot."""
    return _SCHEME.match(path) is not None


@contextmanager
def open_root(path: str) -> Iterator[Any]:
    """Open a ROOT file for reading, by uproot.

    Args:
        path: A local path, taken literally (no wildcards, no ``file:object``), or a URI.
    Yields:
        The file's top directory.
    Raises:
        RootFileError: If the file is missing, empty, truncated or no ROOT file, or if reading it fails.
    """
    import uproot

    if is_remote(path):
        with reading(path):
            directory = uproot.open({path: None})
        with directory:
            yield directory
        return
    check_local(path)
    # An open file instead of its name: uproot would give some names (a::b) a meaning, and start threads.
    with Path(path).open("rb") as stream:
        with reading(path):
            # Its reading thread would only be waited for.
            directory = uproot.open(stream, use_threads=False)
        with directory:
            yield directory


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into a sentence about this file."""
    try:
        yield
    except RootFileError:
        raise
    except Exception as error:
        if isinstance(error, ImportError):  # uproot or fsspec names the package
            reason = clause(" ".join(str(error).split())[:200])
            raise RootFileError(
                path,
                f"cannot be read here, because a package is missing ({reason}); install it, the file may be "
                "as it should.",
            ) from error
        # A damaged file makes every layer of uproot fail in its own way; there is no common base class.
        reason = clause(" ".join(str(error).split())[:200]) or "no reason given"
        raise RootFileError(
            path,
            f"cannot be read ({type(error).__name__}: {reason}); check it and copy it again, or take it out "
            "of the input files.",
        ) from error


def check_local(path: str) -> None:
    """Check what can be checked of a local file before uproot reads it: that it is a ROOT file and whole.

    Raises:
        RootFileError: If it is not.
    """
    try:
        with Path(path).open("rb") as stream:
            header = stream.read(_SMALLEST_HEADER)
            size = stream.seek(0, 2)
    except FileNotFoundError as error:
        raise RootFileError(
            path, "does not exist; correct its name, or take it out of the input files."
        ) from error
    except OSError as error:
        raise RootFileError(
            path, f"cannot be opened ({error.strerror}); make it readable, or take it out of the input files."
        ) from error
    if size == 0:
        raise RootFileError(path, "is empty (0 bytes); make it again, or take it out of the input files.")
    if header[:4] != _MAGIC:
        raise RootFileError(
            path,
            "is not a ROOT file (it does not begin with 'root'); give ROOT files, or take it out of the "
            "input files.",
        )
    expected = _expected_size(header)
    if size < expected:
        raise RootFileError(
            path,
            f"is truncated ({size} of {expected} bytes); copy or make it again, or take it out of the input "
            "files.",
        )


def is_root_file(path: str) -> bool:
    """Whether a local file begins as ROOT files do."""
    try:
        with Path(path).open("rb") as stream:
            return stream.read(4) == _MAGIC
    except OSError:
        return False


def trees_of(directory: Any) -> tuple[str, ...]:
    """The names of the trees in a file, in the file's order."""
    names = directory.keys(recursive=True, cycle=False, filter_classname=lambda name: name in TREE_CLASSES)
    return tuple(dict.fromkeys(names))


def _expected_size(header: bytes) -> int:
    """The size that the file says it has [bytes]: ``fEND`` of its header.

    Source:
        https://root.cern/doc/master/classTFile.html, "ROOT file data format specification".
    """
    if len(header) < _SMALLEST_HEADER:
        return _SMALLEST_HEADER
    version, _, end = struct.unpack(">iii", header[4:16])
    if version >= _BIG_FILE_VERSION:
        (end,) = struct.unpack(">q", header[12:20])
    return int(end)
