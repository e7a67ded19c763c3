"""Something that executes waits for the test: it tells that it has begun, and goes on when it may."""

import fcntl
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from attrs import define

PATIENCE = 120

WAIT = """
def wait():
    with open(HERE / "started", "w") as started:
        started.write(f"{os.getpid()}\\n")
    with open(HERE / "gate") as gate:
        fcntl.flock(gate, fcntl.LOCK_SH)
"""
"""What a script does to wait; it has imported ``fcntl`` and ``os``, and knows its folder as ``HERE``."""


@define
class Gate:
    """A folder with a script that waits.

    Args:
        folder: The folder.
        started: Where the process that waits writes its number.
        gate: What it waits for.
    """

    folder: Path
    started: int
    gate: int

    @classmethod
    @contextmanager
    def closed(cls, folder: Path) -> Iterator[Self]:
        """A gate that is closed."""
        (folder / "gate").touch()
        os.mkfifo(folder / "started")
        started = os.open(folder / "started", os.O_RDWR | os.O_CLOEXEC)
        gate = os.open(folder / "gate", os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(gate, fcntl.LOCK_EX)
        try:
            yield cls(folder, started, gate)
        finally:
            os.close(gate)
            os.close(started)

    def execute(self, *options: str) -> "subprocess.Popen[str]":
        """Execute ``script.py``."""
        return subprocess.Popen(
            [sys.executable, "-m", "caf_core.cli", "run", *options, str(self.folder / "script.py")],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def who_waits(self) -> int:
        """Wait until something waits; the number of its process."""
        assert select.select([self.started], [], [], PATIENCE)[0], "it never began"
        return int(os.read(self.started, 100))

    def open(self) -> None:
        """Let it go on."""
        fcntl.flock(self.gate, fcntl.LOCK_UN)
