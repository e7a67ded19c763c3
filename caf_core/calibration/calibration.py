"""A calibration as a user describes it, and the base of calibrations that users write themselves."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from attrs import define, field, fields

from caf_core import former
from caf_core.calibration.algorithm import Algorithm, AnyAlgorithm
from caf_core.calibration.collection import SPLITTING, Collection, Keep
from caf_core.calibration.collector import AnyCollector
from caf_core.calibration.databases import DatabaseUser
from caf_core.calibration.states import State
from caf_core.conditions.chain import Chain
from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun, IoV, as_runs
from caf_core.jobs.names import check_folder_name
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.task import Resources
from caf_core.jobs.texts import texts
from caf_core.strict import unknown

DEFAULTS: dict[str, Any] = {
    "max_iterations": 5,
    "ignored_runs": [],
    "backend": "local",
    "algorithm_backend": None,
    "strategies": "SingleIOV",
    "runner": "sequential",
    "keep_collector_output": "all",
    "require_convergence": False,
    "backend_args": {},
    "resources": Resources(),
    "retry": RetryPolicy(),
}
"""What a calibration uses where neither it nor ``CAF.calibration_defaults`` says otherwise."""

DEFAULT_COLLECTION = "default"


_TAKEN = frozenset({"outputdb", "caf_state.db", "index.json", "missing.json"})
"""Names that caf itself uses in the folders where those of the user stand."""


def check_name(name: object, what: str) -> None:
    """Refuse a name that cannot be the name of a folder.

    Raises:
        ConfigurationError: Naming what is wrong with it.
    """
    check_folder_name(name, what)
    if name in _TAKEN:
        raise ConfigurationError(
            f"{name!r} cannot be the name of {what}: caf uses it itself; choose another."
        )


@define(eq=False, kw_only=True, slots=False)
class CalibrationBase(ABC):
    """What a CAF drives. Subclass it, and write ``run`` and ``is_valid``, for a calibration that goes its
    own way.

    ``run`` is executed in a thread of its own once all dependencies have completed. It fails by raising,
    or by setting ``state`` to
    ``fail_state``. Processes that it starts are its own affair, unless it submits them through caf.

    Args:
        name: Unique in a CAF; also the name of its folder.
        dependencies: The calibrations that must have completed before this one starts; use ``depends_on``.
        save_payloads: Whether its constants belong into the CAF's common database at the end.
        output_database_dir: Where it leaves its constants: a local database; dependents see it.
        output_dir: Its own folder, set before ``is_valid`` and ``run`` are called, and made before ``run``.
        iov: The interval that the CAF was asked for, or ``None``; set likewise.
        conditions: The constants of its dependencies, nearest first; set before ``run`` is called.
        dependency_databases: The folders in which they lie, in the same order.
    """

    end_state: ClassVar[str] = State.COMPLETED
    fail_state: ClassVar[str] = State.FAILED

    name: str = field(kw_only=False)
    dependencies: list["CalibrationBase"] = field(
        factory=list, repr=lambda deps: str([dep.name for dep in deps])
    )
    save_payloads: bool = True
    output_database_dir: Path | None = None
    output_dir: Path | None = field(default=None, init=False)
    iov: IoV | None = field(default=None, init=False)
    conditions: Chain = field(factory=lambda: Chain([]), init=False, repr=False)
    dependency_databases: tuple[Path, ...] = field(default=(), init=False, repr=False)
    state: str = field(default=State.INIT, init=False)
    _counter: Callable[[int, int], None] | None = field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        check_name(self.name, "a calibration")

    @abstractmethod
    def run(self) -> None:
        """Do the calibration."""

    @abstractmethod
    def is_valid(self) -> bool:
        """Whether it can be run as it is configured."""

    def report_iteration(self, iteration: int, last: int) -> None:
        """Let ``caf status`` show how far ``run`` has come; may be called from any thread.

        Args:
            iteration: Counts from 0.
            last: The last one that is allowed.
        """
        if self._counter is not None:
            self._counter(iteration, last)

    def depends_on(self, calibration: "CalibrationBase") -> None:
        """Let this calibration start only when another has completed, and see its constants."""
        if not isinstance(calibration, CalibrationBase):
            raise ConfigurationError(
                f"{calibration!r} is no calibration; give depends_on the calibration itself, not its name."
            )
        if calibration not in self.dependencies:
            self.dependencies.append(calibration)

    def dependencies_met(self) -> bool:
        """Whether all dependencies have completed."""
        return all(dependency.state == dependency.end_state for dependency in self.dependencies)

    def failed_dependencies(self) -> list["CalibrationBase"]:
        """The dependencies that have failed."""
        return [dependency for dependency in self.dependencies if dependency.state == dependency.fail_state]


def _algorithms(value: Any) -> list[Algorithm]:
    if value is None:
        return []
    one = isinstance(value, Algorithm) or callable(value) or callable(getattr(value, "calibrate", None))
    if not one and isinstance(value, Iterable) and not isinstance(value, str):
        return [Algorithm.wrap(item) for item in value]
    return [Algorithm.wrap(value)]


def _runs(value: Any) -> list[ExpRun] | None:
    if value is None:
        return None
    one = isinstance(value, str) or (
        isinstance(value, tuple) and any(isinstance(item, int) for item in value)
    )
    return list(as_runs([value] if one else value))


_OWN_SETTINGS = frozenset(
    {*DEFAULTS, *(field.name for field in fields(CalibrationBase)), "_algorithms", "_ignored_runs", "_unused"}
    | {
        "algorithms",
        "collections",
        "collector",
        "database_chain",
        "files_to_iovs",
        "input_files",
    }
)
_COLLECTION_SETTINGS = frozenset(field.name for field in fields(Collection)) - _OWN_SETTINGS
"""What a calibration takes for its default collection."""


def _unknown(name: str) -> str:
    return unknown("a calibration", name, _OWN_SETTINGS | _COLLECTION_SETTINGS, former.CALIBRATION)


class Calibration(CalibrationBase, DatabaseUser):
    """Collect, calibrate, iterate.

    Args:
        name: Unique in a CAF; also the name of its folder.
        collector: The collector of the collection called ``default``; ``add_collection`` adds others.
        algorithms: Algorithms in the order in which they are executed: ``Algorithm``, an object with
            ``calibrate``, or a function.
        input_files: The input files of the default collection.
        settings: Any attribute below, or of the default collection.

    Attributes:
        strategies: A name, class or instance for all algorithms, or a list with one for each.
        max_iterations: Iterations 0 to this number are allowed (default 5).
        ignored_runs: Runs that are left out.
        backend: A plugin name or an instance; the CAF's backend if left out.
        algorithm_backend: What executes the algorithms: a plugin name or an instance; this machine if left
            out. What each needs there stands in its ``Algorithm(resources=...)``.
        backend_args: For the backend; those of a collection win. They hold for the algorithms too where these
            have the same backend.
        resources: What the tasks of its collections need, as far as a collection leaves that open.
        retry: What failures get in collections that say nothing, and in the tasks of algorithms.
        runner: Which runner carries the strategies' plans out: ``sequential`` or ``parallel``.
        require_convergence: Whether ending without convergence is a failure.
        keep_collector_output: As in ``Collection``.
    """

    collections: dict[str, Collection]
    _unused: Collection
    _algorithms: list[Algorithm]
    strategies: Any
    max_iterations: int | None
    _ignored_runs: list[ExpRun] | None
    backend: Any
    algorithm_backend: Any
    backend_args: dict[str, Any]
    resources: Resources | None
    retry: RetryPolicy | None
    runner: Any
    require_convergence: bool | None
    keep_collector_output: Keep | None

    def __init__(
        self,
        name: str,
        collector: AnyCollector | None = None,
        algorithms: Iterable[Algorithm | AnyAlgorithm] | Algorithm | AnyAlgorithm | None = None,
        input_files: Iterable[str | Path] | str | Path = (),
        **settings: Any,
    ) -> None:
        CalibrationBase.__init__(self, name)
        self.database_chain = None
        self.collections, self._unused = {}, Collection()
        if collector is not None:
            self.collections[DEFAULT_COLLECTION] = Collection(collector, input_files)
        elif found := texts(input_files):
            self.collections[DEFAULT_COLLECTION] = Collection(None, found)
        self._algorithms = _algorithms(algorithms)
        self.strategies = self.max_iterations = self._ignored_runs = self.backend = self.runner = None
        self.algorithm_backend = None
        self.require_convergence = self.keep_collector_output = self.resources = self.retry = None
        self.backend_args = {}
        cuts = [key for key in SPLITTING if settings.get(key) is not None]
        if len(cuts) > 1:
            raise ConfigurationError(
                f"calibration {name!r}: give one of {' and '.join(cuts)}, not several; each says how the "
                f"work is cut."
            )
        for key, value in settings.items():
            setattr(self, key, value)

    def __setattr__(self, name: str, value: Any) -> None:
        """Settings of a collection are those of the default one; a name that nobody knows is refused."""
        if name in _COLLECTION_SETTINGS:
            setattr(self._changed, name, value)
        elif type(self) is Calibration and name not in _OWN_SETTINGS:
            raise ConfigurationError(_unknown(name))
        else:
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        """Only called for what is no attribute: settings of the default collection."""
        if name in _COLLECTION_SETTINGS:
            return getattr(self._default, name)
        if name in former.CALIBRATION and name not in vars(type(self)):
            raise AttributeError(_unknown(name))
        raise AttributeError(f"a calibration has no attribute {name!r}")

    @property
    def algorithms(self) -> list[Algorithm]:
        """The algorithms, in order."""
        return self._algorithms

    @algorithms.setter
    def algorithms(self, value: Sequence[Algorithm | AnyAlgorithm]) -> None:
        self._algorithms = _algorithms(value)

    @property
    def ignored_runs(self) -> list[ExpRun] | None:
        """Runs that are left out; ``None`` takes the CAF's default."""
        return self._ignored_runs

    @ignored_runs.setter
    def ignored_runs(self, value: Iterable[tuple[int, int]] | None) -> None:
        self._ignored_runs = _runs(value)

    @property
    def collector(self) -> AnyCollector | None:
        """The collector of the default collection."""
        return self._default.collector

    @collector.setter
    def collector(self, value: AnyCollector) -> None:
        self._changed.collector = value

    @property
    def input_files(self) -> list[str]:
        """The input files of the default collection."""
        return self._default.input_files

    @input_files.setter
    def input_files(self, value: Iterable[str | Path] | str | Path) -> None:
        self._changed.input_files = value  # type: ignore[assignment]  # attrs converts it

    @property
    def files_to_iovs(self) -> dict[str, IoV]:
        """The intervals of the default collection's files."""
        return self._default.files_to_iovs

    @files_to_iovs.setter
    def files_to_iovs(self, value: "dict[str, IoV] | str | Path") -> None:
        self._changed.files_to_iovs = value  # type: ignore[assignment]  # attrs converts it

    @property
    def _default(self) -> Collection:
        """The default collection; while nothing is said about it, it is none of the collections."""
        return self.collections.get(DEFAULT_COLLECTION, self._unused)

    @property
    def _changed(self) -> Collection:
        return self.collections.setdefault(DEFAULT_COLLECTION, self._unused)

    def add_collection(self, name: str, collection: Collection) -> None:
        """Add a further collection, or replace the one of that name.

        Args:
            name: Unique in the calibration; also the name of its folder.
            collection: What it collects.
        """
        check_name(name, "a collection")
        if not isinstance(collection, Collection):
            raise ConfigurationError(
                f"{collection!r} is no collection; write add_collection({name!r}, Collection(collector, "
                f"input_files))."
            )
        self.collections[name] = collection

    def run(self) -> None:
        """A standard calibration is driven by the CAF, state by state.

        Raises:
            ConfigurationError: Always; add the calibration to a CAF.
        """
        raise ConfigurationError(
            f"calibration {self.name!r} cannot run on its own; add it to a CAF: caf.add_calibration(...)."
        )

    def is_valid(self) -> bool:
        """Whether it can be run as it is configured; ``check`` says why not."""
        try:
            self.check()
        except ConfigurationError:
            return False
        return True

    def check(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigurationError: Naming the setting, what it may be, and the remedy.
        """
        if self._unused != Collection():  # a list of it was changed in place
            self.collections.setdefault(DEFAULT_COLLECTION, self._unused)
        if not self.collections:
            raise ConfigurationError(
                f"calibration {self.name!r} has no collection; give it a collector or call add_collection."
            )
        if not self._algorithms:
            raise ConfigurationError(
                f"calibration {self.name!r} has no algorithms; set calibration.algorithms."
            )
        for name, collection in self.collections.items():
            collection.check(f"calibration {self.name!r}, collection {name!r}")
        names = [algorithm.name for algorithm in self._algorithms]
        for name in names:
            check_name(name, "an algorithm")
        if len(set(names)) < len(names):
            raise ConfigurationError(
                f"calibration {self.name!r} has two algorithms of one name ({', '.join(names)}); name "
                f"them: Algorithm(..., name=...)."
            )
        granularities = {name: collection.granularity for name, collection in self.collections.items()}
        if len(set(granularities.values())) > 1:
            raise ConfigurationError(
                f"the collections of calibration {self.name!r} differ in granularity ({granularities}); "
                f"all of them have to agree."
            )
