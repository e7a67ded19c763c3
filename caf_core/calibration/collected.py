"""What collectors left, as an algorithm sees it.

The controller writes one index an iteration, with what every task left for which run. An algorithm's
process reads from the index just the
chunks and files of the runs that it was given, always in the order of experiment, run and task, so that
results do not depend on how
the files were split or who finished first.
"""

import json
import os
import pickle
import zlib
from collections.abc import Iterable, Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

from attrs import field, frozen

from caf_core.calibration.collector import DATA_FILE, RUNS_FILE
from caf_core.calibration.files import check_own, write_json
from caf_core.calibration.merging import Growing, merge
from caf_core.calibration.plans import Statistics
from caf_core.errors import AlgorithmError, ConfigurationError
from caf_core.iov import ExpRun, as_exprun
from caf_core.text import clause

DAMAGED = ".damaged"
"""What a file of collected data is called behind its name once it was found to be damaged."""


@frozen
class TaskOutput:
    """What one collector task left.

    Args:
        collection: Name of the collection.
        directory: The attempt that counts.
        files: Its output files, relative to ``directory``.
        runs: Runs and the entries in them; ``None`` where nobody counted them.
        chunks: (experiment, run, offset, length, checksum) of every kept object; caf 0.1.0 wrote no checksum.
    """

    collection: str
    directory: Path
    files: tuple[str, ...]
    runs: dict[ExpRun, int | None]
    chunks: tuple[tuple[int, ...], ...]


@frozen
class RunsFile:
    """What a task's ``runs.json`` says.

    Args:
        runs: Runs and the entries in them; ``None`` where nobody counted them.
        chunks: The index of kept objects, empty for a command's: (experiment, run, offset, length,
            checksum).
        constants: What the collector got from databases: [database, name, revision].
    """

    runs: dict[ExpRun, int | None]
    chunks: tuple[tuple[int, ...], ...] = ()
    constants: tuple[tuple[str, ...], ...] = ()


def read_runs_file(path: Path) -> RunsFile:
    """Read a task's ``runs.json``.

    Args:
        path: The file: a list of ``[experiment, run, entries]``, or an object whose ``runs`` is such a list.
    Raises:
        AlgorithmError: If it is not of that form.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content = content if isinstance(content, dict) else {"runs": content}
        runs: dict[ExpRun, int] = {}
        for exp, run, entries in content["runs"]:
            key = as_exprun((exp, run))
            runs[key] = runs.get(key, 0) + int(entries)
        chunks = tuple(_chunk(*row) for row in content.get("chunks", ()))
        return RunsFile(
            dict(runs), chunks, tuple(tuple(map(str, row)) for row in content.get("constants", ()))
        )
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise AlgorithmError(
            f"{path} is not a list of runs ({clause(error)}); a collector writes "
            f"[[experiment, run, entries], ...] into {RUNS_FILE}."
        ) from error


def _chunk(exp: Any, run: Any, offset: Any, length: Any, *checksum: Any) -> tuple[int, ...]:
    return tuple(map(int, (exp, run, offset, length, *checksum)))


def write_index(path: Path, outputs: Sequence[TaskOutput]) -> None:
    """Write what every task left, in the canonical order of tasks."""
    rows = [
        [
            out.collection,
            _below(out.directory, path.absolute().parent),
            out.files,
            [[r.exp, r.run, n] for r, n in sorted(out.runs.items())],
            out.chunks,
        ]
        for out in outputs
    ]
    write_json(path, rows)


def read_index(path: Path) -> tuple[TaskOutput, ...]:
    """The inverse of ``write_index``."""
    return tuple(
        TaskOutput(
            collection,
            _place(directory, path.absolute().parent),
            tuple(files),
            {ExpRun(e, r): n for e, r, n in runs},
            tuple(tuple(c) for c in chunks),
        )
        for collection, directory, files, runs, chunks in json.loads(path.read_text(encoding="utf-8"))
    )


def _below(directory: Path, folder: Path) -> str:
    return str(directory.relative_to(folder) if directory.is_relative_to(folder) else directory)


def _place(directory: str, folder: Path) -> Path:
    """Where a task's output lies; caf 0.1.0 wrote absolute paths, and the folder may have moved since."""
    begin, _, rest = directory.rpartition(f"/{folder.name}/")
    return folder / (rest if begin else directory)


class Index:
    """Where the data of each run lie.

    Args:
        outputs: What every task left, in the canonical order.
    """

    _KEPT = 32
    """So many data files are kept open."""

    def __init__(self, outputs: Sequence[TaskOutput]) -> None:
        self.outputs = tuple(outputs)
        self.collections = tuple(dict.fromkeys(out.collection for out in self.outputs))
        self._by_run: dict[ExpRun, list[int]] = {}
        self._entries: dict[ExpRun, int | None] = {}
        self._chunks: dict[ExpRun, list[tuple[int, tuple[int, ...]]]] = {}
        self._open: dict[int, FileIO] = {}
        self._growing = Growing()
        for number, out in enumerate(self.outputs):
            for run, entries in out.runs.items():
                self._by_run.setdefault(run, []).append(number)
                # Where some tasks count and others do not, such as a collection of settings, those count.
                known = self._entries.get(run)
                self._entries[run] = known if entries is None else (known or 0) + entries
            for chunk in out.chunks:
                self._chunks.setdefault(ExpRun(*chunk[:2]), []).append((number, chunk[2:]))
        for found in self._chunks.values():
            found.sort()

    @property
    def runs(self) -> tuple[ExpRun, ...]:
        """Every run with data, sorted."""
        return tuple(sorted(self._by_run))

    def entries(self, runs: Iterable[ExpRun]) -> int | None:
        """How many entries the collectors counted in these runs together; ``None`` if nobody counted those of
        one of them.
        """
        total = 0
        for run in runs:
            entries = self._entries.get(run, 0)
            if entries is None:
                return None
            total += entries
        return total

    def statistics(self, request: Statistics) -> dict[ExpRun, int]:
        """The entries that a strategy asks for, by run.

        Raises:
            AlgorithmError: If nobody counted those of a run.
        """
        return {run: self._counted(run, request.collection) for run in request.runs}

    def _counted(self, run: ExpRun, collection: str | None) -> int:
        if collection is None:
            entries = self._entries.get(run)
        else:
            known = [out.runs[run] for out in self.tasks(run, collection)]
            told = [number for number in known if number is not None]
            entries = sum(told) if told else None
        if entries is not None:
            return entries
        where = "" if collection is None else f" in collection {collection!r}"
        raise AlgorithmError(
            f"the strategy asks for the entries of run {run}{where}, and nobody counted any; let the "
            "collector tell them (context.put(run, data, entries=...), or [[experiment, run, entries], ...] "
            f"in {RUNS_FILE}), or use a strategy that executes the algorithm to find out."
        )

    def tasks(self, run: ExpRun, collection: str | None) -> list[TaskOutput]:
        """The tasks that had a run, of one collection or of all."""
        found = [self.outputs[number] for number in self._by_run.get(run, ())]
        return found if collection is None else [out for out in found if out.collection == collection]

    def read(self, run: ExpRun, collection: str | None) -> Iterator[Any]:
        """The kept objects of a run, of one collection or of all.

        Raises:
            AlgorithmError: If their bytes are not those that were written.
        """
        for number, place in self._chunks.get(run, ()):
            output = self.outputs[number]
            if collection in (None, output.collection):
                data = _sound_chunk(self._file(number), place)
                if data is None:
                    path = output.directory / DATA_FILE
                    path.rename(path.with_name(path.name + DAMAGED))
                    raise AlgorithmError(
                        f"the collected data of run {run} in {path} are damaged: their checksum is another "
                        "one; the file is set aside, start again to collect it anew."
                    )
                yield _loaded(data, output)

    def merged(self, runs: tuple[ExpRun, ...], collection: str | None) -> Any:
        """The kept objects of runs merged into one, which is the caller's own.

        Raises:
            AlgorithmError: If there are none, or their bytes are not those that were written.
        """

        def read(some: Sequence[ExpRun]) -> Iterator[Any]:
            return (item for run in some for item in self.read(run, collection))

        return self._growing.merged(runs, collection, read)

    def _file(self, number: int) -> FileIO:
        file = self._open.get(number)
        if file is None:
            while len(self._open) >= self._KEPT:
                self._open.pop(next(iter(self._open))).close()
            path = self.outputs[number].directory / DATA_FILE
            file = path.open("rb", buffering=0)
            try:
                check_own(file, path, "pickled data")
            except ConfigurationError:
                file.close()
                raise
            self._open[number] = file
        return file

    def __del__(self) -> None:
        while self._open:
            self._open.popitem()[1].close()


def as_index(outputs: "Index | Sequence[TaskOutput]") -> Index:
    """The value itself if it is an index, else the index of what tasks left."""
    return outputs if isinstance(outputs, Index) else Index(outputs)


@frozen
class Collected:
    """The collected data of some runs.

    Args:
        runs: The runs, sorted.
        outputs: What the tasks left, in the canonical order, or its index.
        collection: The collection that is meant; all of them if left out.
    """

    runs: tuple[ExpRun, ...]
    _outputs: Index = field(converter=as_index)
    collection: str | None = None

    @property
    def entries(self) -> int:
        """How many entries the collectors counted in these runs; what nobody counted is left out."""
        return sum(
            out.runs[run] or 0 for run in self.runs for out in self._outputs.tasks(run, self.collection)
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """The output files of the tasks that hold any of these runs; they may hold other runs too."""
        touched = {
            id(out): out for run in self.runs for out in self._outputs.tasks(run, self.collection)
        }.values()
        return tuple(out.directory / name for out in touched for name in out.files)

    def chunks(self) -> Iterator[tuple[ExpRun, Any]]:
        """Every kept object with its run, in the order of experiment, run, task, and ``put``."""
        for run in self.runs:
            for item in self._outputs.read(run, self.collection):
                yield run, item

    def by_run(self) -> dict[ExpRun, Any]:
        """The merged object of every run that has one."""
        grouped: dict[ExpRun, list[Any]] = {}
        for run, item in self.chunks():
            grouped.setdefault(run, []).append(item)
        return {run: merge(items) for run, items in grouped.items()}

    def merged(self) -> Any:
        """All objects merged into one.

        Raises:
            AlgorithmError: If nothing was kept for these runs.
        """
        return self._outputs.merged(self.runs, self.collection)


def _loaded(data: bytes, output: TaskOutput) -> Any:
    try:
        return pickle.loads(data)
    except (AttributeError, ImportError):
        # A class that the collector knew: what is executed here need not mention it.
        if not _learned(output):
            raise
    return pickle.loads(data)


def _learned(output: TaskOutput) -> bool:
    """Let this task know what a task of a collector knew of the script; tells whether it can."""
    from caf_core.calibration.shipping import learn  # commands that only show something need no cloudpickle

    try:
        kit = json.loads((output.directory / RUNS_FILE).read_text(encoding="utf-8")).get("kit")
    except (OSError, ValueError):
        return False
    return kit is not None and learn(Path(kit))


def chunks_are_sound(output: TaskOutput) -> bool:
    """Whether all kept objects of a task have their checksums; reads them all."""
    with (output.directory / DATA_FILE).open("rb", buffering=0) as file:
        return all(_sound_chunk(file, chunk[2:]) is not None for chunk in output.chunks)


def _sound_chunk(file: FileIO, place: Sequence[int]) -> bytes | None:
    """A kept object's bytes; ``None`` if they are not what was written."""
    offset, length, *checksum = place
    # Children that an algorithm forks share the file, and its position.
    data = os.pread(file.fileno(), length, offset)
    while len(data) < length and (more := os.pread(file.fileno(), length - len(data), offset + len(data))):
        data += more
    sound = len(data) == length and (not checksum or zlib.crc32(data) == checksum[0])
    return data if sound else None
