"""Tables ``[backends.NAME]`` of ``caf.toml`` that no backend has: misspelt ones, and those of other places.

A site's file may serve many machines, so a table for a backend that is not installed here is no mistake by
itself. It is one if it was most likely meant for the backend that is used: then tasks would go without it.
"""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

from attrs import frozen

from caf_core.errors import ConfigurationError
from caf_core.jobs.backend import Backend
from caf_core.jobs.config.reading import Config
from caf_core.plugins.known import BROUGHT_BY, known_name
from caf_core.plugins.plugin import Kind
from caf_core.plugins.registry import Registry

_ALIKE = 0.75
"""From which likeness on (of ``difflib``) a name is taken for another one that is misspelt."""


@frozen
class UnusedTable:
    """A table that no backend here has.

    Args:
        name: As it stands in the file.
        file: The file.
        meant: The backend that is most likely meant; empty if none is near.
        available: The backends that there are.
    """

    name: str
    file: Path
    meant: str
    available: tuple[str, ...]

    def __str__(self) -> str:
        """One sentence for people."""
        text = (
            f"{self.file}: [backends.{self.name}] is not used here: there is no backend called {self.name!r}"
        )
        if self.meant:
            return f"{text}; write [backends.{self.meant}] if that is meant, or take the table out."
        known = known_name(Kind.BACKEND, self.name)
        if known is not None and known[0] == self.name:
            return f"{text}; install {known[1]} if you need it."
        return f"{text} (available: {', '.join(self.available)}); install its plugin if you need it."


def unused_tables(registry: Registry, config: Config, backends: Iterable[Backend] = ()) -> list[UnusedTable]:
    """The tables that no backend has.

    Args:
        registry: The plugins.
        config: The configuration.
        backends: Backends that are used, which may be of classes that no plugin brings.
    """
    available = registry.names(Kind.BACKEND)
    unknown = [name for name in config.backends if name not in available]
    if not unknown:
        return []
    taken = {name for kind in _classes(registry, backends) for name in _own_names(kind)}
    known = {*available, *(name for kind, name in BROUGHT_BY if kind is Kind.BACKEND)}
    found = []
    for name in unknown:
        if name in taken:
            continue
        near = get_close_matches(name, known, 1, _ALIKE) if name not in known else []
        file = next((one.file for one in config.backends[name].values()), Path("caf.toml"))
        found.append(UnusedTable(name, file, near[0] if near else "", available))
    return found


def refuse_misspelt(registry: Registry, config: Config, name: str) -> None:
    """Refuse a table that is most likely meant for a backend that is used, and misspelt.

    Args:
        registry: The plugins.
        config: The configuration.
        name: The backend.
    Raises:
        ConfigurationError: With both names.
    """
    unknown = [table for table in config.backends if table not in registry.names(Kind.BACKEND)]
    for table in get_close_matches(name, unknown, 1, _ALIKE) if name not in config.backends else ():
        file = next((one.file for one in config.backends[table].values()), "caf.toml")
        raise ConfigurationError(
            f"{file}: there is no backend {table!r}; write [backends.{name}] if that is meant, or take the "
            "table out."
        )


def _classes(registry: Registry, backends: Iterable[Backend]) -> Iterator[type[Backend]]:
    """All classes of backends that there are: a table may go by the name of a class, or of a base."""
    for name in registry.names(Kind.BACKEND):
        try:
            yield registry.backend(name)
        except Exception:  # noqa: S112 - who uses a plugin that cannot be imported is told elsewhere
            continue
    yield from map(type, backends)


def _own_names(kind: type[Backend]) -> Iterator[str]:
    return (base.__name__.lower() for base in kind.__mro__ if issubclass(base, Backend))
