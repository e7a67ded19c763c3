"""The files of a service. Every name is made of numbers; no client has a say in it."""

import hashlib
import os
import re
import shutil
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path

from caf_core.errors import CafError, ConfigurationError

_SUFFIX = re.compile(r"(\.[A-Za-z0-9_]{1,16}){0,3}")
MARK = ".caf-calibration"
"""Names a folder that was written by a service, so that it may write it again."""


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


def sync_folder(folder: Path) -> None:
    """Make the names in a folder safe on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_folder(source: Path, target: Path) -> None:
    """Put a complete folder in place of an earlier one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        old = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        target.rename(old)
        shutil.rmtree(old, ignore_errors=True)
    source.rename(target)


def write_zip(files: dict[str, Path], target: Path) -> None:
    """Pack files; the archive appears when it is complete."""
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
            for name, path in sorted(files.items()):
                archive.write(path, name)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def copy_result(files: dict[str, Path], folder: Path, calibration: int, owner: str) -> None:
    """Copy a result to ``folder/calibration-N``.

    Args:
        files: name -> file.
        folder: Where the user wants it.
        calibration: Its number.
        owner: What tells this service from others; only a copy of the same is replaced.
    Raises:
        ConfigurationError: If something else is there, or it cannot be written.
    """
    target = folder / f"calibration-{int(calibration)}"
    partial = folder / f".calibration-{int(calibration)}.{uuid.uuid4().hex}"
    try:
        if target.is_symlink() or (target.exists() and not _is_ours(target, owner)):
            raise ConfigurationError(f"there is something else in {target}; name another folder.")
        for name, path in files.items():
            copy = partial / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        partial.mkdir(parents=True, exist_ok=True)
        (partial / MARK).write_text(owner)
        replace_folder(partial, target)
    except OSError as error:
        raise ConfigurationError(
            f"the result cannot be copied to {target}: {error.strerror}; name another folder."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def allowed_folder(path: str, own: Path, roots: tuple[Path, ...]) -> Path:
    """The folder that a user names.

    Args:
        path: Relative to the user's own area, or absolute.
        own: The user's own area.
        roots: Where absolute ones may be.
    Raises:
        ConfigurationError: If it is not allowed.
    """
    wanted = Path(path)
    homes = [root.resolve() for root in roots] if wanted.is_absolute() else [own.resolve()]
    try:
        folder = (own / wanted).resolve()
    except (OSError, RuntimeError, ValueError):
        folder = None
    if folder is None or ".." in wanted.parts or not any(folder.is_relative_to(home) for home in homes):
        raise ConfigurationError(
            f"the folder {path!r} is not allowed; name a relative one"
            + (f", or one below {', '.join(map(str, roots))}." if roots else ".")
        )
    return folder


def _is_ours(folder: Path, owner: str) -> bool:
    try:
        return (folder / MARK).read_text() == owner
    except (OSError, UnicodeDecodeError):
        return False


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(folder).as_posix(), path
