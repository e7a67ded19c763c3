"""The registry: everything that plugins bring, asked for by name."""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

from caf_core.errors import PluginError
from caf_core.plugins.loading import BREAKS, load_all
from caf_core.plugins.lookup import checked, find, names_of
from caf_core.plugins.plugin import Kind, Plugin, Source, disabled_names, installed, one_line

if TYPE_CHECKING:
    import click

    from caf_core.calibration.runner import AlgorithmsRunner
    from caf_core.calibration.strategy import AlgorithmStrategy
    from caf_core.conditions.codecs import PayloadCodec
    from caf_core.conditions.database import ConditionsDatabase
    from caf_core.iov import IoV
    from caf_core.jobs.backend import Backend
    from caf_core.jobs.splitters import SubjobSplitter

logger = logging.getLogger(__name__)

CORE = "caf-core"
"""The distribution whose codecs are asked last, so that a plugin may take what they would take too."""

OBSERVER_HOOKS = (
    "caf_calibration_state_changed",
    "caf_jobs_changed",
    "caf_iteration_finished",
    "caf_process_finished",
)


class Registry:
    """Everything that plugins bring; there is no global one, whoever needs it makes or is given it.

    Args:
        plugins: Modules or objects with hooks, or a mapping from a name to each. Without a mapping an object
            is called by its class. Nothing else is loaded, the core's own plugin
            (``caf_core.plugins.builtin``) included.
        sources: Plugins that are still to be imported.
        disabled: Distributions or entry points that are left out.
    """

    def __init__(
        self,
        plugins: Iterable[object] | Mapping[str, object] = (),
        *,
        sources: Iterable[Source] = (),
        disabled: Iterable[str] = (),
    ) -> None:
        self.disabled = tuple(disabled)
        self._loader = load_all([*map(_given, _named(plugins)), *sources], self.disabled)

    @classmethod
    def load(cls) -> "Registry":
        """A registry of all installed plugins, except those that ``CAF_DISABLE_PLUGINS`` switches off."""
        return cls(sources=installed(), disabled=disabled_names())

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """Every plugin, broken and disabled ones included."""
        return tuple(self._loader.plugins)

    @property
    def unmatched(self) -> tuple[str, ...]:
        """Names that were to be left out, but that no plugin has."""
        return tuple(
            name for name in self.disabled if not any(one.source.is_named([name]) for one in self.plugins)
        )

    def names(self, kind: Kind | str) -> tuple[str, ...]:
        """The names of one kind, sorted."""
        return names_of(Kind(kind), self.plugins)

    def get(self, kind: Kind | str, name: str) -> Any:
        """What is registered under a name.

        Raises:
            UnknownPluginError: If no plugin brings the name; the message says which names exist and what may
                help.
            DuplicatePluginError: If several plugins bring it.
            PluginLoadError: If it cannot be imported, or may belong to a plugin that could not be loaded.
        """
        return find(Kind(kind), name, self.plugins)

    def resolve(self, kind: Kind | str, value: object) -> Any:
        """The class of a name; a class or an instance is given back as it is.

        Raises:
            ConfigurationError: If it is neither a name nor of that kind; otherwise as ``get``.
        """
        return self.get(kind, value) if isinstance(value, str) else checked(Kind(kind), value)

    def backend(self, name: str) -> "type[Backend]":
        """The backend class of that name; raises as ``get``."""
        return cast("type[Backend]", self.get(Kind.BACKEND, name))

    def splitter(self, name: str) -> "type[SubjobSplitter]":
        """The splitter class of that name; raises as ``get``."""
        return cast("type[SubjobSplitter]", self.get(Kind.SPLITTER, name))

    def strategy(self, name: str) -> "type[AlgorithmStrategy]":
        """The strategy class of that name; raises as ``get``."""
        return cast("type[AlgorithmStrategy]", self.get(Kind.STRATEGY, name))

    def runner(self, name: str) -> "type[AlgorithmsRunner]":
        """The runner class of that name; raises as ``get``."""
        return cast("type[AlgorithmsRunner]", self.get(Kind.RUNNER, name))

    def codecs(self) -> "tuple[PayloadCodec, ...]":
        """The payload codecs that work, made; the core's own come last.

        One that cannot be imported, or whose name occurs twice, is left out with a warning, for other
        payloads need not suffer.
        """
        return self._codecs

    @cached_property
    def _codecs(self) -> "tuple[PayloadCodec, ...]":
        everything = [one for plugin in self.plugins for one in plugin.registrations]
        wanted = [one for one in everything if one.kind is Kind.CODEC]
        wanted.sort(key=lambda one: one.source.distribution == CORE)
        codecs: list[PayloadCodec] = []
        for name in dict.fromkeys(one.name for one in wanted):
            try:
                codecs.append(self.get(Kind.CODEC, name)())
            except BREAKS as error:
                logger.warning("the payload codec %r is left out: %s", name, one_line(error))
        return tuple(codecs)

    def conditions_openers(self) -> "Mapping[str, Callable[[str], ConditionsDatabase]]":
        """URL scheme -> a function that opens a URL's database; it imports the plugin when called."""
        return {name: partial(self._open, name) for name in self.names(Kind.CONDITIONS)}

    def _open(self, scheme: str, url: str) -> "ConditionsDatabase":
        return cast("ConditionsDatabase", self.get(Kind.CONDITIONS, scheme)(url))

    def iov_of_file(self, path: str, experiment: int | None = None) -> "IoV | None":
        """Ask the plugins which runs a file holds; ``None`` if none of them knows.

        Args:
            path: A local path or a URI.
            experiment: The experiment of files that do not tell it.

        Raises:
            PluginError: If none knows and one of them failed, such as on a truncated file.
        """
        failed: list[tuple[Plugin, BaseException]] = []
        for plugin in self._loader.implementing("caf_iov_of_file"):
            try:
                iov = self._loader.call(plugin, "caf_iov_of_file", path=path, experiment=experiment)
            except BREAKS as problem:
                failed.append((plugin, problem))
                continue
            if iov is not None:
                return cast("IoV", iov)
        if failed:
            plugin, error = failed[0]
            raise PluginError(
                f"{plugin.source.label} cannot tell the runs in {path!r}: {one_line(error)}; "
                "repair the file or leave it out, or say which runs it holds in files_to_iovs."
            ) from error
        return None

    def commands(self, cli: "click.Group") -> None:
        """Add the plugins' commands to a command line.

        One that fails, or whose name exists already, is left out and noted in the listing.
        """
        import click

        for plugin in reversed(self._loader.implementing("caf_register_commands")):
            group = click.Group(plugin.source.distribution)
            try:
                self._loader.call(plugin, "caf_register_commands", cli=group)
            except BREAKS as error:
                plugin.problems.append(f"its commands are left out: {one_line(error)}")
                continue
            taken = set(cli.list_commands(click.Context(cli)))
            for name, command in group.commands.items():
                if name in taken:
                    plugin.problems.append(f"its command {name!r} is left out: there is one already.")
                else:
                    cli.add_command(command, name)
                    plugin.commands.append(name)

    @property
    def observers(self) -> tuple[Plugin, ...]:
        """The plugins that observe anything; ``caf_core.plugins.observers`` calls them."""
        return self._loader.implementing(*OBSERVER_HOOKS)

    def call(self, plugin: Plugin, hook: str, **arguments: Any) -> Any:
        """Call one hook of one plugin; whatever it raises comes through."""
        return self._loader.call(plugin, hook, **arguments)


def _named(plugins: Iterable[object] | Mapping[str, object]) -> list[tuple[str, object]]:
    if isinstance(plugins, Mapping):
        return list(plugins.items())
    return [(getattr(plugin, "__name__", type(plugin).__name__), plugin) for plugin in plugins]


def _given(named: tuple[str, object]) -> Source:
    name, plugin = named
    return Source(name, "", name, lambda: plugin)
