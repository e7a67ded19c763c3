"""Which runs a ROOT file holds, read from the two branches that tell, and from nothing else."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from attrs import field, frozen

from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun, IoV, iov_of_runs
from caf_root.files import RootFileError, is_remote, is_root_file, open_root, reading, trees_of
from caf_root.reading import find_tree

EXPERIMENT_BRANCHES = ("experiment", "exp", "__experiment__")
RUN_BRANCHES = ("run", "__run__")
_STEP = 10_000_000


def _names(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _names_or_number(value: int | str | Iterable[str]) -> int | tuple[str, ...]:
    return value if isinstance(value, int) else _names(value)


@frozen(kw_only=True)
class IoVReader:
    """Reads the interval from the first to the last run of ROOT files.

    Args:
        tree: The tree to look into; the first one with both branches if left out.
        experiment: Name of the branch with the experiment, or several of which the first that exists counts,
            or a number for files that do not tell (a year, say).
        run: Name of the branch with the run, or several of which the first that exists counts.
    """

    tree: str | None = None
    experiment: int | tuple[str, ...] = field(default=EXPERIMENT_BRANCHES, converter=_names_or_number)
    run: tuple[str, ...] = field(default=RUN_BRANCHES, converter=_names)

    def __call__(self, path: str) -> IoV | None:
        """The closed interval of one file.

        Args:
            path: A local path or a URI.
        Returns:
            From the first to the last run; the empty interval if the tree has no entries; ``None`` if this is
            no ROOT file (by its beginning, and not called ``.root``) or has no such branches.
        Raises:
            RootFileError: If it is a ROOT file that cannot be read, or is only called one.
        """
        path = str(path)
        if not path.endswith(".root") and not is_remote(path) and not is_root_file(path):
            return None
        with open_root(path) as directory, reading(path):
            trees = trees_of(directory) if self.tree is None else (self.tree,)
            for name in trees:
                tree = find_tree(directory, path, name)
                branches = self._branches(tree)
                if branches:
                    return self._interval(tree, *branches)
        return None

    def files_to_iovs(self, paths: Iterable[str]) -> dict[str, IoV]:
        """The intervals of several files, as ``collection.files_to_iovs`` takes them.

        Raises:
            RootFileError: If one of them cannot be read.
            ConfigurationError: If one of them does not tell.
        """
        intervals: dict[str, IoV] = {}
        for path in paths:
            iov = self(path)
            if iov is None:
                raise ConfigurationError(
                    f"file {path!r} does not tell its runs: no tree with a branch {' or '.join(self.run)}"
                    f" and one for the experiment; name them as IoVReader(tree=..., experiment=..., run=...)."
                )
            intervals[path] = iov
        return intervals

    def _branches(self, tree: Any) -> tuple[int | str, str] | None:
        """The experiment or its branch, and the branch of the run; ``None`` if one is missing."""
        available = set(tree.keys())
        run = next((name for name in self.run if name in available), None)
        experiment: int | str | None
        if isinstance(self.experiment, int):
            experiment = self.experiment
        else:
            experiment = next((name for name in self.experiment if name in available), None)
        return None if run is None or experiment is None else (experiment, run)

    def _interval(self, tree: Any, experiment: int | str, run: str) -> IoV:
        wanted = [run] if isinstance(experiment, int) else [experiment, run]
        extremes: set[ExpRun] = set()
        for chunk in tree.iterate(expressions=wanted, step_size=_STEP, library="np", how=dict):
            runs = chunk[run]
            experiments = np.full(len(runs), experiment) if isinstance(experiment, int) else chunk[experiment]
            for exp in np.unique(experiments):
                of_exp = runs[experiments == exp]
                extremes |= {ExpRun(int(exp), int(of_exp.min())), ExpRun(int(exp), int(of_exp.max()))}
        return iov_of_runs(extremes)


def iov_of_file(path: str) -> IoV | None:
    """The interval of a file with the usual branch names; see ``IoVReader``."""
    return IoVReader()(path)


__all__ = ["IoVReader", "RootFileError", "iov_of_file"]
