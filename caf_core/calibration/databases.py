"""The user's database chain, as collections and calibrations hold it: URLs until the chain is opened."""

from os import PathLike, fspath
from pathlib import Path

from attrs import define, field


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

    def use_local_database(self, path: str | PathLike[str]) -> None:
        """Add a local database.

        Args:
            path: Its directory, or the ``database.txt`` in it.
        """
        folder = Path(fspath(path))
        self._add(str((folder.parent if folder.name == "database.txt" else folder).absolute()))

    def use_central_database(self, url: str, global_tag: str | None = None) -> None:
        """Add a global tag of a central database.

        Args:
            url: Such as ``sqlite:///constants.db``; a plugin may bring further schemes.
            global_tag: The tag, unless the URL holds one already (``?tag=NAME``).
        """
        self._add(f"{url}{'&' if '?' in url else '?'}tag={global_tag}" if global_tag else url)

    def _add(self, url: str) -> None:
        if self.database_chain is None:
            self.database_chain = []
        self.database_chain.append(url)
