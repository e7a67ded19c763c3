"""Being the process that answers for all that descends from it.

A *subreaper* becomes the parent of descendants whose parents die; so it can collect every one of them, and
when the kernel says that it has no child left, nothing is left. Signals are waited for and never interrupt:
SIGTERM and SIGINT ask to end the task (*cancelled*), SIGHUP too (*orphaned*: whoever watched over this
process is gone).

Only the standard library is used, so that this works on a batch node too.
"""

from __future__ import annotations

import os
import sys
import time

from caf_core.processes import tree
from caf_core.processes.lean import call_libc, signal

GRACE = 5.0
"""How long a task that is asked to end may take before it is killed [s]."""

WATCHED = frozenset({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
OVERTAKEN = 0.5
"""A scheduler that ends a job tells its processes one after the other. If the task is told first, and is gone
before us, our own signal follows within this time [s].
"""
_REASONS: dict[int, str] = {
    signal.SIGTERM: "cancelled",
    signal.SIGINT: "cancelled",
    signal.SIGHUP: "orphaned",
}
SET_CHILD_SUBREAPER = 36
_SET_PARENT_DEATH_SIGNAL = 1


class Ended:
    """How a task ended.

    Attributes:
        exit_code: Its exit code; ``None`` if a signal ended it.
        signal: The signal that ended it, or ``None``.
        peak_memory_mb: Largest resident memory of any one of its processes [MB].
        cpu_seconds: Processor time of all its processes [s].
        seconds: Time from start to end [s].
        leftovers: How many processes were killed after its own process had ended.
        ended_by: ``cancelled``, ``walltime`` or ``orphaned`` if it was ended from here; else empty.
        message: Why it could not be started, if so.
    """

    __slots__ = (
        "cpu_seconds",
        "ended_by",
        "exit_code",
        "leftovers",
        "message",
        "peak_memory_mb",
        "seconds",
        "signal",
    )

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self.signal: int | None = None
        self.peak_memory_mb = 0.0
        self.cpu_seconds = 0.0
        self.seconds = 0.0
        self.leftovers = 0
        self.ended_by = ""
        self.message = ""


def prctl(option: int, value: int) -> None:
    """Call the kernel's ``prctl``, for which Python has no function.

    Raises:
        OSError: If the kernel refuses, or is not Linux.
    """
    if not sys.platform.startswith("linux"):
        raise OSError("caf executes tasks on Linux only; this is " + sys.platform)
    call_libc("prctl", option, value, 0, 0, 0)


_prepared = 0


def become_subreaper() -> None:
    """Make this process a subreaper that waits for signals; calling it again does nothing."""
    global _prepared
    if _prepared != os.getpid():
        prctl(SET_CHILD_SUBREAPER, 1)
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        _prepared = os.getpid()


def follow_parent() -> None:
    """Have the kernel send SIGHUP to this process when its parent dies."""
    prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGHUP)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process, which was just forked, when its parent dies, or end if it has died.

    Args:
        parent: The parent's number, as it was before the fork.
    """
    prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def watch(pid: int, begin: float, walltime: float | None, grace: float) -> Ended:
    """Wait until a child and all that descends from it has ended, and end it where that is asked for.

    Args:
        pid: The child.
        begin: When it was started [s, monotonic clock].
        walltime: Its time limit [s].
        grace: How long it may take to end when asked to [s].
    """
    ended = Ended()
    deadline = None if walltime is None else begin + walltime
    while True:
        if deadline is None:
            number = signal.sigwaitinfo(WATCHED).si_signo
        else:
            info = signal.sigtimedwait(WATCHED, max(0.0, deadline - time.monotonic()))
            number = info.si_signo if info else 0
        if number == signal.SIGCHLD:
            if reap(pid, ended):
                break
            if (ended.exit_code is not None or ended.signal is not None) and not ended.ended_by:
                ended.leftovers += kill_descendants(ended)
                break
        elif number == 0 and ended.ended_by:
            ended.leftovers += kill_descendants(ended, pid)
            break
        elif not ended.ended_by:
            ended.ended_by = _REASONS.get(number, "") if number else "walltime"
            tree.send(tree.descendants(os.getpid()), signal.SIGTERM)
            deadline = time.monotonic() + grace
    if not ended.ended_by and (ended.signal == signal.SIGTERM or ended.exit_code == 128 + signal.SIGTERM):
        info = signal.sigtimedwait(WATCHED - {signal.SIGCHLD}, OVERTAKEN)
        ended.ended_by = _REASONS[info.si_signo] if info else ""
    ended.seconds = time.monotonic() - begin
    return ended


def reap(pid: int, ended: Ended) -> bool:
    """Collect the children that have ended; whether none is left."""
    while True:
        try:
            child, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if child == 0:
            return False
        ended.peak_memory_mb = max(ended.peak_memory_mb, usage.ru_maxrss / 1024)
        ended.cpu_seconds += usage.ru_utime + usage.ru_stime
        if child == pid:
            if os.WIFSIGNALED(status):
                ended.signal = os.WTERMSIG(status)
            else:
                ended.exit_code = os.WEXITSTATUS(status)


def kill_descendants(ended: Ended, pid: int = 0) -> int:
    """Kill all that descends from this process until the kernel says that no child is left.

    Args:
        ended: Where their use of memory and time is added.
        pid: The task's own process, if it is among them.
    Returns:
        How many different processes were killed besides ``pid``.
    """
    killed: set[int] = set()
    while not reap(pid, ended):
        alive = [process for process in tree.descendants(os.getpid()) if tree.start_time(process)]
        killed.update(alive)
        tree.send(alive, signal.SIGKILL)
        # A killed process wakes us; the limit is for one whose parent alone could know.
        signal.sigtimedwait({signal.SIGCHLD}, tree.POLL_SECONDS)
    return len(killed - {pid})
