"""Where users of a service may have input files: below folders, and below beginnings of addresses."""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)


class Roots:
    """Below these, input files may lie.

    Args:
        roots: Absolute folders, and beginnings of addresses such as ``root://host//store``.
    """

    def __init__(self, roots: Iterable[str]) -> None:
        roots = list(roots)
        self._addresses = [one.rstrip("/") + "/" for one in roots if _ADDRESS.match(one)]
        self._folders = [Path(one) for one in roots if not _ADDRESS.match(one)]
        self._looked: dict[str, bool] = {}

    def allow(self, file: str) -> bool:
        """Whether an input file lies below one of them, links followed; it need not be there."""
        if not file.isprintable() or ".." in re.split(r"[/\\\\]", file):
            return False
        address = _ADDRESS.match(file)
        if address and address[1].lower() != "file":
            # No dots in disguise, and no options of a client of that protocol.
            return not set("%?#") & set(file) and any(map(file.startswith, self._addresses))
        path = _path(file)
        if not path.startswith("/") or path.endswith("/"):
            return False
        # The files of a folder are one look, but for those that are links.
        folder = path.rpartition("/")[0] or "/"
        if folder not in self._looked:
            self._looked[folder] = self._resolves_below(folder)
        return self._looked[folder] and (not Path(path).is_symlink() or self._resolves_below(path))

    def betrayed(self, file: str) -> bool:
        """Whether a file that was allowed leads elsewhere by now: somebody may have put a link in its place.

        A file that has never been one of a user, such as one that a plan brings, is nobody's business here.
        """
        path = _path(file)
        mine = any(PurePosixPath(path).is_relative_to(one) for one in self._folders)
        return mine and not Roots(map(str, self._folders)).allow(file)

    def _resolves_below(self, path: str) -> bool:
        try:
            resolved = Path(path).resolve()
            return any(resolved.is_relative_to(one.resolve()) for one in self._folders)
        except (OSError, RuntimeError, ValueError):
            return False


def _path(file: str) -> str:
    """The path of a file on this machine, which may be written as an address."""
    address = _ADDRESS.match(file)
    if address is None or address[1].lower() != "file":
        return file
    return f"/{address[2].lstrip('/')}"
