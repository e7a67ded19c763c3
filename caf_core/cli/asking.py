"""Options about what tasks need and get, which several commands have."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from caf_core.errors import ConfigurationError
from caf_core.jobs.units import size_mb, time_span

if TYPE_CHECKING:
    from caf_core.jobs.backend import Backend
    from caf_core.jobs.config.reading import Config
    from caf_core.jobs.task import Resources

Function = TypeVar("Function", bound=Callable[..., Any])


class _Reading(click.ParamType):  # type: ignore[type-arg]  # it has arguments only in newer releases
    """A text that one of our readers understands."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See ``click.ParamType``."""
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


def _minutes_or_span(text: str) -> timedelta:
    plain = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*", text)
    return time_span(f"{plain[1]}min" if plain else text)


SIZE = _Reading("SIZE", size_mb)
SPAN = _Reading("TIME", _minutes_or_span)


def backend_arg_option(function: Function) -> Function:
    """``--backend-arg``."""
    return click.option(
        "--backend-arg",
        "backend_args",
        multiple=True,
        metavar="KEY=VALUE",
        help="For the backend, such as a queue; may be given several times.",
    )(function)


def backend_options(function: Function) -> Function:
    """``--backend`` and ``--backend-arg``."""
    named = click.option("-b", "--backend", metavar="NAME", help="What executes the tasks.")
    return named(backend_arg_option(function))


def resource_options(function: Function) -> Function:
    """``--cpus``, ``--memory``, ``--walltime``, ``--disk``."""
    for option in (
        click.option("--disk", "disk_mb", type=SIZE, metavar="SIZE", help="Disk space of a task: 10GB."),
        click.option("--walltime", type=SPAN, metavar="TIME", help="Time of a task: 90min, 2h, 1d12h."),
        click.option(
            "--memory", "memory_mb", type=SIZE, metavar="SIZE", help="Memory of a task: 500MB, 4GB."
        ),
        click.option("--cpus", type=click.IntRange(min=1), help="Processors of a task."),
    ):
        function = option(function)
    return function


def resources_of(options: Mapping[str, Any]) -> "Resources":
    """What was asked for with ``resource_options``."""
    from caf_core.jobs.task import Resources

    return Resources(options["cpus"] or 1, options["memory_mb"], options["walltime"], options["disk_mb"])


def backend_name(config: "Config", chosen: str | None) -> str:
    """The backend that is meant: the chosen one, else the configured default, else ``local``."""
    from caf_core.calibration.calibration import DEFAULTS

    return chosen or config.default_backend or str(DEFAULTS["backend"])


def make_backend(
    config: "Config",
    name: str,
    arguments: Iterable[str],
    processes: int | None = None,
    chosen: Mapping[str, Any] | None = None,
) -> "Backend":
    """A backend as the configuration and the command line want it.

    Args:
        config: The configuration.
        name: Its plugin name.
        arguments: ``KEY=VALUE`` texts.
        processes: How many tasks it may execute at the same time, where it lets one choose.
        chosen: What a script has chosen for it; it wins over the configuration.
    Raises:
        ConfigurationError: If there is none of that name, or it does not know an argument.
    """
    from caf_core.control.backends import backend_class
    from caf_core.control.tables import refuse_misspelt
    from caf_core.jobs.config.typed import pairs, typed
    from caf_core.plugins.registry import Registry

    registry = Registry.load()
    kind = backend_class(registry, config, name)
    refuse_misspelt(registry, config, name)
    wanted: dict[str, Any] = {}
    if processes is not None:
        if "max_processes" not in inspect.signature(kind).parameters:
            raise ConfigurationError(
                f"the backend {name!r} decides itself how much it executes; leave --processes out."
            )
        wanted["max_processes"] = processes
    backend = kind(**wanted)
    config.configure(backend, name)
    backend.configure(chosen or {}, overrule=True)
    backend.configure(typed(pairs(arguments, "--backend-arg"), kind, name), overrule=True)
    return backend


def warn_of_tables(config: "Config") -> None:
    """Say which tables of the configuration look misspelt."""
    from caf_core.control.tables import unused_tables
    from caf_core.plugins.registry import Registry

    for table in unused_tables(Registry.load(), config):
        if table.meant:
            click.echo(f"caf: {table}", err=True)
