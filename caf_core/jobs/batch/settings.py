"""The arguments of batch backends: what there is, and whether a value fits."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from attrs import frozen

from caf_core.errors import ConfigurationError

UNLIMITED = -1
"""Stands for no limit in backend_args."""


@frozen
class Setting:
    """One argument of a backend.

    Args:
        kind: The types that its value may have.
        meaning: One line for people, with the unit.
        least: The smallest number that makes sense.
        besides: A smaller number that has a meaning of its own.
    """

    kind: tuple[type, ...]
    meaning: str
    least: float | None = None
    besides: float | None = None


_NUMBER = (int, float)
COMMON: Mapping[str, Setting] = {
    "command_timeout": Setting(_NUMBER, "how long a command of the scheduler may take [s]", least=0.5),
    # Less would be an attack on the scheduler; sites ask for a minute.
    "poll_interval": Setting(
        _NUMBER, "how often the scheduler is asked for states [s]; sites wish 60 or more", least=0.2
    ),
    "grace": Setting(
        _NUMBER,
        "how long a task that the scheduler no longer knows may still deliver its record [s]",
        least=0,
    ),
    "array_limit": Setting((int,), "largest number of tasks in one submission", least=1),
    "global_job_limit": Setting(
        (int,),
        "largest number of tasks that you have in the system, others included; -1 for no limit",
        least=1,
        besides=UNLIMITED,
    ),
    "jobs_per_check": Setting(
        (int,), "largest number of tasks submitted between two counts of your jobs", least=1
    ),
    "check_interval": Setting(_NUMBER, "how often your jobs are counted while tasks wait [s]", least=0.2),
    "submission_interval": Setting(_NUMBER, "shortest time between two submit commands [s]", least=0),
    "path_prefix": Setting((str,), "the folder of the scheduler's commands, if not on the PATH"),
}
"""What every batch backend knows."""


def checked(args: Mapping[str, Any], known: Mapping[str, Setting], scheduler: str) -> None:
    """Refuse arguments that are not known, or whose value does not fit.

    Raises:
        ConfigurationError: With the name, the alternatives and the remedy.
    """
    for name, value in args.items():
        setting = known.get(name)
        if setting is None:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known))}."
            raise ConfigurationError(f"{scheduler} has no backend argument {name!r}; {hint}")
        if value is not None:
            _fits(f"backend argument {name!r} of {scheduler} is {value!r}", value, setting)


def _fits(where: str, value: object, setting: Setting) -> None:
    if not isinstance(value, setting.kind) or (isinstance(value, bool) and bool not in setting.kind):
        kinds = " or ".join(kind.__name__ for kind in setting.kind)
        raise ConfigurationError(f"{where}; it must be {kinds}: {setting.meaning}.")
    if setting.least is None or not isinstance(value, int | float) or value == setting.besides:
        return
    if not setting.least <= value < float("inf"):
        raise ConfigurationError(f"{where}; give {setting.least:g} or more: {setting.meaning}.")
