"""Reading trees of ROOT files in chunks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun
from caf_root.files import RootFileError, open_root, reading, trees_of

Chunk = dict[str, Any]
_SHOWN = 12


def read_chunks(
    files: Iterable[str],
    tree: str,
    branches: Sequence[str],
    *,
    optional: Sequence[str] = (),
    step_size: int | str = "50 MB",
    library: Literal["np", "ak"] = "np",
) -> Iterator[Chunk]:
    """Read some branches of a tree from several files, a bounded piece at a time.

    What is computed from the chunks must not depend on where one ends and the next begins: they follow the
    files and the step size.

    Args:
        files: Local paths, taken literally, or URIs such as ``root://...``; read in this order.
        tree: The name of the tree in every file.
        branches: Names of branches; a name with ``*`` or ``?`` stands for all that match, at least one.
        optional: The same, but they may be missing from a file, and from its chunks.
        step_size: How much to read at a time: a number of entries, or an amount of memory such as ``"50
            MB"``.
        library: ``"np"`` for numpy arrays, ``"ak"`` for awkward arrays (branches with several values an
            event).
    Yields:
        Arrays by branch name, all of one length, never of length 0.
    Raises:
        RootFileError: If a file, the tree or a branch is missing or cannot be read.
    """
    for path in files:
        with open_root(str(path)) as directory:
            found = find_tree(directory, str(path), tree)
            with reading(str(path)):
                available = tuple(found.keys())
            names = select_branches(available, branches, optional, where=(str(path), tree))
            pieces = found.iterate(expressions=names, step_size=step_size, library=library, how=dict)
            while True:
                with reading(str(path)):
                    piece = next(pieces, None)
                if piece is None:
                    break
                yield piece


def split_runs(
    chunk: Mapping[str, Any], *, experiment: str = "experiment", run: str = "run"
) -> Iterator[tuple[ExpRun, Chunk]]:
    """Split a chunk into the events of each run.

    Args:
        chunk: Arrays of one length by branch name, among them the two that tell the run.
        experiment: The branch with the experiment.
        run: The branch with the run.
    Yields:
        Each run that occurs, in order, with its events in the order in which they stand in the chunk.
    Raises:
        ConfigurationError: If one of the two does not hold one number an event, or a number below 0.
    """
    for name in (experiment, run):
        if not is_flat(chunk[name]):
            raise ConfigurationError(
                f"the branch {name!r} does not hold one number an event, so it cannot tell the run; name the "
                "branches that do: split_runs(chunk, experiment=..., run=...)."
            )
        if (np.asarray(chunk[name]) < 0).any():
            raise ConfigurationError(
                f"the branch {name!r} holds {np.asarray(chunk[name]).min()}, but they are counted "
                "from 0; leave these events out, or name another branch."
            )
    experiments, runs = np.asarray(chunk[experiment]), np.asarray(chunk[run])
    if len(runs) == 0:
        return
    order = np.lexsort((runs, experiments))
    changes = (np.diff(experiments[order]) != 0) | (np.diff(runs[order]) != 0)
    starts = np.concatenate(([0], np.flatnonzero(changes) + 1, [len(order)]))
    for begin, end in pairwise(starts.tolist()):
        events = order[begin:end]
        first = events[0]
        yield (
            ExpRun(int(experiments[first]), int(runs[first])),
            {name: column[events] for name, column in chunk.items()},
        )


def is_flat(column: Any) -> bool:
    """Whether a column, of numpy or awkward, holds one number (or boolean) an event."""
    if hasattr(column, "layout"):  # awkward's arrays; a list in them is one more dimension, regular or not
        return bool(column.ndim == 1 and not column.fields)
    array = np.asarray(column)
    return array.ndim == 1 and array.dtype.kind in "biuf"


def find_tree(directory: Any, path: str, tree: str) -> Any:
    """Get a tree out of an opened file.

    Raises:
        RootFileError: If there is no such tree; it names those that there are.
    """
    with reading(path):
        names = trees_of(directory)
        if tree in names:
            return directory[tree]
    raise RootFileError(
        path, f"has no tree {tree!r}; it has {_listed(names, tree)}. Give the name of one of them."
    )


def select_branches(
    available: Sequence[str], required: Sequence[str], optional: Sequence[str] = (), *, where: tuple[str, str]
) -> list[str]:
    """The branches that these names and patterns stand for, each once, in the order of the names.

    Args:
        available: What the tree has.
        required: Names or patterns; each must match something.
        optional: Names or patterns that may match nothing.
        where: The file and the tree, for the error.
    Raises:
        RootFileError: If something required is missing; it names what comes close.
    """
    selected: dict[str, None] = {}
    for pattern in (*required, *optional):
        matching = matches(pattern, available)
        if not matching and pattern in required:
            path, tree = where
            raise RootFileError(
                path,
                f"has no branch {pattern!r} in its tree {tree!r}; it has {_listed(available, pattern)}. "
                "Correct the name.",
            )
        selected.update(dict.fromkeys(matching))
    return list(selected)


def matches(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that a pattern with ``*`` and ``?`` stands for; a name that exists stands for itself."""
    names = list(names)
    if pattern in names:
        return [pattern]
    return [name for name in names if fnmatchcase(name, pattern)]


def _listed(names: Sequence[str], wanted: str) -> str:
    """Some of the names as text: those that resemble what was wanted first."""
    if not names:
        return "none"
    near = get_close_matches(wanted, names, n=3, cutoff=0.6)
    shown = list(dict.fromkeys([*near, *names]))[:_SHOWN]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return ", ".join(shown) + more
