"""Every hook of caf.

A plugin implements those it needs, marked with ``hookimpl``, and may leave out parameters.

Hooks register things or observe them; nothing that is called often is a hook. The order in this file is the
order in which a process meets them: registering, when the plugins are loaded; commands, when the command line
is built; files, when a calibration is prepared; observers, while it executes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from caf_core.plugins.markers import hookspec

if TYPE_CHECKING:
    import click

    from caf_core.calibration.algorithm import Metric
    from caf_core.calibration.plans import Result
    from caf_core.calibration.runner import AlgorithmsRunner
    from caf_core.calibration.strategy import AlgorithmStrategy
    from caf_core.conditions.codecs import PayloadCodec
    from caf_core.conditions.database import ConditionsDatabase
    from caf_core.iov import IoV
    from caf_core.jobs.backend import Backend
    from caf_core.jobs.service import JobUpdate
    from caf_core.jobs.splitters import SubjobSplitter

Value = TypeVar("Value", contravariant=True)


class Register(Protocol[Value]):
    """What a registering hook is given: it puts one name on the list.

    A value may be the thing itself or ``"package.module:Thing"``, which is imported when somebody asks for
    the name. The string is the better choice, because it keeps the entry module, which every ``caf`` command
    imports, quick.
    """

    def __call__(self, name: str, value: "Value | str") -> None:
        """Register a value under a name.

        Raises:
            PluginError: If this plugin has registered the name already.
        """


@hookspec
def caf_register_backends(register: "Register[type[Backend]]") -> None:
    """Register backends: what ``caf.backend = "name"`` may say.

    Called once, when the plugins are loaded. The class is made with the keyword ``backend_args`` when a job
    needs it.

    Args:
        register: ``register(name, backend_class)``.
    """


@hookspec
def caf_register_splitters(register: "Register[type[SubjobSplitter]]") -> None:
    """Register ways to cut a job into subjobs.

    Called once, when the plugins are loaded.

    Args:
        register: ``register(name, splitter_class)``.
    """


@hookspec
def caf_register_strategies(register: "Register[type[AlgorithmStrategy]]") -> None:
    """Register strategies: what ``calibration.strategies = "name"`` may say.

    Called once, when the plugins are loaded. The class is made with the algorithm's parameters as keywords.

    Args:
        register: ``register(name, strategy_class)``.
    """


@hookspec
def caf_register_runners(register: "Register[type[AlgorithmsRunner]]") -> None:
    """Register runners, which carry out the plans of strategies.

    Called once, when the plugins are loaded.

    Args:
        register: ``register(name, runner_class)``.
    """


@hookspec
def caf_register_payload_codecs(register: "Register[type[PayloadCodec]]") -> None:
    """Register formats in which payloads are stored.

    Called once, when the plugins are loaded. The class is made without arguments when the codecs are first
    needed; all codecs are then asked, in the order of their plugins' names, whether they accept a payload's
    content, those of the core last.

    Args:
        register: ``register(name, codec_class)``; the name is the codec's own ``name``.
    """


@hookspec
def caf_register_conditions(register: "Register[Callable[[str], ConditionsDatabase]]") -> None:
    """Register conditions databases by URL scheme.

    Called once, when the plugins are loaded. The opener is called with the whole URL whenever a database
    chain names one.

    Args:
        register: ``register(scheme, opener)``, the scheme without ``://``.
    """


@hookspec
def caf_register_plans(register: "Register[object]") -> None:
    """Register plans: iterative calibrations that resident workers of caf-service carry out.

    Called once, when the plugins are loaded.

    Args:
        register: ``register(name, plan)``, a ``caf_service.Plan``.
    """


@hookspec
def caf_register_commands(cli: "click.Group") -> None:
    """Add commands to the ``caf`` command line.

    Called once, when the command line is built. A command whose name exists already is not taken; ``caf
    plugins`` says so.

    Args:
        cli: An empty group of this plugin; its commands become commands of ``caf``.
    """


@hookspec(firstresult=True)
def caf_iov_of_file(path: str, experiment: int | None) -> "IoV | None":
    """Tell which runs an input file holds.

    Called for a file that neither the user's map nor a ``runs.json`` tells about; the first answer counts. An
    exception is reported only when no other plugin knows the file.

    Args:
        path: A local path or a URI, such as ``root://...``.
        experiment: The experiment of files that tell their runs but no experiment, if the user named it.
    Returns:
        The closed interval from the first to the last run of the file, or ``None`` for a file that is not
        yours to read.
    """


@hookspec
def caf_calibration_state_changed(calibration: str, iteration: int, old: str, new: str, time: float) -> None:
    """Observe a calibration that moved to another state.

    Called from the plugin's observer thread, after the move was written to the checkpoint.

    Args:
        calibration: Its name.
        iteration: Its iteration, from 0.
        old: The state that it left.
        new: The state that it entered.
        time: When it moved [s since the epoch].
    """


@hookspec
def caf_jobs_changed(changes: "Sequence[JobUpdate]") -> None:
    """Observe tasks that were submitted, started or ended.

    Called from the plugin's observer thread, with everything that happened since the last call.

    Args:
        changes: Updates in the order in which they happened; each names its job and the tasks' new states.
    """


@hookspec
def caf_iteration_finished(
    calibration: str, iteration: int, result: "Result", metrics: "Mapping[str, Metric]"
) -> None:
    """Observe the end of an iteration, whether or not another follows.

    Called from the plugin's observer thread.

    Args:
        calibration: Its name.
        iteration: The iteration that finished, from 0.
        result: What came of it for the calibration as a whole.
        metrics: The metrics of its algorithms, with their tolerances.
    """


@hookspec
def caf_process_finished(success: bool, calibrations: Mapping[str, str]) -> None:
    """Observe the end of a whole ``caf.run()``; nothing is observed after it.

    Called from the plugin's observer thread; the process waits a few seconds for it, and no longer.

    Args:
        success: Whether every calibration completed.
        calibrations: The final state of each calibration, by name.
    """
