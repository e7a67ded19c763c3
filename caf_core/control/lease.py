"""One controller per output directory."""

import fcntl
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from caf_core.errors import CheckpointError
from caf_core.json_text import json_text
from caf_core.processes import kernel
from caf_core.processes.tree import start_time

log = logging.getLogger("caf.control")

LEASE_FILE = "controller.json"
_LOCK = "controller.lock"
HEARTBEAT = 10.0
"""Seconds between signs of life."""
_SILENCE = 90.0
"""Seconds without a sign of life after which a controller on another host may be dead."""
_WATCH = 2.5 * HEARTBEAT
"""Seconds for which such a controller is watched before it is believed: clocks jump, and hosts disagree."""


class Lease:
    """The right to drive the calibrations of an output directory, held until ``release``.

    On one machine, whatever its name is now, the kernel's lock decides, and dies with its holder. Between
    machines, where a lock may not reach, the heartbeat decides: one that is older than it may be is watched
    for some seconds, because its time and ours are of two clocks.

    Args:
        directory: The output directory's private folder; it exists.
        take_over: Whether a controller on another host is declared dead.
        clock: Seconds since the epoch.
        pause: Waits so many seconds.
    Raises:
        CheckpointError: If another controller holds it: with its host, pid and age.
    """

    def __init__(
        self,
        directory: Path,
        *,
        take_over: bool = False,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = directory / LEASE_FILE
        self._clock, self._pause = clock, pause
        me = os.getpid()
        self._me = {**kernel.here(), "pid": me, "started": clock(), "ticks": start_time(me)}
        self._lock = _open_lock(directory / _LOCK)
        try:
            self._acquire(take_over=take_over)
        except BaseException:
            os.close(self._lock)
            raise

    def _acquire(self, *, take_over: bool) -> None:
        locked = True
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            other = read_lease(self._path.parent)
            raise CheckpointError(self._refusal(other, "wait for it, or stop it (Ctrl-C)")) from error
        except OSError:
            locked = False  # a filesystem without locks: what is written in the lease decides alone
        other = read_lease(self._path.parent)
        if other and not take_over and not self._dead(other, locked=locked):
            raise CheckpointError(
                self._refusal(other, "wait for it, or, if you know that it is dead, start with --take-over")
            )
        self._write()

    def _write(self) -> None:
        # Not by a function that makes missing folders: a directory that was moved away stays away.
        temporary = self._path.with_name(f".{LEASE_FILE}.{os.getpid()}.part")
        temporary.write_text(json_text({**self._me, "beat": self._clock()}), encoding="utf-8")
        temporary.replace(self._path)

    def _refusal(self, other: dict[str, Any] | None, remedy: str) -> str:
        directory = self._path.parent.parent
        if other is None:
            return f"another controller drives {directory}; {remedy}."
        age = self._clock() - other["started"]
        return (
            f"{directory} is driven by another controller (host {other['host']}, pid {other['pid']}, "
            f"started {age:.0f} s ago); {remedy}."
        )

    def _dead(self, other: dict[str, Any], *, locked: bool) -> bool:
        if kernel.is_here(other):
            # With the lock in our hands, no living controller of this machine holds it.
            alive = False if locked else _is_alive(other)
            if alive is not None:
                return not alive
        return not _is_fresh(other, self._clock()) and self._is_silent(other)

    def _is_silent(self, other: dict[str, Any]) -> bool:
        """Watch a controller of another host; whether it gives no sign of life."""
        log.warning(
            "%s was driven from host %s (pid %s), which may have died: it is watched for %.0f s",
            self._path.parent.parent,
            other["host"],
            other["pid"],
            _WATCH,
        )
        for _ in range(int(_WATCH)):
            self._pause(1.0)
            if read_lease(self._path.parent) != other:
                return False
        return True

    def beat(self) -> None:
        """Give a sign of life.

        Raises:
            CheckpointError: If another controller has taken over meanwhile, be it that it has ended since,
                or if the directory is not there any more.
        """
        directory = self._path.parent.parent
        other = read_lease(self._path.parent)
        if other and not self._is_mine(other):
            raise CheckpointError(
                self._refusal(other, "it was declared to take over from this one, which ends here")
            )
        try:
            there = os.path.samestat(os.fstat(self._lock), self._path.with_name(_LOCK).stat())
            if there and self._path.exists():
                self._write()
                return
        except FileNotFoundError:
            there = False
        except OSError:
            return  # a file server that does not answer now; the next sign of life may get through
        if there:
            raise CheckpointError(
                f"another controller has taken {directory} over from this one, and has ended since; this one "
                "ends here. Start again, and it goes on from there."
            )
        raise CheckpointError(
            f"the output directory {directory} was removed or moved away while it was used; start again with "
            "the directory where it is now, and it goes on from there."
        )

    def _is_mine(self, other: dict[str, Any]) -> bool:
        return all(other.get(key) == value for key, value in self._me.items())

    def release(self) -> None:
        """Give the directory back, unless another controller has taken over."""
        other = read_lease(self._path.parent)
        if other is None or self._is_mine(other):
            self._path.unlink(missing_ok=True)
        os.close(self._lock)


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be opened ({error.strerror}); mend the permissions of the output directory, or "
            f"choose another one."
        ) from error


def _is_fresh(lease: dict[str, Any], now: float) -> bool:
    """Whether the last sign of life is of now, as far as two hosts agree on the time."""
    return bool(abs(now - lease["beat"]) <= _SILENCE)


def _is_alive(other: dict[str, Any]) -> bool | None:
    """Whether the process of a lease of this machine lives; ``None`` if that cannot be seen from here."""
    return kernel.is_alive(other, int(other["pid"]), other.get("ticks"))


def read_lease(directory: Path) -> dict[str, Any] | None:
    """Who holds the lease, as far as it is written down: host, pid, started, beat."""
    try:
        content = json.loads((directory / LEASE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    numbers = ("pid", "started", "beat")
    complete = isinstance(content, dict) and "host" in content
    if not complete or not all(isinstance(content.get(key), int | float) for key in numbers):
        return None
    found: dict[str, Any] = content
    return found


def controller_lives(directory: Path) -> dict[str, Any] | None:
    """The controller that drives an output directory now, or ``None``.

    Args:
        directory: The output directory's private folder.
    """
    content = read_lease(directory)
    if content is None:
        return None
    alive = _is_alive(content) if kernel.is_here(content) else None
    if alive is None:
        alive = _is_fresh(content, time.time())
    return content if alive else None
