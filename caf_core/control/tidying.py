"""Removing what nobody will need: collector output, as its settings say, and more by ``caf tidy``."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from caf_core.calibration.convergence import Convergence
from caf_core.calibration.states import State
from caf_core.control.account import FILE as ACCOUNT
from caf_core.control.relocating import owned_store
from caf_core.control.resolved import Resolved
from caf_core.control.store.starts import OWN
from caf_core.control.store.store import CheckpointStore, StoredCalibration
from caf_core.json_text import json_text

NOTE = "tidied {}"
"""Under this key the checkpoint knows that something of a calibration was removed."""


def tidy(one: Resolved, iteration: int, *, last: bool) -> None:
    """Remove the output of an iteration that has ended well, unless it is kept.

    Args:
        one: The calibration.
        iteration: The iteration.
        last: Whether the calibration has completed with it.
    """
    for part in one.collections:
        keep = part.collection.keep_collector_output or one.settings["keep_collector_output"]
        if keep == "failed" or (keep == "last" and not last):
            shutil.rmtree(one.collector_dir(iteration) / part.name, ignore_errors=True)
            one.index_path(iteration).unlink(missing_ok=True)


@frozen
class Tidied:
    """What ``tidy_directory`` did with one calibration.

    Args:
        calibration: Its name.
        state: Where it is; only what has completed is tidied.
        entries: How many files and folders were removed.
        size: Their size [bytes].
    """

    calibration: str
    state: str
    entries: int = 0
    size: int = 0


def tidy_directory(
    directory: Path, *, final: bool = False, dry_run: bool = False, take_over: bool = False
) -> tuple[Tidied, ...]:
    """Remove what the next start does not need of calibrations that have completed.

    What is kept serves to execute changed algorithms again (the collected data of iteration 0), or to go on
    with a calibration that has not converged (those of its last iteration).

    Args:
        directory: The output directory.
        final: Whether only constants, the checkpoint, and what tells of missing runs are kept.
        dry_run: Whether nothing is removed.
        take_over: Whether a controller on another host is declared dead.
    Raises:
        CheckpointError: If a controller drives the directory, or there is no checkpoint.
        OSError: If something cannot be removed; what was removed before stays so, and the rest can be later.
    """
    with owned_store(directory, take_over=take_over) as store:
        return tuple(_tidied(store, row, final=final, dry_run=dry_run) for row in store.calibrations())


def _tidied(store: CheckpointStore, row: StoredCalibration, *, final: bool, dry_run: bool) -> Tidied:
    if row.state is not State.COMPLETED or store.noted(OWN.format(row.name)) is not None:
        return Tidied(row.name, row.state)  # what a user's own calibration leaves is his affair
    own = store.directory / row.name
    superfluous = list(_beside_constants(own, row) if final else _not_for_a_start(own, row))
    found = [path for top in superfluous for path in (top, *top.rglob("*"))]
    result = Tidied(
        row.name, row.state, len(found), sum(path.lstat().st_size for path in found if path.is_file())
    )
    if not dry_run and superfluous:
        # Written down before: what is half removed then does not count as lost either.
        store.note(NOTE.format(row.name), json_text({"final": final, "entries": result.entries}))
        for path in superfluous:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return result


def _not_for_a_start(own: Path, row: StoredCalibration) -> Iterator[Path]:
    for number, folder in _iterations(own):
        collected = folder / "collector_output"
        goes_on = number == row.iteration and row.convergence != Convergence.CONVERGED
        if number and not goes_on and collected.exists():
            yield collected
        for path in _paths(folder / "algorithm_output"):
            if path.is_dir() and path.name != "outputdb":
                yield path


def _beside_constants(own: Path, row: StoredCalibration) -> Iterator[Path]:
    for number, folder in _iterations(own):
        if number != row.iteration:
            yield folder
            continue
        # Without its index, collected data are none.
        yield from sorted(_paths(folder / "collector_output"), key=lambda path: path.name != "index.json")
        for path in _paths(folder):
            if path.name != "algorithm_output":
                yield path
        for path in _paths(folder / "algorithm_output"):
            if path.name != ACCOUNT and not path.name.endswith("_iov_gaps.json"):
                yield path
    if (own / "kits").exists():
        yield own / "kits"


def _iterations(own: Path) -> list[tuple[int, Path]]:
    return sorted((int(path.name), path) for path in _paths(own) if path.name.isdigit() and path.is_dir())


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
