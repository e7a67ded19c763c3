"""What users may choose: backends and their arguments, workers, and input files.

Workers are executed by the account of the service. A user who could name any argument of a batch system could
have anything executed by that account, and who could name any file could have it read; so what is not allowed
is refused.
"""

import math
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from caf_core.errors import CafError, ConfigurationError
from caf_core.jobs.backend import Backend
from caf_core.jobs.config.reading import load_config
from caf_core.jobs.local import ResidentBackend
from caf_core.jobs.task import Resources
from caf_core.jobs.units import span_text
from caf_core.plugins.plugin import Kind
from caf_core.plugins.registry import Registry
from caf_service import resources
from caf_service.config import ServiceConfig
from caf_service.input_roots import Roots
from caf_service.limits import Limits
from caf_service.places import local_places

_WORDS = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.,: -]{0,198}[A-Za-z0-9_])?")
"""What a text may look like that goes into the head of a script or onto a command line."""
_LARGEST = 2**31


def check_backend(
    name: str, args: Mapping[str, Any], workers: int, config: ServiceConfig, registry: Registry
) -> None:
    """Refuse a backend that users may not choose, and arguments that they may not give.

    Args:
        name: The backend that a calibration wants; empty for the usual one.
        args: Its arguments, resources among them.
        workers: How many workers the calibration has.
        config: What this service allows.
        registry: The plugins.
    Raises:
        ConfigurationError: If something is not allowed; it says what is.
    """
    if config.trusting:
        return
    offered = config.backends or registry.names(Kind.BACKEND)
    if name and name not in offered:
        raise ConfigurationError(
            f"this service has no backend {name!r}; there are: {', '.join(offered) or 'none'}."
        )
    meant = name or config.backend or load_config().default_backend or "local"
    kind = _class_of(meant, registry)
    if kind is not None and issubclass(kind, ResidentBackend):
        most = config.limits.local_workers or local_places()
        if workers > most:
            raise ConfigurationError(
                f"the backend {meant!r} has room for {most} workers on this machine, and not for {workers}; "
                "ask for fewer, or name another backend."
            )
    asked, own = resources.split(args, Resources())
    _check_resources(asked, config.limits)
    declared = set(kind.user_args) if kind is not None else set()
    more = {one.rpartition(".")[2] for one in config.user_backend_args if one in _spellings(meant, own)}
    refused = [one for one in own if one not in declared | more]
    if refused:
        known = ", ".join([*resources.NAMES, *sorted(declared | more)])
        raise ConfigurationError(
            f"this service does not take the backend arguments {', '.join(refused)} for {meant!r}; it takes: "
            f"{known}."
        )
    for key, value in own.items():
        _check_value(key, value, free=key in more)


def _class_of(name: str, registry: Registry) -> type[Backend] | None:
    """The class of a backend; ``None`` if it is not installed here: an agent elsewhere may have it."""
    try:
        return registry.backend(name)
    except (CafError, ImportError):
        return None


def _spellings(backend: str, args: Iterable[str]) -> set[str]:
    """How an administrator may write arguments: for all backends, or for this one."""
    return {spelling for one in args for spelling in (one, f"{backend}.{one}")}


def _check_resources(asked: Resources, limits: Limits) -> None:
    walltime = None if asked.walltime is None else asked.walltime.total_seconds()
    for name, value, most, text in (
        ("cpus", asked.cpus, limits.cpus, f"{limits.cpus}"),
        ("memory", asked.memory_mb, limits.memory, f"{limits.memory} MB"),
        ("disk", asked.disk_mb, limits.disk, f"{limits.disk} MB"),
        ("walltime", walltime, limits.walltime, span_text(timedelta(seconds=limits.walltime))),
    ):
        if value is not None and value > most:
            raise ConfigurationError(f"{name} is more than this service allows, which is {text}.")


def _check_value(name: str, value: Any, *, free: bool) -> None:
    """Refuse a value that could be more than a value.

    Args:
        name: The argument.
        value: What a user gives for it.
        free: Whether it is an administrator who allows the argument: lists and tables of text are then taken
            too, but nothing that is more than one line.
    """
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        fits = math.isfinite(value) and abs(value) < _LARGEST
    elif free:
        fits = all(text.isprintable() for text in _texts(value))
    else:
        fits = isinstance(value, str) and _WORDS.fullmatch(value) is not None
    if not fits:
        raise ConfigurationError(
            f"the backend argument {name!r} is not a value that this service takes; give a number, or one "
            "line of letters, digits, blanks and _ . , : - that begins and ends with a letter or digit."
        )


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for pair in value.items() for one in pair for text in _texts(one)]
    if isinstance(value, list | tuple):
        return [text for one in value for text in _texts(one)]
    return [str(value)]


def check_inputs(files: Iterable[str], config: ServiceConfig) -> None:
    """Refuse input files that do not lie where users may have them read.

    Args:
        files: Paths, or addresses such as ``root://host//path``.
        config: What this service allows.
    Raises:
        ConfigurationError: In the same words whether or not there is such a file.
    """
    if config.trusting:
        return
    roots = Roots(config.input_roots)
    for file in files:
        if not roots.allow(file):
            where = ", ".join(config.input_roots) or "none; an administrator names some with --input-root"
            raise ConfigurationError(
                f"the input file {file[:300]!r} is not allowed; it has to lie below an input root of this "
                f"service, with its whole path or address. There are: {where}."
            )
