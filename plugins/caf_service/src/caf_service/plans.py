"""The plans that there are, and the way through one."""

from collections.abc import Mapping, Sequence
from typing import Any

from caf_core.errors import ConfigurationError, UnknownPluginError
from caf_core.plugins.lookup import import_named
from caf_core.plugins.plugin import Kind
from caf_core.plugins.registry import Registry
from caf_core.text import clause
from caf_service.plan import Phase, Plan, Share, Slice
from caf_service.snapshot import Stop


def load_plan(name: str, reference: str = "", registry: Registry | None = None) -> Plan:
    """A plan.

    Args:
        name: Its name.
        reference: ``package.module:PLAN``; without it, the plan that a plugin registered under the name.
        registry: The plugins; the installed ones by default.
    Raises:
        ConfigurationError: If there is none of that name.
        PluginError: If it cannot be imported.
    """
    if not reference:
        return _checked((registry or Registry.load()).get(Kind.PLAN, name), f"the plan {name!r}")
    try:
        return _checked(import_named(reference), reference)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"the plan {name!r} cannot be imported from {reference!r}: {clause(error)}; is it on "
            "Python's path?"
        ) from error


def _checked(value: object, what: str) -> Plan:
    if not isinstance(value, Plan):
        raise ConfigurationError(f"{what} is a {type(value).__name__}, and no caf_service.Plan.")
    return value


class Catalogue:
    """The plans that a service offers.

    Args:
        references: Those beside the plugins': name -> ``package.module:PLAN``.
    """

    def __init__(self, references: Mapping[str, str]) -> None:
        self._references = dict(references)
        self.registry = Registry.load()

    def names(self) -> list[str]:
        """The names, sorted."""
        return sorted({*self._references, *self.registry.names(Kind.PLAN)})

    def find(self, name: str) -> tuple[Plan, str]:
        """A plan, and its reference.

        Raises:
            ConfigurationError: If there is none of that name.
            PluginError: If it cannot be imported.
        """
        if name not in self.names():
            raise UnknownPluginError("plan", name, self.names())
        reference = self._references.get(name, "")
        return load_plan(name, reference, self.registry), reference


Place = Mapping[str, Any] | None
"""Where to start or stop: ``{"stage": name or index, "phase": name or index}``, both optional."""


def route_of(plan: Plan, start: Place = None, stop: Place = None) -> tuple[Stop, ...]:
    """The phases from one place to another, both included.

    Raises:
        ConfigurationError: If there is no such place, or nothing between them.
    """
    begin = _place(plan, start, 0)
    end = _place(plan, stop, -1)
    everything = [(at, step) for at, stage in enumerate(plan.stages) for step in range(len(stage.phases))]
    route = tuple(_stop(plan, *place) for place in everything if begin <= place <= end)
    if not route:
        raise ConfigurationError(
            f"the plan {plan.name!r} has no phase from stage {begin[0]}, phase {begin[1]} to stage "
            f"{end[0]}, phase {end[1]}; stop after the start."
        )
    return route


def accuracy_of(phase: Phase, settings: Mapping[str, Any]) -> float:
    """The accuracy of a phase at these settings."""
    return float(settings[phase.accuracy] if isinstance(phase.accuracy, str) else phase.accuracy)


def default_shares(files: Mapping[str, Sequence[str]], workers: int) -> list[Share]:
    """Whole files, dealt out one after the other."""
    return [
        {sample: [Slice(one) for one in names[worker::workers]] for sample, names in files.items()}
        for worker in range(workers)
    ]


def _stop(plan: Plan, stage: int, phase: int) -> Stop:
    one = plan.stages[stage]
    this = one.phases[phase]
    return Stop(stage, phase, f"{one.name}.{this.name}", this.max_steps, this.fails_at_maximum)


def _place(plan: Plan, place: Place, default: int) -> tuple[int, int]:
    place = place or {}
    if superfluous := set(place) - {"stage", "phase"}:
        raise ConfigurationError(
            f"a place in a plan has a stage and a phase, and no {', '.join(sorted(superfluous))}."
        )
    stage = _index(
        [one.name for one in plan.stages], place.get("stage"), default, f"stage of the plan {plan.name!r}"
    )
    phases = [one.name for one in plan.stages[stage].phases]
    return stage, _index(
        phases, place.get("phase"), default, f"phase of the stage {plan.stages[stage].name!r}"
    )


def _index(names: Sequence[str], wanted: object, default: int, what: str) -> int:
    if wanted is None:
        return default % len(names)
    if isinstance(wanted, str) and wanted in names:
        return names.index(wanted)
    if isinstance(wanted, int) and not isinstance(wanted, bool) and 0 <= wanted < len(names):
        return wanted
    raise ConfigurationError(f"there is no {what} called {wanted!r}; there are: {', '.join(names)}.")
