"""Results outside the service's own folders: where users may have them, and their copies there."""

import shutil
import uuid
from pathlib import Path

from caf_core.errors import ConfigurationError
from caf_service.filing import replace_folder

MARK = ".caf-calibration"
"""Names a folder that was written by a service, so that it may write it again."""


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
            f"the folder {path!r} is not allowed; name a relative one without '..'"
            + (f", or one below {', '.join(map(str, roots))}." if roots else ".")
        )
    return folder


def made_folder(folder: Path) -> Path:
    """Make a folder that was allowed.

    Raises:
        ConfigurationError: If it leads elsewhere by now: a link may have been put in its place.
    """
    if folder.resolve() != folder:
        raise ConfigurationError(
            f"the folder {folder} leads elsewhere by now, which is not allowed; name another."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _is_ours(folder: Path, owner: str) -> bool:
    try:
        return (folder / MARK).read_text() == owner
    except (OSError, UnicodeDecodeError):
        return False
