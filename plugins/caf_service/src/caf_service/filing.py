"""Files and folders that are complete or not there at all, and nobody else's."""

import os
import shutil
import uuid
import zipfile
from pathlib import Path

from caf_core.errors import ConfigurationError


def private_folder(folder: Path) -> None:
    """Make a folder that its owner alone can enter; one that is there is closed to others.

    Raises:
        ConfigurationError: If it is there and belongs to somebody else.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise ConfigurationError(
            f"the folder {folder} belongs to somebody else, who could read what a service keeps there; name "
            "another one."
        )
    if found.st_mode & 0o077:
        folder.chmod(0o700)


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
