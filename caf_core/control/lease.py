"""One controller per output directory."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from caf_core.calibration.files import write_json
from caf_core.errors import CheckpointError

LEASE_FILE = "controller.json"
HEARTBEAT = 10.0
"""Seconds between signs of life."""
_SILENCE = 90.0
"""Seconds of silence after which a controller on another host may be declared dead."""


class Lease:
    """The right to drive the calibrations of an output directory, held until ``release``.

    On one host the kernel's lock decides, and dies with its holder. Between hosts, where a lock may not
    reach, the heartbeat decides.

    Args:
        directory: The output directory's private folder; it exists.
        take_over: Whether a controller on another host is declared dead.
        clock: Seconds since the epoch.
    Raises:
        CheckpointError: If another controller holds it: with its host, pid and age.
    """

    def __init__(
        self, directory: Path, *, take_over: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = directory / LEASE_FILE
        self._clock = clock
        self._me = {"host": socket.gethostname(), "pid": os.getpid(), "started": clock()}
        self._lock = _open_lock(directory / "controller.lock")
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
        write_json(self._path, {**self._me, "beat": self._clock()})

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
        if other["host"] == self._me["host"]:
            # With the lock in our hands, no living controller of this host holds it.
            return locked or not _process_lives(other)
        return bool(self._clock() - other["beat"] > _SILENCE)

    def beat(self) -> None:
        """Give a sign of life.

        Raises:
            CheckpointError: If another controller has taken over meanwhile.
        """
        other = read_lease(self._path.parent)
        if other and {key: other[key] for key in self._me} != self._me:
            raise CheckpointError(
                self._refusal(other, "it was declared to take over from this one, which ends here")
            )
        write_json(self._path, {**self._me, "beat": self._clock()})

    def release(self) -> None:
        """Give the directory back, unless another controller has taken over."""
        other = read_lease(self._path.parent)
        if other is None or {key: other[key] for key in self._me} == self._me:
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


def _process_lives(other: dict[str, Any]) -> bool:
    """Whether the process of a lease of this host lives; one that began later only has the same number."""
    import psutil  # slow to import, and seldom needed

    try:
        return bool(psutil.Process(other["pid"]).create_time() <= other["started"] + 1.0)
    except psutil.NoSuchProcess:
        return False


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
    if content["host"] == socket.gethostname():
        return content if _process_lives(content) else None
    return content if time.time() - content["beat"] <= _SILENCE else None
