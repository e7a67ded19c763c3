"""Which runs a ROOT file holds, read from the two branches that tell, and from nothing else."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

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
        tree: The tree to look into; all that have both branches if left out, in folders of the file too.
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
            From the first to the last run of all these trees; the empty interval if they have no entries;
            ``None`` if this is no ROOT file (by its beginning, and not called ``.root``) or has no such
            branches.
        Raises:
            RootFileError: If it is a ROOT file that cannot be read, or is only called one, or if the branches
                hold what is no run.
        """
        path = str(path)
        if not path.endswith(".root") and not is_remote(path) and not is_root_file(path):
            return None
        extremes: set[ExpRun] = set()
        unfit: list[RootFileError] = []
        told = False
        with open_root(path) as directory, reading(path):
            for name in trees_of(directory) if self.tree is None else (self.tree,):
                tree = find_tree(directory, path, name)
                branches = self._branches(tree)
                if branches is None:
                    continue
                try:
                    extremes |= self._extremes(tree, path, *branches)
                    told = True
                except _NoRunsError as error:  # such as the runs of all overlaid events, an event
                    unfit.append(error)
        if not told and unfit:
            raise unfit[0]
        return iov_of_runs(extremes) if told else None

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

    def _extremes(self, tree: Any, path: str, experiment: int | str, run: str) -> set[ExpRun]:
        """The first and the last run of each experiment."""
        wanted = [run] if isinstance(experiment, int) else [experiment, run]
        extremes: set[ExpRun] = set()
        for chunk in tree.iterate(expressions=wanted, step_size=_STEP, library="np", how=dict):
            runs = _numbers(chunk[run], run, tree, path)
            if isinstance(experiment, int):
                experiments = np.full(len(runs), experiment)
            else:
                experiments = _numbers(chunk[experiment], experiment, tree, path)
            for exp in np.unique(experiments):
                of_exp = runs[experiments == exp]
                extremes |= {ExpRun(int(exp), int(of_exp.min())), ExpRun(int(exp), int(of_exp.max()))}
        return extremes


class _NoRunsError(RootFileError):
    """A branch of the right name does not hold one number an entry."""


def _numbers(values: NDArray[Any], branch: str, tree: Any, path: str) -> NDArray[Any]:
    """The values of a branch, if they can be experiments or runs."""
    what = f"has a branch {branch!r} in its tree {tree.name!r}"
    remedy = "name the right ones as IoVReader(tree=..., experiment=..., run=...), or tell files_to_iovs."
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise _NoRunsError(path, f"{what} that does not hold one number an entry; {remedy}")
    wrong = (
        values[~(values >= 0)] if values.dtype.kind != "f" else values[~((values >= 0) & (values % 1 == 0))]
    )
    if len(wrong):
        raise RootFileError(
            path, f"{what} with the value {wrong[0]}, but experiments and runs are counted from 0; {remedy}"
        )
    return values


def iov_of_file(path: str, experiment: int | None = None) -> IoV | None:
    """The interval of a file with the usual branch names; see ``IoVReader``.

    Args:
        path: A local path or a URI.
        experiment: The experiment, for files without a branch that tells it.
    """
    told = IoVReader()(path)
    if told is None and experiment is not None:
        return IoVReader(experiment=experiment)(path)
    return told


__all__ = ["IoVReader", "RootFileError", "iov_of_file"]
