"""``caf run --check``: everything but the submission."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from caf_core.control.collecting import cuts_of
from caf_core.control.resolved import Resolved, ResolvedCollection
from caf_core.control.session import Wish, prepare
from caf_core.control.trial import try_out
from caf_core.errors import CafError
from caf_core.plugins.registry import Registry


@frozen
class CheckedCollection:
    """What a collection would do.

    Args:
        calibration: The calibration.
        collection: The collection.
        files: Input files that would be read.
        unwanted: Files that hold no run that is wanted.
        missing: Files that do not exist and are skipped.
        doubles: Further names of files that would be read once.
        tasks: Tasks that would be submitted.
        backend: To which backend.
        databases: Where constants are looked for, besides those of dependencies.
    """

    calibration: str
    collection: str
    files: int
    unwanted: int
    missing: int
    doubles: Mapping[str, str]
    tasks: int
    backend: str
    databases: tuple[str, ...]


@frozen
class Checked:
    """What a process would do.

    Args:
        order: The calibrations in a possible order.
        collections: Of every calibration.
        strategies: Calibration -> the strategies of its algorithms.
        output_dir: Where everything would lie.
        free_mb: Free space there [MB].
    """

    order: tuple[str, ...]
    collections: tuple[CheckedCollection, ...]
    strategies: Mapping[str, tuple[str, ...]]
    output_dir: Path
    free_mb: int


class CheckedError(CafError):
    """Ends a script that was only to be checked, at its first ``CAF.run``.

    Args:
        result: What would have been done.
    """

    def __init__(self, result: Checked) -> None:
        self.result = result
        super().__init__("the script was checked only; nothing was submitted.")


def check(wish: Wish) -> Checked:
    """Try everything but the submission.

    Raises:
        CafError: For anything that would go wrong at the start.
    """
    registry = Registry.load()
    catalogue, _ = prepare(wish, registry)
    for one in catalogue.calibrations.values():
        try_out(one, registry)
    return Checked(
        order=tuple(catalogue.calibrations),
        collections=tuple(
            _collection(one, part) for one in catalogue.calibrations.values() for part in one.collections
        ),
        strategies={
            name: tuple(type(part.strategy).__name__ for part in one.algorithms)
            for name, one in catalogue.calibrations.items()
        },
        output_dir=wish.output_dir,
        free_mb=_free_mb(wish.output_dir),
    )


def _collection(one: Resolved, part: ResolvedCollection) -> CheckedCollection:
    return CheckedCollection(
        calibration=one.name,
        collection=part.name,
        files=len(part.files.files),
        unwanted=len(part.files.unwanted),
        missing=len(part.files.missing),
        doubles=part.files.doubles,
        tasks=cuts_of(part),
        backend=one.backend,
        databases=part.chain,
    )


def _free_mb(directory: Path) -> int:
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    return shutil.disk_usage(existing).free // 1_000_000
