"""From what a user wrote to what is carried out: names become classes, defaults become values, mistakes
become errors.

Everything that can be wrong with a configuration is found here, before anything starts.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from caf_core.calibration.algorithm import Algorithm
from caf_core.calibration.calibration import DEFAULTS, Calibration, CalibrationBase
from caf_core.calibration.collection import (
    DEFAULT_MAX_JOBS,
    KEEP,
    Collection,
    find_files,
    select_by_run,
)
from caf_core.calibration.collector import RunSelection
from caf_core.calibration.databases import search_order
from caf_core.calibration.strategy import AlgorithmStrategy, Known
from caf_core.control import graph
from caf_core.control.backends import Backends
from caf_core.control.outstanding import EXECUTIONS
from caf_core.control.resolved import Resolved, ResolvedAlgorithm, ResolvedCollection
from caf_core.errors import ConfigurationError, PluginError
from caf_core.iov import ExpRun, IoV
from caf_core.jobs.backend import Backend
from caf_core.jobs.input_names import identity, input_name
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.splitters import MaxFilesSplitter, MaxSubjobsSplitter, SubjobSplitter
from caf_core.jobs.task import Resources
from caf_core.plugins.known import STRATEGY_PARAMETERS
from caf_core.plugins.registry import Registry
from caf_core.text import clause


def dependency_graph(calibrations: Sequence[CalibrationBase]) -> dict[str, list[str]]:
    """Who depends on whom.

    Raises:
        ConfigurationError: If two have one name, or a dependency is not in the CAF.
        DependencyCycleError: If they wait for one another.
    """
    found: dict[str, list[str]] = {}
    for calibration in calibrations:
        if calibration.name in found:
            raise ConfigurationError(
                f"two calibrations are called {calibration.name!r}; give each a name of its own."
            )
        found[calibration.name] = [dependency.name for dependency in calibration.dependencies]
    for calibration in calibrations:
        for dependency in calibration.dependencies:
            if not any(dependency is other for other in calibrations):
                raise ConfigurationError(
                    f"calibration {calibration.name!r} depends on {dependency.name!r}, which is not in this "
                    f"CAF; add it with caf.add_calibration(...), or use its constants through "
                    f"use_local_database(...)."
                )
    graph.ordered(found)
    return found


def resolve(
    calibrations: Sequence[CalibrationBase],
    *,
    output_dir: Path,
    registry: Registry,
    backends: Backends,
    defaults: Mapping[str, Any],
    requested: IoV | None,
    site: Resources,
) -> dict[str, Resolved]:
    """Resolve every calibration.

    Args:
        calibrations: What the user added.
        output_dir: The CAF's output directory.
        registry: The plugins.
        backends: Collects the backends that are used.
        defaults: What the CAF says where a calibration says nothing.
        requested: The interval that was asked for, if any.
        site: What tasks need here where nobody says anything.
    Returns:
        Name -> resolved calibration, each after those that it depends on.
    Raises:
        ConfigurationError: If anything cannot work as written.
    """
    links = dependency_graph(calibrations)
    by_name = {calibration.name: calibration for calibration in calibrations}
    unknown = set(defaults) - set(DEFAULTS)
    if unknown:
        raise ConfigurationError(
            f"calibration_defaults has no {', '.join(sorted(map(repr, unknown)))}; it has: "
            f"{', '.join(sorted(DEFAULTS))}."
        )
    resolved: dict[str, Resolved] = {}
    for name in graph.ordered(links):
        calibration = by_name[name]
        calibration.output_dir, calibration.iov = output_dir / name, requested
        nearest = graph.nearest_first(links, name)
        if isinstance(calibration, Calibration):
            one = _standard(
                calibration,
                output_dir / name,
                registry,
                backends,
                {**DEFAULTS, **defaults},
                requested,
                site,
            )
            one.nearest = nearest
        else:
            _check_own(calibration)
            one = Resolved(calibration, output_dir / name, nearest, {**DEFAULTS, **defaults})
            one.selection = RunSelection((), requested)
        resolved[name] = one
    return resolved


def _check_own(calibration: CalibrationBase) -> None:
    try:
        valid = calibration.is_valid()
    except Exception as error:
        raise ConfigurationError(
            f"calibration {calibration.name!r} cannot say whether it is valid: is_valid() raised "
            f"{type(error).__name__}: {clause(error)}; correct it."
        ) from error
    if not valid:
        raise ConfigurationError(
            f"calibration {calibration.name!r} says that it is not valid (is_valid() is false); complete it."
        )


def _standard(
    calibration: Calibration,
    output_dir: Path,
    registry: Registry,
    backends: Backends,
    defaults: Mapping[str, Any],
    requested: IoV | None,
    site: Resources,
) -> Resolved:
    calibration.check()
    settings = {key: _first(getattr(calibration, key), default) for key, default in defaults.items()}
    strategies = settings["strategies"]
    if isinstance(strategies, Iterable) and not isinstance(strategies, str | type):
        settings["strategies"] = tuple(strategies)
    _check_settings(calibration, settings)
    settings["backend_args"] = {**defaults["backend_args"], **calibration.backend_args}
    settings["resources"] = settings["resources"].or_else(defaults["resources"])
    selection = RunSelection(settings["ignored_runs"], requested)
    collections = tuple(
        _collection(calibration, name, collection, registry, selection)
        for name, collection in calibration.collections.items()
    )
    backend = backends.use(settings["backend"])
    _check_args(calibration, settings["backend_args"], backends.instances[backend])
    algorithm_backend = _algorithm_backend(calibration, settings, backends, backend)
    # What site-wide defaults say of time must not end what this machine executes.
    algorithms = _algorithms(
        calibration, settings, registry, Resources() if algorithm_backend == EXECUTIONS else site
    )
    _check_strategies(calibration, algorithms, selection, collections)
    return Resolved(
        calibration,
        output_dir,
        (),
        settings,
        collections=collections,
        algorithms=algorithms,
        selection=selection,
        chain=search_order(calibration.database_chain),
        backend=backend,
        algorithm_backend=algorithm_backend,
        # A runner holds the state of one iteration of one calibration, so an instance serves as a model.
        runner=_maker(registry.resolve("runner", settings["runner"])),
    )


def _maker(runner: Any) -> Callable[[], Any]:
    return runner if isinstance(runner, type) else partial(copy.copy, runner)


def _check_settings(calibration: Calibration, settings: Mapping[str, Any]) -> None:
    """Refuse settings that cannot be, whether they are the calibration's own or the CAF's.

    Raises:
        ConfigurationError: Naming the setting, what it may be, and the remedy.
    """
    owner, last = f"calibration {calibration.name!r}", settings["max_iterations"]
    if not isinstance(last, int) or isinstance(last, bool) or last < 0:
        raise ConfigurationError(
            f"{owner}: max_iterations is {last!r}; it is a whole number, and 0 executes everything once."
        )
    for key, kind in (("resources", Resources), ("retry", RetryPolicy), ("backend_args", Mapping)):
        if not isinstance(settings[key], kind):
            meant = "a table" if kind is Mapping else f"{kind.__name__}(...)"
            raise ConfigurationError(f"{owner}: {key} is {settings[key]!r}; it is {meant}.")
    if settings["keep_collector_output"] not in KEEP:
        raise ConfigurationError(
            f"{owner}: keep_collector_output is {settings['keep_collector_output']!r}; it can be "
            f"{', '.join(map(repr, KEEP))}."
        )
    switches = {
        "require_convergence": settings["require_convergence"],
        "save_payloads": calibration.save_payloads,
    }
    for key, value in switches.items():
        if not isinstance(value, bool):
            raise ConfigurationError(f"{owner}: {key} is {value!r}; it can be True or False.")
    strategies, count = settings["strategies"], len(calibration.algorithms)
    if isinstance(strategies, list | tuple) and len(strategies) != count:
        raise ConfigurationError(
            f"{owner} has {count} algorithm(s) and {len(strategies)} strategies; give one strategy, or one "
            f"for each."
        )


def _check_args(calibration: Calibration, args: Mapping[str, Any], backend: Backend) -> None:
    """Let the backend refuse arguments that it does not know, before anything is started.

    Raises:
        ConfigurationError: Naming the calibration and the collection.
    """
    for name, collection in calibration.collections.items():
        try:
            backend.check_args({**backend.backend_args, **args, **collection.backend_args})
        except ConfigurationError as error:
            raise ConfigurationError(
                f"calibration {calibration.name!r}, collection {name!r}: {error}"
            ) from error


def _algorithm_backend(
    calibration: Calibration, settings: Mapping[str, Any], backends: Backends, of_collectors: str
) -> str:
    """The name of the backend of its algorithms.

    Raises:
        ConfigurationError: If there is no such backend, or its tasks do not work in folders that are seen
            here.
    """
    owner, wanted = f"calibration {calibration.name!r}: algorithm_backend", settings["algorithm_backend"]
    if wanted is None:
        return EXECUTIONS
    try:
        name = backends.use(wanted)
        backend = backends.instances[name]
        args = {**backend.backend_args, **(settings["backend_args"] if name == of_collectors else {})}
        backend.check_args(args)
    except (ConfigurationError, PluginError) as error:
        raise ConfigurationError(f"{owner}: {error}") from error
    if not backend.shares_files(args):
        raise ConfigurationError(
            f"{owner} {name!r} carries files to its nodes and back, and what an algorithm has done is "
            f"followed in a folder that both see; choose one with a shared file system, or leave "
            f"algorithm_backend out: then this machine executes the algorithms."
        )
    return name


def _first(value: Any, default: Any) -> Any:
    return default if value is None else value


def _algorithms(
    calibration: Calibration, settings: Mapping[str, Any], registry: Registry, site: Resources
) -> tuple[ResolvedAlgorithm, ...]:
    granularity = next(iter(calibration.collections.values())).granularity
    strategies = settings["strategies"]
    found = []
    for index, algorithm in enumerate(calibration.algorithms):
        chosen = algorithm.strategy
        if chosen is None:
            chosen = strategies[index] if isinstance(strategies, list | tuple) else strategies
        strategy, params = _strategy(chosen, algorithm, registry, calibration.name)
        if granularity not in strategy.usable_granularities:
            usable = " or ".join(sorted(map(repr, strategy.usable_granularities)))
            raise ConfigurationError(
                f"calibration {calibration.name!r}: strategy {type(strategy).__name__} of algorithm "
                f"{algorithm.name!r} needs granularity {usable} "
                f"and its collections have {granularity!r}; change the collections' granularity, or choose "
                f"another strategy."
            )
        needs = (algorithm.resources or Resources()).or_else(site)
        found.append(ResolvedAlgorithm(index, algorithm, strategy, params, needs))
    return tuple(found)


def _strategy(
    chosen: Any, algorithm: Algorithm, registry: Registry, calibration: str
) -> tuple[AlgorithmStrategy, dict[str, Any]]:
    """The strategy with its parameters, and the parameters that are left for the algorithm."""
    kind = registry.resolve("strategy", chosen)
    given = kind if isinstance(kind, type) else type(kind)
    owner = f"calibration {calibration!r}, algorithm {algorithm.name!r}"
    params: Any = algorithm.params  # as a user wrote it
    if not isinstance(params, Mapping) or not all(isinstance(key, str) for key in params):
        raise ConfigurationError(f"{owner}: params is {params!r}; it is a table of names and values.")
    names = {field.name for field in attrs.fields(given)} if attrs.has(given) else set()
    own = {key: value for key, value in params.items() if key in names}
    rest = {key: value for key, value in params.items() if key not in names}
    _refuse_misspelt(rest, names, given.__name__, owner)
    try:
        strategy = kind(**own) if isinstance(kind, type) else attrs.evolve(kind, **own)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{owner}: the parameters {own} do not fit strategy {given.__name__}: {error}"
        ) from error
    return strategy, rest


def _refuse_misspelt(rest: Mapping[str, Any], names: set[str], strategy: str, owner: str) -> None:
    """Refuse parameters that look like a strategy's, and would be taken for the algorithm's own.

    Raises:
        ConfigurationError: If one is almost a parameter of this strategy, or one of another strategy.
    """
    for key in rest:
        if key in STRATEGY_PARAMETERS:
            raise ConfigurationError(
                f"{owner}: {key} is a parameter of {' and '.join(STRATEGY_PARAMETERS[key])}, and its "
                f"strategy is {strategy}; choose another strategy, or leave {key} out."
            )
        close = get_close_matches(key, sorted({*names, *STRATEGY_PARAMETERS}), n=1, cutoff=0.85)
        if close:
            raise ConfigurationError(
                f"{owner}: there is no parameter {key!r} of a strategy; do you mean {close[0]!r}? If it is "
                "meant for the algorithm, give it a name that is less alike."
            )


def _check_strategies(
    calibration: Calibration,
    algorithms: Sequence[ResolvedAlgorithm],
    selection: RunSelection,
    collections: Sequence[ResolvedCollection],
) -> None:
    """Let strategies refuse what cannot work, as far as it is known.

    Raises:
        ConfigurationError: Naming calibration and algorithm.
    """
    runs = tuple(
        (run, f"input file {file!r}")
        for part in collections
        for file, iov in part.iovs.items()
        for run in _ends(iov)
        if selection.wants(run)
    )
    for part in algorithms:
        known = Known(part.algorithm.finds_boundaries, selection.requested, runs)
        try:
            part.strategy.check(known)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"calibration {calibration.name!r}, algorithm {part.name!r}: {error}"
            ) from error


def _ends(iov: IoV) -> tuple[ExpRun, ...]:
    """The runs that a file surely has; what is open at its end is no statement about runs."""
    return () if iov.empty or iov.open_ended else (iov.first, ExpRun(iov.exp_high, iov.run_high))


def _collection(
    calibration: Calibration, name: str, collection: Collection, registry: Registry, selection: RunSelection
) -> ResolvedCollection:
    owner = f"calibration {calibration.name!r}, collection {name!r}"
    files = find_files(collection, owner)
    iovs = _known_iovs(calibration, collection, files.files, owner)
    if selection.ignored or selection.requested is not None:
        if collection.files_to_iovs and not any(iovs.values()):
            raise ConfigurationError(
                f"{owner}: files_to_iovs has none of its {len(iovs)} input file(s), such as "
                f"{files.files[0]!r}; it has names such as {next(iter(collection.files_to_iovs))!r}: correct "
                f"them, or leave it out."
            )
        iovs = {file: registry.iov_of_file(file) if iov is None else iov for file, iov in iovs.items()}
        files = select_by_run(files, iovs, selection.ignored, selection.requested)
        if not files.files and collection.input_files:
            raise ConfigurationError(
                f"{owner}: none of its input files holds a run that is wanted (requested: "
                f"{selection.requested or 'all'}, ignored: "
                f"{', '.join(map(str, sorted(selection.ignored))) or 'none'}); request another interval or "
                f"ignore fewer runs."
            )
    own = collection.database_chain if collection.database_chain is not None else calibration.database_chain
    return ResolvedCollection(
        name,
        collection,
        files,
        _splitter(collection, registry),
        search_order(own),
        {file: iov for file in files.files if (iov := iovs[file]) is not None},
    )


def _known_iovs(
    calibration: Calibration, collection: Collection, files: Sequence[str], owner: str
) -> dict[str, IoV | None]:
    """The interval of each file as ``files_to_iovs`` tells it, by whatever name it calls the file; the
    calibration's serves all collections.

    Raises:
        ConfigurationError: If one of them has two intervals for one file.
    """
    tables = (calibration.files_to_iovs, collection.files_to_iovs)
    names = {name: iov for table in tables for name, iov in _by_name(table, owner).items()}
    found = {file: names.get(file) for file in files}
    if names and not all(found.values()):  # only now, as it asks the file system for each
        by_identity = {identity(name): iov for name, iov in names.items()}
        found = {file: iov or by_identity.get(identity(file)) for file, iov in found.items()}
    return found


def _by_name(table: Mapping[str, IoV], owner: str) -> dict[str, IoV]:
    names: dict[str, IoV] = {}
    for name, iov in table.items():
        other = names.setdefault(input_name(name), iov)
        if other != iov:
            raise ConfigurationError(
                f"{owner}: files_to_iovs gives {input_name(name)!r} the intervals {other} and {iov}, under "
                f"two names; take one of them out."
            )
    return names


def _splitter(collection: Collection, registry: Registry) -> SubjobSplitter:
    if collection.max_files_per_collector_job is not None:
        return MaxFilesSplitter(max_files_per_subjob=collection.max_files_per_collector_job)
    if collection.splitter is None:
        return MaxSubjobsSplitter(max_subjobs=_first(collection.max_collector_jobs, DEFAULT_MAX_JOBS))
    kind = registry.resolve("splitter", collection.splitter)
    try:
        splitter: SubjobSplitter = kind() if isinstance(kind, type) else kind
    except TypeError as error:
        raise ConfigurationError(
            f"splitter {kind.__name__} cannot be made without arguments ({error}); give an instance of it."
        ) from error
    return splitter
