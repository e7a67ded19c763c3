"""What is known of one plugin: where it comes from, what it brings, what is wrong with it.

Dataclasses, not attrs: every ``caf`` command loads this module, and attrs takes a sixth of the time that
``caf --help`` may take.
"""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import entry_points

from caf_core.errors import CafError
from caf_core.text import clause

GROUP = "caf"
"""The group of entry points by which distributions declare their plugins."""

DISABLE_VARIABLE = "CAF_DISABLE_PLUGINS"
"""Environment variable: distributions or entry points, with commas between, that are not to be loaded."""


class Kind(StrEnum):
    """What can be registered by name."""

    BACKEND = "backend"
    SPLITTER = "splitter"
    STRATEGY = "strategy"
    RUNNER = "runner"
    CODEC = "payload codec"
    CONDITIONS = "conditions scheme"
    PLAN = "plan"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a plugin comes from.

    Args:
        distribution: The distribution that was installed.
        version: Its version; empty for a plugin that was given as an object.
        entry_point: The name of its entry point.
        load: Imports it.
    """

    distribution: str
    version: str
    entry_point: str
    load: Callable[[], object] = field(repr=False, compare=False)

    @property
    def label(self) -> str:
        """The plugin as error messages name it."""
        return f"{self.distribution} {self.version}".rstrip()

    def is_named(self, names: Iterable[str]) -> bool:
        """Whether one of the names means this distribution or entry point."""
        own = {normalised(self.distribution), normalised(self.entry_point)}
        return any(normalised(name) in own for name in names)


@dataclass(frozen=True, slots=True)
class Registration:
    """One name that a plugin brings; the value is the thing itself or ``"module:Thing"``."""

    kind: Kind
    name: str
    value: object
    source: Source


@dataclass(slots=True)
class Plugin:
    """One plugin after the attempt to load it.

    Args:
        source: Where it comes from.
        disabled: Whether it was switched off.
        error: Why it brings nothing, if it is broken.
        problems: What is wrong with it although it was loaded, one sentence each.
        hooks: The hooks that it implements.
        registrations: The names that it brings.
        commands: The commands that it added; known once the command line was built.
        object: The module or object itself.
    """

    source: Source
    disabled: bool = False
    error: BaseException | None = None
    problems: list[str] = field(default_factory=list)
    hooks: tuple[str, ...] = ()
    registrations: list[Registration] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    object: object = None


def installed() -> list[Source]:
    """Every plugin that is installed, imported or not, in the order of distribution and entry point."""
    sources = [
        Source(
            distribution=point.dist.name if point.dist else point.module,
            version=point.dist.version if point.dist else "",
            entry_point=point.name,
            load=point.load,
        )
        for point in entry_points(group=GROUP)
    ]
    return sorted(sources, key=lambda source: (normalised(source.distribution), source.entry_point))


def disabled_names() -> tuple[str, ...]:
    """What the environment variable switches off."""
    names = os.environ.get(DISABLE_VARIABLE, "").split(",")
    return tuple(name.strip() for name in names if name.strip())


def normalised(name: str) -> str:
    """A distribution's name as package indices compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def one_line(error: BaseException) -> str:
    """An exception as a part of a sentence: its message, after its class if that is none of caf's own."""
    message = clause(" ".join(str(error).split()))
    if message and isinstance(error, CafError):
        return message
    return f"{type(error).__name__}: {message}".removesuffix(": ")
