"""A collector's task, which is executed in a process of its own.

``collect`` is the ``entry`` of a ``Call``; its working directory is the attempt's own. The objects that it
needs lie in a *kit*, a pickle that the controller packs once; what differs from task to task comes as
arguments.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from attrs import frozen

from caf_core.calibration.collector import AnyCollector, CollectorContext, RunSelection, collect_function
from caf_core.calibration.shipping import pack, unpack
from caf_core.conditions.chain import Chain
from caf_core.conditions.codecs import Codecs
from caf_core.conditions.database import ConditionsDatabase


@frozen
class Doors:
    """How another process opens databases and reads payloads: the dotted names of codecs and of openers."""

    codecs: tuple[str, ...] = ()
    openers: Mapping[str, str] = {}

    def chain(self, urls: Sequence[str]) -> Chain:
        """Open a chain that was described by its URLs."""
        # Imported only when a URL of that scheme comes, as some bring a database library with them.
        openers = {scheme: partial(_open, name) for scheme, name in self.openers.items()}
        return Chain.from_description(list(urls), openers or None, self.open_codecs())

    def open_codecs(self) -> Codecs:
        """The codecs, those of plugins first."""
        return Codecs([_named(name)() for name in self.codecs])


def dotted(value: Callable[..., Any] | type) -> str:
    """``module:name`` of a class or function."""
    return f"{value.__module__}:{value.__qualname__}"


def _open(name: str, url: str) -> ConditionsDatabase:
    database: ConditionsDatabase = _named(name)(url)
    return database


def _named(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


@frozen
class CollectKit:
    """What every task of a collection shares."""

    collector: AnyCollector | None
    params: Mapping[str, Any]
    calibration: str
    collection: str

    def pack(self) -> bytes:
        """For ``unpack``."""
        return pack(
            self, f"the collector of calibration {self.calibration!r}, collection {self.collection!r},"
        )


def collect(
    kit: str,
    selection: Mapping[str, Any],
    iteration: int,
    chain: Sequence[str],
    doors: Mapping[str, Any],
    input_files: Sequence[str] = (),
) -> None:
    """Execute a Python collector on the input files of this task."""
    shared: CollectKit = unpack(Path(kit))
    context = CollectorContext(
        input_files=tuple(input_files),
        selection=RunSelection.from_json(selection),
        conditions=Doors(**doors).chain(chain),
        params=shared.params,
        iteration=iteration,
        output_dir=Path.cwd(),
        calibration=shared.calibration,
        collection=shared.collection,
    )
    collect_function(shared.collector)(context)
    context.finish(kit)
