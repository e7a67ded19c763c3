"""What holds, and where it comes from: one row a setting."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from attrs import frozen

from caf_core.jobs.backend import Backend
from caf_core.jobs.config.reading import Config, Value
from caf_core.jobs.config.schema import ATTEMPTS, RESOURCES, RETRY
from caf_core.jobs.ledger import FailureKind
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.task import Resources
from caf_core.jobs.units import span_text

DEFAULT = "default"


@frozen
class Row:
    """One setting.

    Args:
        key: Its name, with the table before it.
        value: What holds.
        source: The file that says so, or ``default``.
        meaning: What it means, if that is known.
    """

    key: str
    value: Any
    source: str = DEFAULT
    meaning: str = ""


def general_rows(config: Config) -> Iterator[Row]:
    """What holds for every backend."""
    yield _row("backend", config.backend, "local")
    yield _row("algorithm_backend", config.algorithm_backend, "this machine")
    resources, policy = Resources(), RetryPolicy()
    for name in RESOURCES:
        yield _row(f"resources.{name}", config.resources.get(name), getattr(resources, name))
    for name in RETRY:
        yield _row(f"retry.{name}", config.retry.get(name), getattr(policy, name))
    for kind in ATTEMPTS:
        default = policy.rule(FailureKind(kind)).attempts
        yield _row(f"retry.attempts.{kind}", config.attempts.get(kind), default)


def backend_rows(config: Config, name: str, backend: type[Backend] | None, *, every: bool) -> Iterator[Row]:
    """The arguments of a backend.

    Args:
        config: The configuration.
        name: The backend's plugin name.
        backend: Its class; ``None`` if it is not installed.
        every: Whether arguments are told that no file mentions.
    """
    said = config.arguments(name) | (config.arguments(backend) if backend else {})
    known: Mapping[str, Any] = (backend.known_args() if backend else None) or {}
    defaults = backend.default_backend_args if backend else {}
    for key in sorted({*known, *defaults}) if every else ():
        if key not in said:
            yield Row(f"backends.{name}.{key}", defaults.get(key), DEFAULT, _meaning(known, key))
    for key, one in said.items():
        yield Row(f"backends.{name}.{key}", one.value, str(one.file), _meaning(known, key))


def text_of(value: Any) -> str:
    """A value for people."""
    if value is None:
        return "-"
    return span_text(value) if isinstance(value, timedelta) else str(value)


def json_of(value: Any) -> Any:
    """A value for machines; time spans are in seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def _meaning(known: Mapping[str, Any], key: str) -> str:
    return str(known[key].meaning) if key in known else ""


def _row(key: str, said: Value | None, default: Any) -> Row:
    return Row(key, default) if said is None else Row(key, said.value, str(said.file))
