"""Where configuration files are looked for."""

import os
from collections.abc import Mapping
from pathlib import Path

from caf_core.errors import ConfigurationError

FILE_NAME = "caf.toml"
SITE_FILE = Path("/etc/caf") / FILE_NAME
VARIABLE = "CAF_CONFIG"
"""The environment variable that takes the place of the search: files with colons between, or nothing."""


def places(environ: Mapping[str, str], directory: Path) -> tuple[Path, ...]:
    """Where files may lie; a later one wins.

    Args:
        environ: The environment.
        directory: The project: the current directory.
    Returns:
        The files that ``CAF_CONFIG`` names; without it, those of the site, the user and the project.
    """
    if (chosen := environ.get(VARIABLE)) is not None:
        return tuple(directory / name for name in chosen.split(os.pathsep) if name)
    base = environ.get("XDG_CONFIG_HOME") or ""
    home = Path(base) if os.path.isabs(base) else Path(environ.get("HOME") or "/") / ".config"  # noqa: PTH117 - a text
    return (SITE_FILE, home / "caf" / FILE_NAME, directory / FILE_NAME)


def existing(environ: Mapping[str, str], directory: Path) -> tuple[Path, ...]:
    """The files that are there, in the order of ``places``.

    Raises:
        ConfigurationError: If ``CAF_CONFIG`` names one that is not.
    """
    found = places(environ, directory)
    there = tuple(path for path in found if path.exists())
    if VARIABLE in environ and len(there) < len(found):
        missing = next(path for path in found if path not in there)
        raise ConfigurationError(
            f"the configuration file {missing} does not exist; correct {VARIABLE}, or unset it and caf looks "
            "in the usual places."
        )
    return there
