"""The files of a service. Every name is made of numbers; no client has a say in it."""

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from caf_core.errors import CafError
from caf_service.filing import sync_folder

_SUFFIX = re.compile(r"(\.[A-Za-z0-9_]{1,16}){0,3}")


class TooLargeError(CafError):
    """An upload is larger than the limit."""


class DamagedError(CafError):
    """An upload is not what it was announced to be."""


class Upload:
    """A file on its way in: in a folder of its own, until it is verified.

    Args:
        path: Where it is collected.
        limit: Its largest size [bytes].
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.size = 0
        self._limit = limit
        self._hash = hashlib.sha256()
        self._placed = False

    @property
    def sha256(self) -> str:
        """Its checksum so far."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Append.

        Raises:
            TooLargeError: If it becomes too large.
        """
        self._count(data)
        # Opened for every part: those that come slowly shall not use up the files that a process may open.
        with self.path.open("ab") as stream:
            stream.write(data)

    def finish(self, sha256: str, last: bytes = b"") -> None:
        """Append the last part, verify all of it, and make it safe on disk.

        Raises:
            TooLargeError: If it becomes too large.
            DamagedError: If it is truncated or altered.
        """
        self._count(last)
        found = self._hash.hexdigest()
        if found != sha256.lower():
            raise DamagedError(
                f"the file has {self.size} bytes with SHA-256 {found}, not {sha256.lower()}; send it again."
            )
        with self.path.open("ab") as stream:
            stream.write(last)
            stream.flush()
            os.fsync(stream.fileno())

    def place(self, target: Path) -> None:
        """Move it to its place; ``sync_folder`` makes that safe."""
        try:
            self.path.replace(target)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            for folder in target.parent.parents[:2]:  # that there is such a step, and that there are steps
                sync_folder(folder)
            self.path.replace(target)
        self._placed = True

    def discard(self) -> None:
        """Forget it; one that was moved to its place stays there."""
        if not self._placed:
            self.path.unlink(missing_ok=True)

    def _count(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._limit:
            raise TooLargeError(f"the file is larger than {self._limit} bytes, the limit of this service.")
        self._hash.update(data)


class Areas:
    """The folders of a service.

    Args:
        data: The folder that holds them.
    """

    def __init__(self, data: Path) -> None:
        self.data = data.resolve()
        self._incoming = self.data / "incoming"
        self._calibrations = self.data / "calibrations"
        self.copies = self.data / "results"

    def prepare(self) -> None:
        """Make them, and remove what was half uploaded when an earlier service ended."""
        shutil.rmtree(self._incoming, ignore_errors=True)
        for folder in (self._incoming, self._calibrations, self.copies):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def receive(self, limit: int) -> Upload:
        """Begin to take a file in."""
        return Upload(self._incoming / f"{uuid.uuid4().hex}.part", limit)

    def home(self, calibration: int) -> Path:
        """The folder of a calibration."""
        return self._calibrations / str(int(calibration))

    def attached(self, calibration: int, number: int) -> Path:
        """A file that a calibration brought."""
        return self.home(calibration) / "inputs" / str(int(number))

    def result_file(self, calibration: int, serial: int, worker: int, suffix: str) -> Path:
        """What a worker reported in a step."""
        checked = suffix if _SUFFIX.fullmatch(suffix) else ""
        return self.home(calibration) / "steps" / str(int(serial)) / f"{int(worker)}{checked}"

    def update_folder(self, calibration: int, serial: int) -> Path:
        """What the update function of a step left."""
        return self.home(calibration) / "updates" / str(int(serial))

    def failure_log(self, calibration: int, worker: int) -> Path:
        """The last lines of a worker that failed."""
        return self.home(calibration) / "failures" / f"{int(worker)}.txt"

    def staging(self) -> Path:
        """A new folder for a calibration that has no number yet."""
        folder = self._incoming / uuid.uuid4().hex
        folder.mkdir()
        return folder

    def discard(self, folder: Path) -> None:
        """Remove such a folder."""
        shutil.rmtree(folder, ignore_errors=True)

    def known(self) -> list[int]:
        """The calibrations that have a folder."""
        return [int(one.name) for one in self._calibrations.iterdir() if one.name.isdecimal()]

    def scratch(self, calibration: int) -> Path:
        """A new folder for something that may be given up in the middle."""
        folder = self.home(calibration) / "scratch" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        return folder

    def clear_scratch(self, calibration: int) -> None:
        """Remove all of them."""
        shutil.rmtree(self.home(calibration) / "scratch", ignore_errors=True)

    def result_folder(self, calibration: int) -> Path:
        """The result."""
        return self.home(calibration) / "result"

    def result_zip(self, calibration: int) -> Path:
        """The result in one file."""
        return self.home(calibration) / "result.zip"

    def remove(self, calibration: int) -> None:
        """Remove everything of a calibration."""
        shutil.rmtree(self.home(calibration), ignore_errors=True)

    def listing(self, calibration: int) -> dict[str, Path]:
        """What may be fetched: name -> file; a name that is not in here does not exist."""
        found = dict(_walk(self.result_folder(calibration)))
        for folder, name in (("updates", "steps"), ("failures", "failures")):
            found.update({f"{name}/{one}": path for one, path in _walk(self.home(calibration) / folder)})
        return found


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(folder).as_posix(), path
