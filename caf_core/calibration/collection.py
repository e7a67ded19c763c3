"""A collection: one collector, its input files, and how the work is cut."""

import os
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any, Literal, get_args

from attrs import Attribute, define, field

from caf_core import former
from caf_core.calibration.collector import AnyCollector, CommandCollector, collect_function
from caf_core.calibration.databases import DatabaseUser
from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun, IoV
from caf_core.jobs import input_names
from caf_core.jobs.input_names import is_uri
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.task import Resources
from caf_core.jobs.texts import texts
from caf_core.strict import strict

Keep = Literal["all", "last", "failed"]
KEEP: tuple[Keep, ...] = get_args(Keep)
Granularity = Literal["run", "all"]

DEFAULT_MAX_JOBS = 1000


def _modules(names: object) -> tuple[str, ...]:
    return tuple(texts(names))


def _intervals(value: "Mapping[Any, Any] | str | PathLike[str] | None") -> dict[str, IoV]:
    """A table of intervals, or the file that ``caf filemap`` wrote."""
    from caf_core.calibration.filemap import as_map, load  # it is rarely needed

    if value is None:
        return {}
    return load(fspath(value)) if isinstance(value, str | PathLike) else as_map(value, "files_to_iovs")


SPLITTING = ("max_files_per_collector_job", "max_collector_jobs", "splitter")


def _only(collection: "Collection", attribute: "Attribute[Any]", value: Any) -> Any:
    """Of the settings that say how the work is cut, the one set last counts."""
    if value is not None:
        for name in SPLITTING:
            if name != attribute.name:
                object.__setattr__(collection, name, None)
    return value


@strict("a collection", former.COLLECTION)
@define(kw_only=True)
class Collection(DatabaseUser):
    """What is collected from which files, and how.

    Args:
        collector: An object with ``collect(context)``, a function, or a ``CommandCollector``.
        input_files: Paths, globs and URIs (``root://`` and the like are passed through).
        files_to_iovs: Input file -> the interval that it holds, or the file with such a table that
            ``caf filemap`` wrote; it saves looking into the files.
        params: Handed to the collector as ``context.params``.
        output_patterns: Globs of the files that count as output, relative to a task's working directory; of
            a command without any, ``CollectorOutput.root``, and a command that leaves other files is refused.
        max_files_per_collector_job: Files a task gets at the most. Of this and the next two, the one set last
            counts.
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
    input_files: list[str] = field(factory=list, converter=texts, kw_only=False)
    files_to_iovs: dict[str, IoV] = field(factory=dict, converter=_intervals)
    params: dict[str, Any] = field(factory=dict)
    output_patterns: list[str] = field(factory=list, converter=texts)
    max_files_per_collector_job: int | None = field(default=None, on_setattr=_only)
    max_collector_jobs: int | None = field(default=None, on_setattr=_only)
    splitter: Any = field(default=None, on_setattr=_only)
    backend_args: dict[str, Any] = field(factory=dict)
    resources: Resources = field(factory=Resources)
    retry: RetryPolicy = field(factory=RetryPolicy)
    granularity: Granularity = "run"
    min_fraction: float = 1.0
    on_missing: Literal["error", "skip"] = "error"
    keep_collector_output: Keep | None = None
    preload: tuple[str, ...] = field(default=(), converter=_modules)

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
        fraction: Any = self.min_fraction  # as a user wrote it
        if not isinstance(fraction, int | float) or not 0 < fraction <= 1:
            raise ConfigurationError(
                f"{owner}: min_fraction is {fraction!r}; it lies above 0 and is at most 1."
            )
        params: Any = self.params
        if not isinstance(params, Mapping):
            raise ConfigurationError(f"{owner}: params is {params!r}; it is a table of names and values.")
        for name in ("max_files_per_collector_job", "max_collector_jobs"):
            number = getattr(self, name)
            if number is not None and (not isinstance(number, int) or number < 1):
                raise ConfigurationError(
                    f"{owner}: {name} is {number!r}; it is a whole number of at least 1."
                )
        if sum(getattr(self, name) is not None for name in SPLITTING) > 1:
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
        doubles: Further names of files that are used, such as links -> the name that is used.
    """

    files: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    doubles: Mapping[str, str] = field(factory=dict)


def find_files(collection: Collection, owner: str) -> FileSelection:
    """Expand globs, remove duplicates and look for what is missing.

    Raises:
        ConfigurationError: If files are missing and ``on_missing`` is ``error``, or if none are left.
    """
    names: list[str] = []
    missing: list[str] = []
    for name in collection.input_files:
        try:
            found = input_names.matches(name)
        except ConfigurationError as error:
            raise ConfigurationError(f"{owner}: {error}") from error
        there = [match for match in found if is_uri(match) or os.path.exists(match)]  # noqa: PTH110 - it takes any name
        # What a glob matches and does not exist is a link that leads nowhere.
        missing += [match for match in found if match not in there] if found else [name]
        names += there
    files, doubles = input_names.distinct(names)
    if missing and collection.on_missing == "error":
        raise ConfigurationError(
            f"{owner}: {len(missing)} input file(s) do not exist: {', '.join(map(repr, missing[:3]))}"
            f"{' ...' if len(missing) > 3 else ''}; correct the names, or set on_missing='skip'."
        )
    if collection.input_files and not files:
        raise ConfigurationError(
            f"{owner}: none of its {len(collection.input_files)} input file(s) exist; correct the names."
        )
    return FileSelection(tuple(files), tuple(missing), doubles=doubles)


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
    return FileSelection(kept, selection.missing, tuple(dropped), selection.doubles)
