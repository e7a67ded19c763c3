"""What an algorithm sees and answers, and how a user describes one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from attrs import define, evolve, field, frozen

from caf_core import former
from caf_core.calibration.collected import Collected, Index, as_index
from caf_core.calibration.convergence import Metric
from caf_core.calibration.plans import Result
from caf_core.conditions.chain import Chain
from caf_core.conditions.payload import Payload
from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun, IoV, as_runs
from caf_core.jobs.task import Resources
from caf_core.strict import strict
from caf_core.text import storable

__all__ = ["Algorithm", "AlgorithmContext", "AnyAlgorithm", "Metric", "Outcome", "Result"]


def _payloads(value: Any) -> tuple[Payload, ...]:
    if isinstance(value, Mapping):
        return tuple(Payload(name, content) for name, content in value.items())
    several = value if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [value]
    payloads = tuple(several)
    for one in payloads:
        if not isinstance(one, Payload):
            raise ConfigurationError(
                f"{one!r} is no payload; give {{name: content}}, or a list of Payload(name, content)."
            )
    return payloads


def _named(metrics: Any) -> dict[str, Metric]:
    if not isinstance(metrics, Mapping):
        raise ConfigurationError(f"the metrics are {metrics!r}; give {{name: Metric(value, tolerance)}}.")
    for name, metric in metrics.items():
        if not isinstance(metric, Metric):
            raise ConfigurationError(
                f"the metric {name!r} is {metric!r}; give Metric(value, tolerance), with the tolerance below "
                "which it no longer matters."
            )
    return {storable(name): metric for name, metric in metrics.items()}


def _result(value: str) -> Result:
    try:
        return Result(value)
    except ValueError as error:
        raise ConfigurationError(
            f"{value!r} is no result of an algorithm; it can be "
            f"{', '.join(repr(str(one)) for one in Result)}."
        ) from error


@frozen
class Outcome:
    """What an algorithm answers.

    Args:
        result: ``ok``, ``iterate``, ``not_enough_data`` or ``failure``.
        payloads: The constants: name -> content, or ``Payload`` objects where one has an interval or codec
            of its own.
        metrics: How far the constants are from convergence; recorded, compared between iterations, and
            never decisive.
        message: A sentence for people.
    """

    result: Result = field(converter=_result)
    payloads: tuple[Payload, ...] = field(default=(), converter=_payloads)
    metrics: Mapping[str, Metric] = field(factory=dict, converter=_named)
    message: str = field(default="", converter=storable)


@frozen
class AlgorithmContext:
    """Everything that one execution of an algorithm needs.

    Args:
        runs: The runs whose data it is given, sorted.
        iov: The interval for which its payloads are meant.
        conditions: Earlier algorithms of this iteration, the previous iteration, dependencies, the user's
            chain.
        params: The algorithm's parameters.
        iteration: Counts from 0.
        directory: Its working directory, or what makes it when it is first asked for.
        calibration: Name of the calibration.
        outputs: What the collectors left.
        data_input: Makes of a ``Collected`` what ``data`` returns.
    """

    runs: tuple[ExpRun, ...]
    iov: IoV
    conditions: Chain
    params: Mapping[str, Any]
    iteration: int
    _directory: Path | Callable[[], Path]
    calibration: str
    _outputs: Index = field(factory=lambda: Index(()), converter=as_index)
    _data_input: Callable[[Collected], Any] | None = None

    @property
    def directory(self) -> Path:
        """Where this execution may write, its working directory: files with relative names lie there."""
        return self._directory if isinstance(self._directory, Path) else self._directory()

    @property
    def experiment(self) -> int:
        """The experiment of the first run."""
        return self.runs[0].exp

    def data(self, runs: Sequence[ExpRun] | None = None, collection: str | None = None) -> Any:
        """The collected data.

        Args:
            runs: Some of the context's runs; all of them if left out.
            collection: The data of one collection only; of all, in their order, if left out.
        Returns:
            A ``Collected``, or what the algorithm's ``data_input`` function makes of it.
        Raises:
            ConfigurationError: If runs are asked for that this execution was not given.
        """
        wanted = self.runs if runs is None else tuple(sorted(set(as_runs(runs))))
        foreign = set(wanted).difference(self.runs)
        if foreign:
            raise ConfigurationError(
                f"run {min(foreign)} is not among the runs of this execution; see context.runs."
            )
        if collection is not None and collection not in self._outputs.collections:
            known = ", ".join(sorted(self._outputs.collections))
            raise ConfigurationError(f"there is no collection {collection!r}; there are: {known}.")
        collected = Collected(wanted, self._outputs, collection)
        return collected if self._data_input is None else self._data_input(collected)

    def with_runs(self, runs: Sequence[ExpRun]) -> "AlgorithmContext":
        """The same context for other runs."""
        return evolve(self, runs=tuple(runs))


@runtime_checkable
class SupportsCalibrate(Protocol):
    """An object that calibrates; a plain function with the same argument serves too."""

    def calibrate(self, context: AlgorithmContext) -> Outcome:
        """Determine constants from the data of some runs."""


AnyAlgorithm = SupportsCalibrate | Callable[[AlgorithmContext], Outcome]


@strict("an algorithm", former.ALGORITHM)
@define
class Algorithm:
    """An algorithm in a calibration, with what it is given.

    Args:
        algorithm: An object with ``calibrate(context)``, or a function.
        name: Unique within the calibration; the class's or function's name if left out.
        params: Parameters: those that the strategy knows (``apply_iov``, ``step_size``, ``iov_coverage``,
            ``payload_boundaries``, ...) go to it,
            the others to ``context.params``.
        strategy: A name, class or instance; the calibration's ``strategies`` if left out.
        data_input: Makes of a ``Collected`` what ``context.data()`` returns.
        pre_algorithm: Called as ``pre_algorithm(algorithm, context)`` before each execution, such as to
            set up geometry.
        isolate: Whether each execution has a process of its own. Otherwise one process executes the algorithm
            for all runs of an iteration, and what it leaves in its modules and attributes stays there.
        execution_walltime: How long one execution may take; it is ended then, tried once more, and counts as
            ``failure``.
        resources: What the task that executes it needs, of which there is one an iteration, or several with
            the ``parallel`` runner: processors, memory, and time for all executions together. On this machine
            only the time is a limit.
    """

    algorithm: Any
    name: str = ""
    params: dict[str, Any] = field(factory=dict)
    strategy: Any = None
    data_input: Callable[[Collected], Any] | None = field(default=None, kw_only=True)
    pre_algorithm: Callable[[Any, AlgorithmContext], None] | None = field(default=None, kw_only=True)
    isolate: bool = field(default=False, kw_only=True)
    execution_walltime: timedelta | None = field(default=None, kw_only=True)
    resources: Resources | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if not callable(getattr(self.algorithm, "calibrate", None)) and not callable(self.algorithm):
            cpp = callable(getattr(self.algorithm, "execute", None))
            raise ConfigurationError(
                f"{type(self.algorithm).__name__} is no algorithm: give an object with calibrate(context), "
                f"or a function{' that executes it' if cpp else ''}."
            )
        if isinstance(self.algorithm, type):
            raise ConfigurationError(
                f"{self.algorithm.__name__} is a class; give an instance of it: {self.algorithm.__name__}()."
            )
        if not isinstance(self.isolate, bool):
            raise ConfigurationError(f"isolate is {self.isolate!r}; it can be True or False.")
        limit: Any = self.execution_walltime  # as a user wrote it
        if limit is not None and not (isinstance(limit, timedelta) and limit > timedelta(0)):
            raise ConfigurationError(
                f"execution_walltime is {limit!r}; it is a time such as datetime.timedelta(minutes=5)."
            )
        if self.resources is not None and not isinstance(self.resources, Resources):
            raise ConfigurationError(
                f"resources is {self.resources!r}; it is Resources(...), such as Resources(memory_mb=8000)."
            )
        if not self.name:
            self.name = getattr(self.algorithm, "__name__", type(self.algorithm).__name__)

    @property
    def function(self) -> Callable[[AlgorithmContext], Outcome]:
        """What is called with the context."""
        method = getattr(self.algorithm, "calibrate", None)
        return method if callable(method) else self.algorithm  # type: ignore[no-any-return]  # a user's object

    @property
    def finds_boundaries(self) -> bool:
        """Whether it can be asked for boundaries."""
        names = ("find_payload_boundaries", "is_boundary_required")
        return any(callable(getattr(self.algorithm, name, None)) for name in names)

    @property
    def preload(self) -> tuple[str, ...]:
        """Modules that the resident process should import once."""
        return tuple(getattr(self.algorithm, "preload", ()))

    @classmethod
    def wrap(cls, value: "Algorithm | AnyAlgorithm") -> "Algorithm":
        """The value itself if it is an ``Algorithm``, else one around it."""
        return value if isinstance(value, Algorithm) else cls(value)
