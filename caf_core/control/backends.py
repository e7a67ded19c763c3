"""The backends of a process: each is made once, however many calibrations name it."""

from typing import Any

from caf_core.errors import ConfigurationError
from caf_core.jobs.backend import Backend
from caf_core.plugins.registry import Registry


class Backends:
    """Backends by the name under which the ledger knows them.

    Args:
        registry: The plugins.
        default: What stands for a calibration that names none: a name, class or instance.
    """

    def __init__(self, registry: Registry, default: Any = None) -> None:
        self._registry = registry
        self._default = default
        self.instances: dict[str, Backend] = {}

    def use(self, wanted: Any) -> str:
        """The name of a backend; it is made if it does not exist yet.

        Args:
            wanted: A plugin name, a class or an instance; ``None`` for the default.
        Raises:
            UnknownPluginError: If no plugin has that name.
        """
        wanted = self._default if wanted is None else wanted
        if isinstance(wanted, Backend):
            return self._keep(wanted)
        kind = self._registry.resolve("backend", wanted)
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
