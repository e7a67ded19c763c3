"""The arguments of batch backends: what there is, and whether a value fits."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from attrs import frozen

from caf_core.errors import ConfigurationError


@frozen
class Setting:
    """One argument of a backend.

    Args:
        kind: The types that its value may have.
        meaning: One line for people, with the unit.
    """

    kind: tuple[type, ...]
    meaning: str


COMMON: Mapping[str, Setting] = {
    "command_timeout": Setting((int, float), "how long a command of the scheduler may take [s]"),
    "poll_interval": Setting((int, float), "how often the scheduler is asked for states [s]"),
    "grace": Setting(
        (int, float), "how long a task that the scheduler no longer knows may still deliver its record [s]"
    ),
    "array_limit": Setting((int,), "largest number of tasks in one submission"),
    "global_job_limit": Setting(
        (int,), "largest number of tasks that you have in the system, others included; -1 for no limit"
    ),
    "jobs_per_check": Setting((int,), "largest number of tasks submitted between two counts of your jobs"),
    "check_interval": Setting((int, float), "how often your jobs are counted while tasks wait [s]"),
    "submission_interval": Setting((int, float), "shortest time between two submit commands [s]"),
    "path_prefix": Setting((str,), "the folder of the scheduler's commands, if not on the PATH"),
}
"""What every batch backend knows."""


def checked(args: Mapping[str, Any], known: Mapping[str, Setting], scheduler: str) -> None:
    """Refuse arguments that are not known, or whose value has a wrong type.

    Raises:
        ConfigurationError: With the name, the alternatives and the remedy.
    """
    for name, value in args.items():
        setting = known.get(name)
        if setting is None:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known))}."
            raise ConfigurationError(f"{scheduler} has no backend argument {name!r}; {hint}")
        if value is None:
            continue
        where = f"backend argument {name!r} of {scheduler} is {value!r}"
        if not isinstance(value, setting.kind) or (isinstance(value, bool) and bool not in setting.kind):
            kinds = " or ".join(kind.__name__ for kind in setting.kind)
            raise ConfigurationError(f"{where}; it must be {kinds}: {setting.meaning}.")
        if name in COMMON and isinstance(value, int | float) and value < 0 and value != -1:
            raise ConfigurationError(f"{where}; give a positive number.")
