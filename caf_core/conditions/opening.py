"""How a conditions database is opened by its URL."""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from caf_core.conditions.database import ConditionsDatabase, Opener
from caf_core.conditions.local import LocalDatabase
from caf_core.errors import ConfigurationError, PayloadError
from caf_core.file_uri import is_file_uri, path_of_uri
from caf_core.home import given_path

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_RELATIVE_SQLITE = re.compile(r"(sqlite:///)(?!/|%2F|\?|$)", re.IGNORECASE)


def open_local(url: str) -> LocalDatabase:
    """Open a local database that exists, by path, ``file:path`` (percent-encoded) or ``file:///path``.

    Raises:
        ConfigurationError: If the URL names another host.
        PayloadError: If there is no database.
    """
    database = LocalDatabase(path_of_uri(url) if is_file_uri(url) else url)
    if not database.exists():
        raise PayloadError(
            f"there is no conditions database in {database.path} (it has no database.txt); "
            "correct the path, or leave it out."
        )
    return database


def absolute_url(url: str) -> str:
    """A database by a name that means the same in every folder; relative paths are those of this one.

    Args:
        url: A path, or a URL; what only a plugin understands stays as it is.
    Raises:
        ConfigurationError: If a ``file:`` URL names another host.
    """
    if is_file_uri(url):
        return str(Path(path_of_uri(url)).absolute())
    if _SCHEME.match(url) is None:
        return str(given_path(url).absolute())
    return _RELATIVE_SQLITE.sub(lambda found: f"{found[1]}{quote(bytes(Path.cwd()))}/", url, count=1)


def _open_sqlite(url: str) -> ConditionsDatabase:
    from caf_core.conditions.central import open_sqlite  # peewee is imported only when it is needed

    return open_sqlite(url)


BUILTIN_OPENERS: Mapping[str, Opener] = {"file": open_local, "sqlite": _open_sqlite}
"""The databases of the core, by URL scheme."""


def open_database(url: str, openers: Mapping[str, Opener] | None = None) -> ConditionsDatabase:
    """Open a conditions database to look payloads up.

    Args:
        url: A path, or a URL whose scheme says what kind of database it is.
        openers: The kinds by scheme, to which ``file`` always belongs; those of the core if nothing is given.
    Raises:
        ConfigurationError: If no opener knows the scheme.
        PayloadError: If there is no such database.
    """
    openers = BUILTIN_OPENERS if openers is None else {"file": open_local, **openers}
    match = _SCHEME.match(url)
    if match is None:
        return open_local(url)
    opener = openers.get(match[1].lower())
    if opener is None:
        known = ", ".join(f"{scheme}:" for scheme in sorted(openers))
        raise ConfigurationError(
            f"nothing opens the conditions database {url!r}: the known kinds are {known}; "
            f"install a plugin for {match[1]!r}, or write ./{url} if it is a path."
        )
    return opener(url)
