"""The settings of a plan: what there is, of which type, and whether what a user gives fits."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from attrs import frozen

from caf_core.errors import ConfigurationError


class _Required(Enum):
    REQUIRED = "required"


REQUIRED = _Required.REQUIRED
"""The default of a setting that the user must give."""


@frozen
class Setting:
    """One setting of a plan.

    Args:
        kind: The types that its value may have; whole numbers do for ``float``.
        meaning: One line for people, with the unit and the range.
        default: Its value where the user says nothing; ``REQUIRED`` if the user must say something.
        fits: Whether a value of the right type is in range.
    """

    kind: tuple[type, ...]
    meaning: str
    default: Any = REQUIRED
    fits: Callable[[Any], bool] = lambda _: True


def complete(given: Mapping[str, Any], known: Mapping[str, Setting], owner: str) -> dict[str, Any]:
    """The settings of a calibration, defaults filled in.

    Args:
        given: What the user says.
        known: What the plan knows.
        owner: The plan, for the error.
    Raises:
        ConfigurationError: In one sentence, with everything that is missing, superfluous or wrong.
    """
    missing = [name for name, one in known.items() if one.default is REQUIRED and name not in given]
    superfluous = [name for name in given if name not in known]
    wrong = [
        f"{name} is {value!r}, but it is {known[name].meaning}"
        for name, value in given.items()
        if name in known and not _is(value, known[name])
    ]
    complaints = [f"missing: {', '.join(missing)}"] if missing else []
    complaints += [f"superfluous: {', '.join(superfluous)}"] if superfluous else []
    complaints += wrong
    if complaints:
        raise ConfigurationError(
            f"the settings of {owner} cannot be used; {'; '.join(complaints)}. It knows: "
            f"{', '.join(known) or 'none'}."
        )
    defaults = {name: one.default for name, one in known.items() if one.default is not REQUIRED}
    return {**defaults, **given}


def _is(value: Any, setting: Setting) -> bool:
    kinds = (*setting.kind, int) if float in setting.kind else setting.kind
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in setting.kind):
        return False
    return bool(setting.fits(value))
