"""Names of input files: which files a name stands for, and which names stand for one file."""

import glob
import os
import re
from collections.abc import Hashable, Iterable, Mapping

from caf_core.errors import ConfigurationError
from caf_core.file_uri import is_file_uri, path_of_uri
from caf_core.home import given_path

_PLAIN = re.compile(r"(/(?!\.{1,2}(/|$))[^/]+)+", re.DOTALL)
"""An absolute path without ``.``, ``..`` and double slashes."""


def is_uri(name: str) -> bool:
    """Whether it is a URI such as ``root://``, which is passed through unseen; ``file:`` is a path."""
    return "://" in name and not is_file_uri(name)


def input_name(name: str) -> str:
    """The one name of an input file, whatever the working directory: a path is absolute, without ``.``,
    ``..`` and double slashes; links in it are kept, unless a ``..`` follows them.

    Raises:
        ConfigurationError: If the name is blank, or a ``file:`` URI names another host.
    """
    return name.strip() if is_uri(name) else _without_dots(_absolute(name))


def check_not_blank(name: str) -> None:
    """Refuse a name of nothing but blanks, as an empty line of a list makes it.

    Raises:
        ConfigurationError: With the remedy.
    """
    if not name.strip():
        raise ConfigurationError(
            f"the name {name!r} of an input file is blank; take blank lines out of the list of input files."
        )


def matches(name: str) -> list[str]:
    """The names of the files that a name, glob or URI stands for; a name that exists is taken as it is, so
    that brackets in file names are no trap.

    Raises:
        ConfigurationError: As for ``input_name``.
    """
    if is_uri(name):
        return [name.strip()]
    path = _absolute(name)
    found = [path] if os.path.exists(path) else sorted(glob.glob(path, recursive=True))  # noqa: PTH110, PTH207 - they take any name
    return list(dict.fromkeys(map(_without_dots, found)))


def distinct(names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Each file once, in order.

    Returns:
        The first name of each file, and every further name with the one that is kept.
    """
    first: dict[Hashable, str] = {}
    doubles = {}
    for name in dict.fromkeys(names):
        kept = first.setdefault(identity(name), name)
        if kept != name:
            doubles[name] = kept
    return list(first.values()), doubles


def identity(name: str) -> Hashable:
    """What two names of one file have in common: symbolic and hard links are followed; of ``root:`` URIs,
    the double slash and the usual port say nothing."""
    if is_uri(name):
        return _uri_identity(name.strip())
    path = input_name(name)
    try:
        status = os.stat(path)  # noqa: PTH116 - it is done for every file
    except (OSError, ValueError):
        return path
    # Size and time make sure of it where a file system numbers its files carelessly.
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) if status.st_ino else path


def told(doubles: Mapping[str, str]) -> str:
    """A sentence about files that were named twice."""
    other, kept = next(iter(doubles.items()))
    return (
        f"{len(doubles)} input file(s) are named more than once, such as {other!r}, which is {kept!r}; each "
        f"is taken once"
    )


def _uri_identity(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    scheme, host = scheme.lower(), host.lower()
    if scheme in ("root", "roots", "xroot", "xroots"):
        path, mark, query = path.partition("?")
        scheme, host = scheme.removeprefix("x"), host.removesuffix(":1094")
        path = re.sub("/+", "/", path).lstrip("/") + mark + query
    return f"{scheme}://{host}{slash}{path}"


def _absolute(name: str) -> str:
    """An absolute path; ``~`` is the home of a user, if there is such a user."""
    check_not_blank(name)
    if name != name.strip() and not os.path.lexists(name):  # such as a line of a list, with its end
        name = name.strip()
    if is_file_uri(name) and not os.path.lexists(name):
        name = path_of_uri(name)
    return str(given_path(name).absolute())


def _without_dots(path: str) -> str:
    if _PLAIN.fullmatch(path):
        return path
    shorter = f"/{os.path.normpath(path).lstrip('/')}"
    if "/../" not in f"{path}/":
        return shorter
    try:
        same = os.path.samefile(path, shorter)  # noqa: PTH121 - it takes any name
    except (OSError, ValueError):
        same = not os.path.exists(path)  # noqa: PTH110 - likewise
    # Where the folder before '..' is a link, the path leads elsewhere than its text says.
    return shorter if same else os.path.realpath(path)
