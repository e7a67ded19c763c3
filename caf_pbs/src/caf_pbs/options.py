"""The options of ``qsub`` for what tasks need, in the languages of PBS and of Torque.

What the user wrote in ``resource_list`` stays as it is written; where the retry policy asks for more memory
or time than that, the larger of both is asked for.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from caf_core.jobs.task import Resources
from caf_pbs.meaning import megabytes, seconds

_MEMORY_IN_CHUNK = re.compile(r"(?<=:)mem=(\w+)")


def resource_options(resources: Resources, args: Mapping[str, Any], *, torque: bool) -> list[str]:
    """The ``-l`` options.

    Args:
        resources: What a task needs; disk space has no resource of its own in PBS.
        args: The backend's arguments, of which ``resource_list`` counts.
        torque: Whether it is Torque.
    """
    wanted = dict(parts(args.get("resource_list") or ""))
    (_for_torque if torque else _for_pbs)(wanted, resources)
    if resources.walltime is not None:
        asked = seconds(wanted.get("walltime", ""))
        if asked is None or asked < resources.walltime.total_seconds():
            wanted["walltime"] = clock(resources.walltime)
    options: list[str] = []
    for name, value in wanted.items():
        options += ["-l", f"{name}={value}"]
    return options


def _for_pbs(wanted: dict[str, str], resources: Resources) -> None:
    """One chunk with everything; PBS takes either a selection or the old single resources, never both."""
    memory = resources.memory_mb
    old = [name for name in ("ncpus", "mem", "nodes") if name in wanted]
    if "select" not in wanted and not old:
        chunk = f"1:ncpus={resources.cpus}"
        wanted["select"] = chunk if memory is None else f"{chunk}:mem={memory}mb"
    elif memory is None:
        return
    elif "select" in wanted:
        wanted["select"] = _with_memory(wanted["select"], memory)
    elif "mem" in wanted:
        wanted["mem"] = _larger(wanted["mem"], memory)


def _for_torque(wanted: dict[str, str], resources: Resources) -> None:
    if not any(name in wanted for name in ("nodes", "procs", "ncpus")):
        wanted["nodes"] = f"1:ppn={resources.cpus}"
    if resources.memory_mb is not None:
        wanted["mem"] = _larger(wanted.get("mem", "0"), resources.memory_mb)


def _with_memory(selection: str, memory_mb: int) -> str:
    """A selection with at least that much memory in its chunk; several chunks are the user's own affair."""
    if "+" in selection:
        return selection
    if not _MEMORY_IN_CHUNK.search(selection):
        return f"{selection}:mem={memory_mb}mb"
    return _MEMORY_IN_CHUNK.sub(lambda found: f"mem={_larger(found[1], memory_mb)}", selection)


def _larger(asked: str, memory_mb: int) -> str:
    size = megabytes(asked)
    return asked if size is not None and size >= memory_mb else f"{memory_mb}mb"


def parts(resource_list: str | Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The single resources of ``a=1,b=2`` or of a mapping."""
    if isinstance(resource_list, Mapping):
        yield from ((str(name), str(value)) for name, value in resource_list.items())
        return
    # A comma inside quotes belongs to the value.
    for part in re.findall(r"""(?:[^,"']|"[^"]*"|'[^']*')+""", resource_list):
        name, _, value = part.strip().partition("=")
        yield name, value


def clock(time: timedelta) -> str:
    """A time as PBS writes it, rounded up to seconds."""
    whole = -int(-time.total_seconds() // 1)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
