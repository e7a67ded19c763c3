"""What a resident process leaves when it dies: supervisors that end their tasks and write records.

The resident and all that it forks, but not the tasks, have one locked file open: its log, as their standard
output and error. The kernel gives the lock back when the last of them is gone, in whatever container it was.
Before that nobody may say what became of the tasks.
"""

# ruff: noqa: PTH105, PTH116, PTH118, PTH208
# pathlib takes longer to import than all else here together, and os serves as well.

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time

from caf_core.processes import subreaper, tree

LOG = "resident.log"
PATIENCE = 2 * subreaper.GRACE
"""How long they may take to end their tasks [s]; one that is stopped would take for ever."""
_LIMIT = 5.0
"""How long it may take until what was killed is gone [s]."""


def take(directory: str) -> int:
    """Wait until all that belongs to an earlier resident process is gone; kill what takes too long.

    Args:
        directory: The runtime directory.
    Returns:
        The log, locked, for a new resident process.
    Raises:
        OSError: If the log cannot be opened.
        TimeoutError: If something of the earlier one cannot be ended from here.
    """
    log = os.open(_log(directory), os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        begin = time.monotonic()
        while not _lock(log):
            waited = time.monotonic() - begin
            if waited > PATIENCE:
                _kill(log)
            if waited > PATIENCE + _LIMIT:
                raise TimeoutError(
                    f"processes of an earlier one, in another container perhaps, have {_log(directory)} "
                    "open; end them there"
                )
            time.sleep(tree.POLL_SECONDS)
    except BaseException:
        os.close(log)
        raise
    return log


def outlive(directory: str) -> None:
    """Wait as ``take`` does; a runtime directory that is not there any more holds nobody."""
    with contextlib.suppress(FileNotFoundError):
        os.close(take(directory))


def any_left(directory: str) -> bool:
    """Whether anything of a resident process lives on this machine."""
    try:
        log = os.open(_log(directory), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _lock(log)
    finally:
        os.close(log)


def disown(directory: str) -> None:
    """Put the log of a resident process on another host, declared dead, aside: a file server may keep it
    locked."""
    with contextlib.suppress(FileNotFoundError):
        os.replace(_log(directory), _log(directory) + ".old")


def _log(directory: str) -> str:
    return os.path.join(directory, LOG)


def _lock(log: int) -> bool:
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks: nobody can be waited for
    return True


def _kill(log: int) -> None:
    """Kill whoever has the log as its standard error, with all that descends from it."""
    state = os.fstat(log)
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has ended, or is not ours
            if os.path.samestat(os.stat(f"/proc/{name}/fd/2"), state):
                tree.send([int(name), *tree.descendants(int(name))], signal.SIGKILL)
