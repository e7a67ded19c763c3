"""Loading plugins one by one, so that a broken one takes nobody with it."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import pluggy

from caf_core.errors import PluginError
from caf_core.plugins import hooks
from caf_core.plugins.plugin import Kind, Plugin, Registration, Source, one_line

HOOK_OF_KIND = {
    Kind.BACKEND: "caf_register_backends",
    Kind.SPLITTER: "caf_register_splitters",
    Kind.STRATEGY: "caf_register_strategies",
    Kind.RUNNER: "caf_register_runners",
    Kind.CODEC: "caf_register_payload_codecs",
    Kind.CONDITIONS: "caf_register_conditions",
    Kind.PLAN: "caf_register_plans",
}
"""In the order in which they are called."""

BREAKS = (Exception, SystemExit)
"""What a plugin may raise without harm to others; an interrupt of the user is passed on."""


class Loader:
    """Loads plugins into a pluggy manager of its own and keeps book on each."""

    def __init__(self) -> None:
        self.plugins: list[Plugin] = []
        self._manager = pluggy.PluginManager("caf")
        self._manager.add_hookspecs(hooks)
        self._hook_names = [name for name in vars(hooks) if name.startswith("caf_")]

    def load(self, source: Source, *, disabled: bool = False) -> None:
        """Import a plugin and let it register what it has; what goes wrong is noted, not raised."""
        plugin = Plugin(source, disabled=disabled)
        self.plugins.append(plugin)
        if disabled:
            return
        try:
            plugin.object = source.load()
            self._manager.register(plugin.object, f"{source.distribution}:{source.entry_point}")
            self._check_hook_names(plugin)
            plugin.registrations = self._registrations(plugin)
        except BREAKS as error:
            plugin.error = error
            plugin.hooks = ()
            if plugin.object is not None and self._manager.is_registered(plugin.object):
                self._manager.unregister(plugin.object)

    def call(self, plugin: Plugin, hook: str, **arguments: Any) -> Any:
        """Call one hook of one plugin; whatever it raises comes through."""
        others = [other.object for other in self.plugins if other.hooks and other is not plugin]
        return self._manager.subset_hook_caller(hook, others)(**arguments)

    def implementing(self, *names: str) -> tuple[Plugin, ...]:
        """The plugins with one of these hooks, in the order in which pluggy would call the first of them."""
        called = [
            impl.plugin
            for name in names
            for impl in reversed(getattr(self._manager.hook, name).get_hookimpls())
        ]
        by_id = {id(plugin.object): plugin for plugin in self.plugins if plugin.hooks}
        return tuple(by_id[key] for key in dict.fromkeys(id(one) for one in called))

    def _registrations(self, plugin: Plugin) -> list[Registration]:
        found: dict[tuple[Kind, str], Registration] = {}
        for kind, hook in HOOK_OF_KIND.items():

            def register(name: str, value: object, kind: Kind = kind) -> None:
                if (kind, name) in found:
                    raise PluginError(
                        f"{plugin.source.label} registers the {kind} {name!r} twice; remove one of them."
                    )
                found[kind, name] = Registration(kind, name, value, plugin.source)

            if hook in plugin.hooks:
                self.call(plugin, hook, register=register)
        return list(found.values())

    def _check_hook_names(self, plugin: Plugin) -> None:
        """Note a plugin's hooks, those that nobody calls, and functions that only look like one."""
        implemented = []
        for name in dir(plugin.object):
            options = self._manager.parse_hookimpl_opts(plugin.object, name)
            hook = (options and options.get("specname")) or name
            if options and hook in self._hook_names:
                implemented.append(hook)
            elif options and not options.get("optionalhook"):
                plugin.problems.append(f"there is no hook {hook!r}{self._meant(hook)}; it is never called.")
            elif not options and self._looks_like_hook(plugin.object, name):
                plugin.problems.append(f"{name} is not marked with @hookimpl; it is never called.")
        plugin.hooks = tuple(name for name in self._hook_names if name in implemented)

    def _looks_like_hook(self, plugin: object, name: str) -> bool:
        return name.startswith("caf_") and callable(getattr(plugin, name)) and bool(self._meant(name))

    def _meant(self, name: str) -> str:
        close = get_close_matches(name, self._hook_names, n=1, cutoff=0.8)
        return f" (did you mean {close[0]}?)" if close else ""


def describe_error(plugin: Plugin) -> str:
    """Why a plugin is broken, in one line; empty if it is not."""
    return one_line(plugin.error) if plugin.error else ""


def load_all(sources: Iterable[Source], disabled: Iterable[str] = ()) -> Loader:
    """Load plugins in the order given, except those that are switched off."""
    names = tuple(disabled)
    loader = Loader()
    for source in sources:
        loader.load(source, disabled=source.is_named(names))
    return loader
