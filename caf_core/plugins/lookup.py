"""From a name to the thing, or to the error that says what to do."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from importlib import import_module

from caf_core.errors import (
    ConfigurationError,
    DuplicatePluginError,
    PluginError,
    PluginLoadError,
    UnknownPluginError,
)
from caf_core.plugins.known import known_name
from caf_core.plugins.loading import BREAKS
from caf_core.plugins.plugin import DISABLE_VARIABLE, Kind, Plugin, Registration, one_line

BASES = {
    Kind.BACKEND: "caf_core.jobs.backend:Backend",
    Kind.SPLITTER: "caf_core.jobs.splitters:SubjobSplitter",
    Kind.STRATEGY: "caf_core.calibration.strategy:AlgorithmStrategy",
    Kind.RUNNER: "caf_core.calibration.runner:AlgorithmsRunner",
}
"""What a class of this kind derives from."""


def find(kind: Kind, name: str, plugins: Sequence[Plugin]) -> object:
    """The registered thing.

    Raises:
        UnknownPluginError: If no plugin brings the name.
        DuplicatePluginError: If several do.
        PluginLoadError: If it cannot be imported, or may belong to a plugin that is broken.
    """
    found = [
        one for plugin in plugins for one in plugin.registrations if one.kind is kind and one.name == name
    ]
    if len(found) > 1:
        raise _duplicate(found)
    if found:
        return imported(found[0])
    raise _missing(kind, name, plugins)


def imported(registration: Registration) -> object:
    """The thing that was registered, imported if it was registered as a string.

    Raises:
        PluginLoadError: If it cannot be imported, or is not what its kind should be.
    """
    source = registration.source
    subject = f"the {registration.kind} {registration.name!r} of {source.label}"
    value = registration.value
    if isinstance(value, str):
        try:
            value = import_named(value)
        except BREAKS as error:
            raise PluginLoadError(
                f"{subject} cannot be imported from {registration.value!r}: {one_line(error)}; "
                f"repair or uninstall {source.distribution}."
            ) from error
    base = BASES.get(registration.kind)
    if base and not _is_class(value, base):
        raise PluginLoadError(
            f"{subject} is {value!r}, which is no class derived from {_plain(base)}; "
            f"repair or uninstall {source.distribution}."
        )
    if registration.kind is not Kind.PLAN and not callable(value):
        raise PluginLoadError(
            f"{subject} is {value!r}, which cannot be called; repair or uninstall {source.distribution}."
        )
    return value


def import_named(text: str) -> object:
    """Import what ``package.module:Thing`` names."""
    module, colon, names = text.partition(":")
    if not colon:
        raise ValueError(f"{text!r} is not of the form 'package.module:Thing'")
    thing: object = import_module(module)
    for name in names.split("."):
        thing = getattr(thing, name)
    return thing


def checked(kind: Kind, value: object) -> object:
    """A class or an instance that a user gave in place of a name.

    Raises:
        ConfigurationError: If it is not of that kind.
    """
    base = BASES.get(kind)
    if base is None or _is_class(value, base) or isinstance(value, _class(base)):
        return value
    raise ConfigurationError(
        f"{value!r} is no {kind}: give a name, a class derived from {_plain(base)}, or an instance of one."
    )


def names_of(kind: Kind, plugins: Iterable[Plugin]) -> tuple[str, ...]:
    """The names that exist, sorted."""
    return tuple(sorted({one.name for plugin in plugins for one in plugin.registrations if one.kind is kind}))


def _duplicate(found: Sequence[Registration]) -> PluginError:
    labels = sorted(one.source.label for one in found)
    return DuplicatePluginError(
        f"the {found[0].kind} {found[0].name!r} is registered by {' and by '.join(labels)}; "
        f"uninstall one of them, or switch it off with {DISABLE_VARIABLE}={found[0].source.distribution}."
    )


def _missing(kind: Kind, name: str, plugins: Sequence[Plugin]) -> PluginError:
    """What to say of a name that nobody registered."""
    available = names_of(kind, plugins)
    known = known_name(kind, name)
    home = [plugin for plugin in plugins if known and plugin.source.is_named([known[1]])]
    meant = _close(name, available)
    broken = [plugin for plugin in (home or plugins) if plugin.error]
    if broken and (home or not known) and name.lower() not in (one.lower() for one in available):
        return _perhaps_broken(kind, name, available, broken)
    if meant:
        hint = f"Did you mean {meant!r}?"
    elif known and home and home[0].disabled:
        hint = f"{known[0]} comes with {known[1]}, which {DISABLE_VARIABLE} switches off."
    elif known and home:
        hint = f"{known[0]} should come with {home[0].source.label}; update it (pip install -U {known[1]})."
    elif known:
        hint = f"{known[0]} comes with {known[1]} (pip install {known[1]})."
    else:
        hint = "`caf plugins` lists what is installed."
    return UnknownPluginError(kind, name, available, hint)


def _perhaps_broken(
    kind: Kind, name: str, available: Sequence[str], broken: Sequence[Plugin]
) -> PluginLoadError:
    reasons = "; ".join(
        f"{plugin.source.label} ({one_line(plugin.error)})" for plugin in broken if plugin.error
    )
    names = ", ".join(available) or "none"
    error = PluginLoadError(
        f"there is no {kind} called {name!r} among those that could be loaded ({names}), "
        f"and it may belong to what could not: {reasons}; repair or uninstall it, or switch it off with "
        f"{DISABLE_VARIABLE}={','.join(plugin.source.distribution for plugin in broken)}."
    )
    error.__cause__ = broken[0].error
    return error


def _close(name: str, available: Sequence[str]) -> str:
    by_lower = {one.lower(): one for one in available}
    close = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7)
    return by_lower[close[0]] if close else ""


def _class(text: str) -> type:
    found = import_named(text)
    assert isinstance(found, type)  # noqa: S101 - a fact about the table above, for the type checker
    return found


def _is_class(value: object, base: str) -> bool:
    return isinstance(value, type) and issubclass(value, _class(base))


def _plain(base: str) -> str:
    return base.replace(":", ".")
