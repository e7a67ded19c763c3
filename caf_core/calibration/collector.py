"""What a collector sees, and the kinds of collectors."""

import pickle
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

from attrs import define, field, frozen

from caf_core.calibration.files import forbid_others, write_json
from caf_core.conditions.chain import Chain
from caf_core.errors import ConfigurationError
from caf_core.home import given_path
from caf_core.iov import ExpRun, IoV, as_exprun, as_runs
from caf_core.jobs.texts import texts

RUNS_FILE = "runs.json"
DATA_FILE = "collected.caf"


def _run_set(runs: Iterable[tuple[int, int]]) -> frozenset[ExpRun]:
    return frozenset(as_runs(runs))


@frozen
class RunSelection:
    """Which runs are wanted.

    Args:
        ignored: Runs that must not be used.
        requested: The interval outside of which nothing is wanted; ``None`` wants all.
    """

    ignored: frozenset[ExpRun] = field(default=frozenset(), converter=_run_set)
    requested: IoV | None = None

    def wants(self, run: ExpRun) -> bool:
        """Whether a run is wanted."""
        return run not in self.ignored and (self.requested is None or self.requested.contains(run))

    def to_json(self) -> dict[str, Any]:
        """As in ``wanted_runs.json``, for collectors that are commands."""
        return {
            "ignored": sorted([run.exp, run.run] for run in self.ignored),
            "requested": str(self.requested) if self.requested is not None else None,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "RunSelection":
        """The inverse of ``to_json``."""
        requested = value.get("requested")
        return cls(value.get("ignored", ()), IoV.parse(requested) if requested else None)


@define
class _Checked:
    """A file that is being written, with its size so far and the checksum (CRC-32) of what came last."""

    file: BinaryIO
    size: int = 0
    checksum: int = 0

    def write(self, data: "bytes | bytearray | memoryview | pickle.PickleBuffer") -> int:
        """Append, whatever holds the bytes."""
        self.checksum = zlib.crc32(data, self.checksum)
        self.size += memoryview(data).nbytes
        return self.file.write(data)


@define
class CollectorContext:
    """Everything that one task of a Python collector needs; its working directory is ``output_dir``.

    Args:
        input_files: Paths and URIs of this task, in order.
        selection: Which runs are wanted; ask ``wants(run)``.
        conditions: Constants of dependencies and of the previous iteration.
        params: The collection's parameters.
        iteration: Counts from 0.
        output_dir: Where output belongs.
        calibration: Name of the calibration.
        collection: Name of the collection.
    """

    input_files: tuple[str, ...]
    selection: RunSelection
    conditions: Chain
    params: Mapping[str, Any]
    iteration: int
    output_dir: Path
    calibration: str
    collection: str
    _entries: dict[ExpRun, int] = field(factory=dict, init=False)
    _chunks: list[tuple[int, int, int, int, int]] = field(factory=list, init=False)
    _data: "_Checked | None" = field(default=None, init=False)

    def wants(self, run: tuple[int, int]) -> bool:
        """Whether a run is wanted: neither ignored nor outside of what was requested."""
        return self.selection.wants(ExpRun(*run))

    def put(self, run: tuple[int, int], data: object = None, *, entries: int) -> None:
        """Keep what was collected for a run.

        Args:
            run: The run, as ``ExpRun`` or (experiment, run).
            data: Any object that can be pickled; ``None`` only counts the entries, for collectors that
                write files of their own. Several calls for one run keep several chunks, in order.
            entries: How many events (hits, tracks, ...) stand behind it.
        """
        key = as_exprun(run)
        if not self.wants(key):
            return
        self._entries[key] = self._entries.get(key, 0) + int(entries)
        if data is None:
            return
        if self._data is None:
            self._data = _Checked((self.output_dir / DATA_FILE).open("wb"))
            forbid_others(self._data.file)  # who reads it executes what it says
        self._data.checksum, start = 0, self._data.size
        pickle.dump(data, self._data, protocol=pickle.HIGHEST_PROTOCOL)
        chunk = (key.exp, key.run, start, self._data.size - start, self._data.checksum)
        self._chunks.append(chunk)

    def finish(self, kit: str | None = None) -> None:
        """Write ``runs.json``; called once after the collector returned.

        Args:
            kit: The file with the code that collected, for those who read what was kept.
        """
        if self._data is not None:
            self._data.file.close()
        runs = [[run.exp, run.run, entries] for run, entries in sorted(self._entries.items())]
        content: dict[str, Any] = {"schema": 1, "runs": runs, "chunks": self._chunks}
        if kit is not None and self._chunks:
            content["kit"] = kit
        if constants := self.conditions.read():
            content["constants"] = constants
        write_json(self.output_dir / RUNS_FILE, content)


@runtime_checkable
class Collector(Protocol):
    """An object that collects; a plain function with the same argument serves too."""

    def collect(self, context: CollectorContext) -> None:
        """Read the input files of one task and keep what the algorithms need."""


def _words(cmd: object) -> tuple[str, ...]:
    found = () if isinstance(cmd, str) else tuple(texts(cmd))
    if not found:
        raise ConfigurationError(
            f"a collector's command is a list of words, not {cmd!r}; write ['my-program', '--option']."
        )
    return found


def _lines(values: object) -> tuple[str, ...]:
    return tuple(texts(values))


def _paths(files: object) -> tuple[Path, ...]:
    return tuple(given_path(file).absolute() for file in texts(files))


@frozen
class CommandCollector:
    """A collector that is any program.

    It finds ``input_files.json``, ``wanted_runs.json``, ``conditions.json`` and ``parameters.json`` in its
    working directory, and leaves
    the files that match the collection's output patterns, and ``runs.json``: a list of ``[experiment, run,
    entries]``.

    Args:
        cmd: The command and its arguments.
        setup_cmds: Shell lines that are executed before it, in the same shell.
        env: Variables added to its environment.
        sandbox: Files that are copied into its working directory.
    """

    cmd: tuple[str, ...] = field(converter=_words)
    setup_cmds: tuple[str, ...] = field(default=(), converter=_lines)
    env: Mapping[str, str] = field(factory=dict)
    sandbox: tuple[Path, ...] = field(default=(), converter=_paths)


AnyCollector = Collector | Callable[[CollectorContext], None] | CommandCollector


def collect_function(collector: Any) -> Callable[[CollectorContext], None]:
    """The function to call: the ``collect`` method, or the collector itself.

    Raises:
        ConfigurationError: If it is neither.
    """
    if isinstance(collector, type):
        raise ConfigurationError(
            f"{collector.__name__} is a class; give an instance of it: {collector.__name__}()."
        )
    method = getattr(collector, "collect", None)
    if callable(method):
        return method  # type: ignore[no-any-return]  # an attribute of a user's object
    if callable(collector):
        return collector  # type: ignore[no-any-return]  # a user's function
    if isinstance(collector, str):
        raise ConfigurationError(
            f"the text {collector!r} cannot collect: give an object with collect(context), a function, or a "
            f"command; a module of basf2 is added by a steering file: "
            f"CommandCollector(['basf2', 'steering.py'])."
        )
    raise ConfigurationError(
        f"{type(collector).__name__} cannot collect: give an object with collect(context), a function, or "
        f"a CommandCollector."
    )
