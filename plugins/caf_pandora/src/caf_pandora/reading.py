"""Reading ``pfoAnalysis.root`` of many workers into columns and histograms.

Whoever reported first: files are read in the order of the workers' numbers, so the same files give the same
numbers, bit by bit.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from caf_pandora.errors import ResultFileError
from caf_pandora.histogram import Floats, Histogram, add_up

TREE = "PfoAnalysisTree"
COS_THETA = "pfoTargetCosTheta"
"""The branch that holds a list an event; its column has the first element, or NaN where there is none."""
Bools = NDArray[np.bool_]


@frozen(eq=False)
class Results:
    """What the workers have reconstructed of one sample.

    Args:
        columns: Branch -> a number for every event, in float64.
        histograms: Name -> sum over the workers.
        likelihoods: Contents of the likelihood files, in the order of the workers.
        workers: Whose files these are, in order.
    """

    columns: Mapping[str, Floats] = field(factory=dict, repr=False)
    histograms: Mapping[str, Histogram] = field(factory=dict, repr=False)
    likelihoods: tuple[bytes, ...] = field(default=(), repr=False)
    workers: tuple[int, ...] = ()

    def __getitem__(self, branch: str) -> Floats:
        return self.columns[branch]

    @property
    def events(self) -> int:
        """How many events there are, as far as columns were read."""
        return len(next(iter(self.columns.values()))) if self.columns else 0

    @property
    def abs_cos_theta(self) -> Floats:
        """|cos theta| of the true particle, NaN where there is none."""
        absolute: Floats = np.abs(self.columns[COS_THETA])
        return absolute


def read_results(
    files: Mapping[int, Path], branches: Sequence[str] = (), histograms: Sequence[str] = ()
) -> Results:
    """Read and merge the files of all workers.

    Args:
        files: The number of each worker -> its file.
        branches: Which branches of the tree become columns.
        histograms: Which histograms are added up.
    Raises:
        ResultFileError: If a file is damaged, or lacks the tree, a branch or a histogram; it names both.
    """
    workers = tuple(sorted(files))
    parts = [_read(files[worker], worker, branches, histograms) for worker in workers]
    columns = {
        branch: np.concatenate([part[0][branch] for part in parts]) if parts else np.zeros(0)
        for branch in branches
    }
    sums = {name: add_up([part[1][name] for part in parts], name) for name in histograms if parts}
    return Results(columns, sums, (), workers)


def read_likelihoods(files: Mapping[int, Path]) -> Results:
    """Read the likelihood files of all workers; what is in them is judged when they are merged."""
    workers = tuple(sorted(files))
    return Results({}, {}, tuple(files[worker].read_bytes() for worker in workers), workers)


@contextmanager
def _blaming(path: Path, worker: int) -> Iterator[None]:
    """Turn whatever a ROOT library says about a damaged file into an error that names it."""
    try:
        yield
    except ResultFileError:
        raise
    except Exception as problem:  # a damaged file makes uproot fail in its parsers, decompressors and numpy
        raise ResultFileError(
            path, f"of worker {worker} cannot be read as a ROOT file ({type(problem).__name__}: {problem})"
        ) from problem


def _read(
    path: Path, worker: int, branches: Sequence[str], histograms: Sequence[str]
) -> tuple[dict[str, Floats], dict[str, Histogram]]:
    import uproot

    with _blaming(path, worker), uproot.open(path) as directory:
        size = path.stat().st_size
        if size < directory.file.fEND:
            raise ResultFileError(path, f"of worker {worker} has {size} of {directory.file.fEND} bytes")
        there = {name.split(";")[0] for name in directory.keys(recursive=False)}
        absent = [name for name in ([TREE] if branches else []) + list(histograms) if name not in there]
        if absent:
            raise ResultFileError(path, f"of worker {worker} has no {', '.join(absent)}")
        columns = _columns(directory[TREE], path, worker, branches) if branches else {}
        return columns, {name: _histogram(directory[name]) for name in histograms}


def _columns(tree: Any, path: Path, worker: int, branches: Sequence[str]) -> dict[str, Floats]:
    absent = [branch for branch in branches if branch not in tree]
    if absent:
        raise ResultFileError(path, f"of worker {worker} has no branch {', '.join(absent)} in {TREE}")
    columns: dict[str, Floats] = {}
    for branch in branches:
        take: Callable[[Any], Floats] = _first_of_each if branch == COS_THETA else _plain
        columns[branch] = take(tree[branch])
    return columns


def _plain(branch: Any) -> Floats:
    return np.asarray(branch.array(library="np"), dtype=np.float64)


def _first_of_each(branch: Any) -> Floats:
    import awkward as ak

    firsts = ak.firsts(branch.array(library="ak"))
    return np.asarray(ak.to_numpy(ak.fill_none(firsts, np.nan)), dtype=np.float64)


def _histogram(stored: Any) -> Histogram:
    counts, edges = stored.to_numpy(flow=False)
    return Histogram(np.asarray(edges, dtype=np.float64), np.asarray(counts, dtype=np.float64))
