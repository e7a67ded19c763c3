"""One controller per output directory."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

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
    reach, the
    heartbeat decides.

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
        self._lock = os.open(directory / "controller.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise CheckpointError(
                self._refusal(read_lease(directory), "wait for it, or stop it (Ctrl-C)")
            ) from error
        other = read_lease(directory)
        if other and not take_over and not self._dead(other):
            os.close(self._lock)
            raise CheckpointError(
                self._refusal(other, "wait for it, or, if you know that it is dead, start with --take-over")
            )
        self._started = clock()
        self.beat()

    def _refusal(self, other: dict[str, Any] | None, remedy: str) -> str:
        if other is None:
            return f"another controller drives {self._path.parent.parent}; {remedy}."
        age = self._clock() - float(other["started"])
        return (
            f"{self._path.parent.parent} is driven by another controller (host {other['host']}, pid "
            f"{other['pid']}, "
            f"started {age:.0f} s ago); {remedy}."
        )

    def _dead(self, other: dict[str, Any]) -> bool:
        if other["host"] == socket.gethostname():
            # The lock is ours, so no living controller of this host holds it.
            return True
        return self._clock() - float(other["beat"]) > _SILENCE

    def beat(self) -> None:
        """Give a sign of life."""
        content = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": self._started,
            "beat": self._clock(),
        }
        write_json(self._path, content)

    def release(self) -> None:
        """Give the directory back."""
        self._path.unlink(missing_ok=True)
        os.close(self._lock)


def read_lease(directory: Path) -> dict[str, Any] | None:
    """Who holds the lease, as far as it is written down: host, pid, started, beat."""
    try:
        content = json.loads((directory / LEASE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def controller_lives(directory: Path) -> dict[str, Any] | None:
    """The controller that drives an output directory now, or ``None``.

    Args:
        directory: The output directory's private folder.
    """
    content = read_lease(directory)
    if content is None:
        return None
    if content["host"] == socket.gethostname():
        return content if psutil.pid_exists(int(content["pid"])) else None
    return content if time.time() - float(content["beat"]) <= _SILENCE else None
