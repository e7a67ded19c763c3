"""A collection: one collector, its input files, and how the work is cut."""

import glob
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, get_args

from attrs import define, field

from caf_core.calibration.collector import AnyCollector, CommandCollector, collect_function
from caf_core.calibration.databases import DatabaseUser
from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun, IoV
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.task import Resources

Keep = Literal["all", "last", "failed"]
KEEP: tuple[Keep, ...] = get_args(Keep)
Granularity = Literal["run", "all"]

DEFAULT_MAX_JOBS = 1000


def _strings(value: Iterable[object] | str | Path) -> list[str]:
    if isinstance(value, str | Path):
        return [str(value)]
    return [str(item) for item in value]


def _intervals(value: "Mapping[str, IoV] | str | PathLike[str]") -> dict[str, IoV]:
    """A table of intervals, or the file that ``caf filemap`` wrote."""
    if isinstance(value, str | PathLike):
        from caf_core.calibration.filemap import load  # it is rarely needed

        return load(fspath(value))
    return dict(value)


def is_uri(name: str) -> bool:
    """Whether an input file is a URI such as ``root://``, which is passed through unseen."""
    return "://" in name


@define(kw_only=True)
class Collection(DatabaseUser):
    """What is collected from which files, and how.

    Args:
        collector: An object with ``collect(context)``, a function, or a ``CommandCollector``.
        input_files: Paths, globs and URIs (``root://`` and the like are passed through).
        files_to_iovs: Input file -> the interval that it holds, or the file with such a table that
            ``caf filemap`` wrote; it saves looking into the files.
        params: Handed to the collector as ``context.params``.
        output_patterns: Globs of the files that count as output, relative to a task's working directory.
        max_files_per_collector_job: Files a task gets at the most.
        max_collector_jobs: Tasks at the most; 1,000 if neither this nor the former nor ``splitter`` is given.
        splitter: A splitter, its class or its plugin name, in place of the two.
        backend_args: For the backend; they override those of the calibration.
        resources: What every task needs.
        retry: What each kind of failure gets.
        granularity: ``run`` if data are kept run by run, ``all`` if only together.
        min_fraction: The fraction of tasks that must succeed; what is missing is recorded with every payload.
        on_missing: ``error`` refuses input files that do not exist; ``skip`` leaves them out and records it.
        keep_collector_output: ``all`` keeps the output of every iteration, ``last`` that of the last one,
            ``failed`` only that of calibrations that failed.
        preload: Modules that the local resident process imports once, in addition to the collector's own
            ``preload``.
    """

    collector: AnyCollector | None = field(default=None, kw_only=False)
    input_files: list[str] = field(factory=list, converter=_strings, kw_only=False)
    files_to_iovs: dict[str, IoV] = field(factory=dict, converter=_intervals)
    params: dict[str, Any] = field(factory=dict)
    output_patterns: list[str] = field(factory=list, converter=_strings)
    max_files_per_collector_job: int | None = None
    max_collector_jobs: int | None = None
    splitter: Any = None
    backend_args: dict[str, Any] = field(factory=dict)
    resources: Resources = field(factory=Resources)
    retry: RetryPolicy = field(factory=RetryPolicy)
    granularity: Granularity = "run"
    min_fraction: float = 1.0
    on_missing: Literal["error", "skip"] = "error"
    keep_collector_output: Keep | None = None
    preload: tuple[str, ...] = field(default=(), converter=tuple)

    @property
    def is_command(self) -> bool:
        """Whether the collector is a command."""
        return isinstance(self.collector, CommandCollector)

    @property
    def all_preload(self) -> tuple[str, ...]:
        """The collector's own modules, then those of the collection."""
        return tuple(dict.fromkeys((*getattr(self.collector, "preload", ()), *self.preload)))

    def check(self, owner: str) -> None:
        """Refuse what cannot work.

        Args:
            owner: Calibration and collection, for messages.
        Raises:
            ConfigurationError: Naming the setting, what it may be, and the remedy.
        """
        if self.collector is None:
            raise ConfigurationError(f"{owner} has no collector; set collection.collector.")
        if not self.is_command:
            collect_function(self.collector)
        if isinstance(self.collector, CommandCollector):
            for file in self.collector.sandbox:
                if not file.exists():
                    raise ConfigurationError(
                        f"{owner}: the file {str(file)!r} of its sandbox does not exist; correct its name."
                    )
        if self.granularity not in ("run", "all"):
            raise ConfigurationError(
                f"{owner}: granularity is {self.granularity!r}; it can be 'run' or 'all'."
            )
        if self.on_missing not in ("error", "skip"):
            raise ConfigurationError(
                f"{owner}: on_missing is {self.on_missing!r}; it can be 'error' or 'skip'."
            )
        if self.keep_collector_output not in (None, *KEEP):
            raise ConfigurationError(
                f"{owner}: keep_collector_output is {self.keep_collector_output!r}; it can be "
                f"{', '.join(map(repr, KEEP))}."
            )
        if not 0 < self.min_fraction <= 1:
            raise ConfigurationError(
                f"{owner}: min_fraction is {self.min_fraction}; it lies above 0 and is at most 1."
            )
        for name in ("max_files_per_collector_job", "max_collector_jobs"):
            number = getattr(self, name)
            if number is not None and (not isinstance(number, int) or number < 1):
                raise ConfigurationError(
                    f"{owner}: {name} is {number!r}; it is a whole number of at least 1."
                )
        given = [self.max_files_per_collector_job, self.max_collector_jobs, self.splitter]
        if sum(item is not None for item in given) > 1:
            raise ConfigurationError(
                f"{owner}: give one of max_files_per_collector_job, max_collector_jobs and splitter, not "
                f"several."
            )


@define
class FileSelection:
    """The input files of a collection, resolved.

    Args:
        files: Those that are used, in order, without duplicates.
        missing: Names that were given and do not exist (with ``on_missing="skip"``).
        unwanted: Files that hold nothing but ignored runs, or lie outside of the requested interval.
    """

    files: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()


def find_files(collection: Collection, owner: str) -> FileSelection:
    """Expand globs, remove duplicates and look for what is missing.

    Raises:
        ConfigurationError: If files are missing and ``on_missing`` is ``error``, or if none are left.
    """
    found: dict[str, None] = {}
    missing: list[str] = []
    for name in collection.input_files:
        if is_uri(name):
            found[name] = None
            continue
        matches = _matches(name)
        missing += [] if matches else [name]
        found.update(dict.fromkeys(matches))
    if missing and collection.on_missing == "error":
        raise ConfigurationError(
            f"{owner}: {len(missing)} input file(s) do not exist: {', '.join(map(repr, missing[:3]))}"
            f"{' ...' if len(missing) > 3 else ''}; correct the names, or set on_missing='skip'."
        )
    if collection.input_files and not found:
        raise ConfigurationError(
            f"{owner}: none of its {len(collection.input_files)} input file(s) exist; correct the names."
        )
    return FileSelection(tuple(found), tuple(missing))


def absolute_path(name: str) -> str:
    """A path as tasks need it, whatever their working directory; ``~`` is the home of a user, if there is
    such a user."""
    path = Path(name)
    with suppress(RuntimeError):  # where there is none, the file's own name begins with a tilde
        path = path.expanduser()
    return str(path.absolute())


def _matches(name: str) -> list[str]:
    """The files that a name or glob stands for.

    A name that exists is taken as it is, so that brackets in file names are no trap.
    """
    path = absolute_path(name)
    return [path] if os.path.exists(path) else sorted(glob.glob(path, recursive=True))  # noqa: PTH110, PTH207 - they take any name


def select_by_run(
    selection: FileSelection,
    iovs: Mapping[str, IoV | None],
    ignored: frozenset[ExpRun],
    requested: IoV | None,
) -> FileSelection:
    """Leave out the files that hold nothing that is wanted; a file of unknown content stays.

    Args:
        selection: The files.
        iovs: The interval of each file, as far as it is known.
        ignored: Runs that must not be used.
        requested: The interval that is wanted, if not all.
    """

    def unwanted(name: str) -> bool:
        iov = iovs.get(name)
        if iov is None:
            return False
        if requested is not None and not requested.overlaps(iov):
            return True
        single = (iov.exp_low, iov.run_low) == (iov.exp_high, iov.run_high)
        if single:
            return ExpRun(iov.exp_low, iov.run_low) in ignored
        closed = iov.exp_low == iov.exp_high and iov.run_high >= 0
        return closed and all(
            ExpRun(iov.exp_low, run) in ignored for run in range(iov.run_low, iov.run_high + 1)
        )

    dropped = dict.fromkeys(name for name in selection.files if unwanted(name))
    kept = tuple(name for name in selection.files if name not in dropped)
    return FileSelection(kept, selection.missing, tuple(dropped))
