"""The backends of a process: each is made once, however many calibrations name it."""

import logging
from collections.abc import Mapping
from typing import Any

from caf_core.control.tables import refuse_misspelt, unused_tables
from caf_core.errors import ConfigurationError, UnknownPluginError
from caf_core.jobs.backend import Backend
from caf_core.jobs.config.reading import Config
from caf_core.jobs.config.typed import typed
from caf_core.plugins.registry import Registry

log = logging.getLogger("caf.control")


class Backends:
    """Backends by the name under which the ledger knows them.

    Args:
        registry: The plugins.
        default: What stands for a calibration that names none: a name, class or instance.
        config: The site's arguments of backends; what an instance was made with wins.
        overruled: Arguments of the default backend, as text, that win over everything but those of a job.
    """

    def __init__(
        self,
        registry: Registry,
        default: Any = None,
        config: Config | None = None,
        overruled: Mapping[str, str] | None = None,
    ) -> None:
        self._registry = registry
        self._default = default
        self._config = config or Config()
        self._overruled = overruled or {}
        self._default_name = ""
        self.instances: dict[str, Backend] = {}

    def use(self, wanted: Any) -> str:
        """The name of a backend; it is made if it does not exist yet.

        Args:
            wanted: A plugin name, a class or an instance; ``None`` for the default.
        Raises:
            UnknownPluginError: If no plugin has that name.
            ConfigurationError: If it does not know an argument that it is given.
        """
        wanted = self._default if wanted is None else wanted
        known = len(self.instances)
        name = self._keep(wanted) if isinstance(wanted, Backend) else self._make(wanted)
        if len(self.instances) > known:
            refuse_misspelt(self._registry, self._config, name)
            self._config.configure(self.instances[name], wanted if isinstance(wanted, str) else None)
        if not self._default_name and (wanted is self._default or wanted == self._default):
            self._default_name = name
            backend = self.instances[name]
            backend.configure(typed(self._overruled, type(backend), name), overrule=True)
        return name

    def known(self, name: str, chosen: Mapping[str, Any]) -> Backend:
        """A backend that a checkpoint names: the one that is used, or one that is made for the occasion.

        Args:
            name: Its name.
            chosen: What was chosen for it when it was used last.
        Raises:
            UnknownPluginError: If no plugin has that name.
            ConfigurationError: If it does not know an argument.
        """
        if name in self.instances:
            return self.instances[name]
        backend = backend_class(self._registry, self._config, name)()
        self._config.configure(backend, name)
        backend.configure(chosen, overrule=True)
        return backend

    def check_overruled(self) -> None:
        """Refuse arguments of the command line that nobody took.

        Raises:
            ConfigurationError: If there are some, and no calibration uses the default backend.
        """
        if self._overruled and not self._default_name:
            names = ", ".join(sorted(self.instances)) or "none"
            raise ConfigurationError(
                f"--backend-arg {next(iter(self._overruled))!r} is for the default backend, and every "
                f"calibration names its own ({names}); set backend_args of the calibrations."
            )

    def warn_of_tables(self) -> None:
        """Warn of tables of the configuration that look misspelt, though no backend that is used is near."""
        for table in unused_tables(self._registry, self._config, self.instances.values()):
            if table.meant:
                log.warning("%s", table)

    def _make(self, wanted: Any) -> str:
        kind = backend_class(self._registry, self._config, wanted)
        name = wanted if isinstance(wanted, str) else kind.__name__.lower()
        if name not in self.instances:
            try:
                self.instances[name] = kind()
            except TypeError as error:
                raise ConfigurationError(
                    f"backend {name!r} cannot be made without arguments ({error}); give an instance of it."
                ) from error
        return str(name)

    def _keep(self, backend: Backend) -> str:
        for name, known in self.instances.items():
            if known is backend:
                return name
        base = name = type(backend).__name__.lower()
        number = 2
        while name in self.instances:
            name, number = f"{base}-{number}", number + 1
        self.instances[name] = backend
        return name


def backend_class(registry: Registry, config: Config, wanted: Any) -> type[Backend]:
    """The class that is meant.

    Args:
        registry: The plugins.
        config: The configuration; if the name stands there, the error says where.
        wanted: A plugin name or a class.
    Raises:
        UnknownPluginError: If no plugin has that name.
    """
    try:
        kind: type[Backend] = registry.resolve("backend", wanted)
    except UnknownPluginError as error:
        for value in (config.backend, config.algorithm_backend):
            if value is not None and wanted == value.value:
                raise ConfigurationError(f"{value.file}: {error}") from error
        raise
    return kind
