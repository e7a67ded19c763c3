"""The user's database chain, as collections and calibrations hold it: URLs until the chain is opened."""

from collections.abc import Iterable
from os import PathLike, fspath
from pathlib import Path

from attrs import define, field

from caf_core.conditions.opening import absolute_url
from caf_core.errors import ConfigurationError


@define(weakref_slot=False, eq=False)
class DatabaseUser:
    """Something with a chain of conditions databases; the one added last is searched first.

    Args:
        database_chain: URLs in the order in which they were added; ``None`` takes the chain of what this
            belongs to.
    """

    database_chain: list[str] | None = field(default=None, kw_only=True)

    def reset_database(self) -> None:
        """Empty the chain: no database is used, not even an inherited one."""
        self.database_chain = []

    def use_local_database(self, path: str | PathLike[str], directory: str | PathLike[str] = "") -> None:
        """Add a local database, caf's own or basf2's.

        Args:
            path: Its directory, or the ``database.txt`` in it; also as ``file:`` URL.
            directory: Where its payloads lie; they lie beside ``database.txt``, so it says nothing new.
        Raises:
            ConfigurationError: If ``directory`` is another one.
        """
        folder = Path(fspath(path))
        home = folder.parent if folder.name == "database.txt" else folder
        if fspath(directory) and Path(fspath(directory)).resolve() != home.resolve():
            raise ConfigurationError(
                f"the payloads of the database {str(path)!r} lie beside its database.txt, not in "
                f"{str(directory)!r}; put them together."
            )
        self._add(str((folder.parent if folder.name == "database.txt" else folder).absolute()))

    def use_central_database(self, url: str, global_tag: str | None = None) -> None:
        """Add a global tag of a central database.

        Args:
            url: Such as ``sqlite:///constants.db``, a path relative to the current folder; a plugin may bring
                further schemes.
            global_tag: The tag, unless the URL holds one already (``?tag=NAME``).
        Raises:
            ConfigurationError: If it is a tag alone, as for basf2's own database.
        """
        if global_tag is None and not set(":/.").intersection(url):
            raise ConfigurationError(
                f"{url!r} names a global tag and no database; give both: use_central_database("
                f"'sqlite:///constants.db', {url!r}). A tag of basf2's own database is used where basf2 "
                f"runs, in the steering file."
            )
        url = absolute_url(url)
        self._add(f"{url}{'&' if '?' in url else '?'}tag={global_tag}" if global_tag else url)

    def _add(self, url: str) -> None:
        if self.database_chain is None:
            self.database_chain = []
        self.database_chain.append(url)


def search_order(chain: Iterable[str] | None) -> tuple[str, ...]:
    """The databases in the order in which they are searched, by absolute names: who searches works in other
    folders.
    """
    return tuple(reversed([absolute_url(fspath(url)) for url in chain or ()]))
