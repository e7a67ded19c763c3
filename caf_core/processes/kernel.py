"""Which kernel a process belongs to: who reads of one in a file of a shared folder can tell whether it lives.

A host's name does not tell: a container gets a new one each time it is started, and many have the same. The
kernel's boot id does, and within one boot a process is known by its number and the time when it was started;
by both only in the same namespace of process ids.
"""

# ruff: noqa: PTH115, PTH123
# pathlib takes longer to import than all else here together, and os serves as well.

from __future__ import annotations

import os

from caf_core.processes import tree

TYPE_CHECKING = False  # the real one would import typing, which is slow
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def here() -> dict[str, str]:
    """Host name, boot id and namespace of process ids of this process; what the kernel hides is empty."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            boot = stream.read().strip()
    except OSError:
        boot = ""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return {"host": os.uname().nodename, "boot": boot, "space": space}


def is_here(entry: Mapping[str, Any]) -> bool:
    """Whether a process that was written down with ``here`` belongs, or belonged, to this machine.

    A machine that was started again has another boot id and the same name.
    """
    mine = here()
    return bool(entry["host"] == mine["host"] or (mine["boot"] and entry.get("boot") == mine["boot"]))


def is_alive(entry: Mapping[str, Any], pid: int, ticks: object) -> bool | None:
    """Whether a process of this machine lives; ``None`` if that cannot be seen from here.

    Args:
        entry: What was written down with ``here``; one of an earlier version holds the host's name only.
        pid: Its number.
        ticks: When it was started, as ``tree.start_time`` tells it; ``None`` if that is not known.
    """
    mine = here()
    if entry.get("boot", mine["boot"]) != mine["boot"]:
        return False
    if entry.get("space", mine["space"]) != mine["space"]:
        return None  # in another container its number means another process
    begun = tree.start_time(pid)
    return begun is not None and (ticks is None or begun == ticks)
