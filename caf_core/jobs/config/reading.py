"""From configuration files to what holds, with the file that said it."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from caf_core.errors import ConfigurationError
from caf_core.jobs.backend import Backend
from caf_core.jobs.config.places import existing
from caf_core.jobs.config.schema import ATTEMPTS, RESOURCES, RETRY, TABLES, TOP, checked
from caf_core.jobs.ledger import FailureKind
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.task import Resources


@frozen
class Value:
    """One setting.

    Args:
        value: What holds.
        file: The file that says so.
    """

    value: Any
    file: Path


@frozen
class Config:
    """What holds where nobody who is closer to the work says otherwise.

    Args:
        files: The files that were read; a later one wins.
        backend: The backend where none is named.
        algorithm_backend: The backend of algorithms where none is named.
        backends: Name of a backend -> its arguments.
        resources: Fields of ``Resources``.
        retry: Fields of ``RetryPolicy``.
        attempts: Kind of a failure -> how many attempts a task may have.
    """

    files: tuple[Path, ...] = ()
    backend: Value | None = None
    algorithm_backend: Value | None = None
    backends: Mapping[str, Mapping[str, Value]] = field(factory=dict)
    resources: Mapping[str, Value] = field(factory=dict)
    retry: Mapping[str, Value] = field(factory=dict)
    attempts: Mapping[str, Value] = field(factory=dict)

    @property
    def default_backend(self) -> str | None:
        """The backend where none is named, if a file says so."""
        return None if self.backend is None else str(self.backend.value)

    def make_resources(self) -> Resources:
        """What a task needs where nobody says anything."""
        return Resources(**{name: one.value for name, one in self.resources.items()})

    def make_retry(self) -> RetryPolicy:
        """What failures get where nobody says anything."""
        policy = RetryPolicy(**{name: one.value for name, one in self.retry.items()})
        for kind, one in self.attempts.items():
            policy = policy.with_attempts(one.value, [FailureKind(kind)])
        return policy

    def arguments(self, backend: type[Backend] | str) -> dict[str, Value]:
        """The arguments of a backend.

        Args:
            backend: Its plugin name, or its class: then the names are those of the class and its bases in
                lower case, and the class itself wins.
        """
        if isinstance(backend, str):
            return dict(self.backends.get(backend, {}))
        names = [kind.__name__.lower() for kind in reversed(backend.__mro__) if issubclass(kind, Backend)]
        return {key: one for name in names for key, one in self.backends.get(name, {}).items()}

    def configure(self, backend: Backend, name: str | None = None) -> None:
        """Give a backend the arguments that the files have for it.

        Args:
            backend: The backend; what it was made with wins.
            name: Its plugin name, if it was made by name.
        Raises:
            ConfigurationError: If it does not know one of them.
        """
        found = self.arguments(type(backend)) | (self.arguments(name) if name else {})
        for key, one in found.items():
            try:
                backend.configure({key: one.value})
            except ConfigurationError as error:
                raise ConfigurationError(f"{one.file}: {error}") from error


def load_config(environ: Mapping[str, str] | None = None, directory: Path | None = None) -> Config:
    """The configuration that holds now.

    Args:
        environ: The environment; that of this process by default.
        directory: The project; the current directory by default.
    Raises:
        ConfigurationError: If a file cannot be read, or something in it cannot be.
    """
    return read_config(existing(os.environ if environ is None else environ, directory or Path.cwd()))


def read_config(files: Iterable[Path]) -> Config:
    """The configuration that some files make together.

    Args:
        files: A later one wins.
    Raises:
        ConfigurationError: If one cannot be read, or something in it cannot be.
    """
    config = Config()
    for file in files:
        try:
            config = _with_file(config, file, _content(file))
        except ConfigurationError as error:
            raise ConfigurationError(f"{file}: {error}") from error
    return config


def _content(file: Path) -> dict[str, Any]:
    import tomllib  # most sites have no such file

    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"it cannot be read ({error.strerror}); mend its permissions.") from error
    except ValueError as error:
        raise ConfigurationError(f"it is not TOML ({error}); correct it.") from error


def _with_file(config: Config, file: Path, content: dict[str, Any]) -> Config:
    """A configuration with one more file on top of it."""

    def over(old: Mapping[str, Value], new: Mapping[str, Any]) -> dict[str, Value]:
        return {**old, **{key: Value(value, file) for key, value in new.items()}}

    if isinstance(content.get("backend"), Mapping):
        raise ConfigurationError(
            "'backend' is the name of the default backend; the arguments of one stand under [backends.NAME]."
        )
    top = {key: Value(value, file) for key, value in checked("", content, TOP, TABLES).items()}
    retry = content.get("retry", {})
    backends = dict(config.backends)
    for name, args in _backends(content.get("backends", {})).items():
        backends[name] = over(backends.get(name, {}), args)
    return evolve(
        config,
        files=(*config.files, file),
        backend=top.get("backend", config.backend),
        algorithm_backend=top.get("algorithm_backend", config.algorithm_backend),
        backends=backends,
        resources=over(config.resources, checked("resources", content.get("resources", {}), RESOURCES)),
        retry=over(config.retry, checked("retry", retry, RETRY, ("attempts",))),
        attempts=over(config.attempts, checked("retry.attempts", retry.get("attempts", {}), ATTEMPTS)),
    )


def _backends(tables: Any) -> dict[str, dict[str, Any]]:
    """The arguments of all backends; which there are only the backends know."""
    if not isinstance(tables, Mapping):
        raise ConfigurationError(
            "'backends' holds tables; write [backends.NAME] above the arguments of NAME."
        )
    for name, args in tables.items():
        if not isinstance(args, Mapping):
            raise ConfigurationError(
                f"backends.{name} is {args!r}; it is a table, so write [backends.{name}] above its arguments."
            )
    return {name: dict(args) for name, args in tables.items()}
