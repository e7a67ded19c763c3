"""Process trees as the kernel shows them: who descends from whom, and ending a whole tree.

Only the standard library is used, so that this works on a batch node too. Linux only: it reads ``/proc``.
"""

# ruff: noqa: PTH123, PTH208, SIM105
# pathlib and contextlib take longer to import than all else here together, and os serves as well.

from __future__ import annotations

import os
import time

from caf_core.processes.lean import signal

TYPE_CHECKING = False  # the real one would import typing, which is slow
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

POLL_SECONDS = 0.02


def parents() -> dict[int, int]:
    """The parent of every process that is visible now, zombies included."""
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = stat_fields(int(name))
            if fields:
                table[int(name)] = int(fields[1])
    return table


def stat_fields(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` from the third (the state) on; empty if there is no such process."""
    try:
        text = _read(f"/proc/{pid}/stat").decode("ascii", "replace")
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()  # the name before it may hold spaces and brackets


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as stream:
        return stream.read()


def start_time(pid: int) -> int | None:
    """When a living process was started [clock ticks since boot]; ``None`` if it is dead or a zombie."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields and fields[0] not in "ZX" else None


def children(pid: int) -> list[int]:
    """The direct children of a process, zombies included."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    except OSError:  # it is gone, or the kernel keeps no lists of children
        return [child for child, parent in parents().items() if parent == pid]
    return found


def descendants(pid: int) -> list[int]:
    """Every process that descends from ``pid``, the nearest first, zombies included."""
    offspring: dict[int, list[int]] = {}
    for child, parent in parents().items():
        offspring.setdefault(parent, []).append(child)
    found = list(offspring.get(pid, ()))
    for process in found:  # the list grows while it is walked
        found += offspring.get(process, ())
    return found


def send(pids: Iterable[int], number: int) -> None:
    """Send a signal to processes and to the process groups that they lead or belong to, except our own group.

    A group is signalled as a whole because that reaches processes that are being forked at this moment.
    """
    ours = os.getpgrp()
    groups = set()
    for pid in pids:
        try:
            group = os.getpgid(pid)
            if group != ours:
                groups.add(group)
            else:
                os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # it has ended, or is not ours
    for group in groups:
        try:
            os.killpg(group, number)
        except (ProcessLookupError, PermissionError):
            pass  # likewise


def end_tree(
    pid: int,
    *,
    grace: float,
    reap: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """End a process and all that descends from it: SIGTERM, ``grace`` seconds, SIGKILL.

    Args:
        pid: The root of the tree; it is ended with the rest.
        grace: How long the processes may take to end by themselves [s].
        reap: Called again and again; must collect the zombies among our own children.
        clock: Tells the time [s].
    """
    members = {member: start_time(member) for member in [pid, *descendants(pid)]}
    send(members, signal.SIGTERM)
    deadline = clock() + grace
    while True:
        reap()
        # What was forked meanwhile joins; those that were re-parented away are still in our table.
        for member in [m for known in list(members) for m in children(known)]:
            members.setdefault(member, start_time(member))
        members = {m: started for m, started in members.items() if started and start_time(m) == started}
        if not members:
            return
        if clock() >= deadline:
            send(members, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
