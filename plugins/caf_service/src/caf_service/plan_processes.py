"""The processes in which functions of plans are executed; they end with their service."""

import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caf_core.processes import tree
from caf_service.updating import run_plan

GRACE = 2.0
"""How long a function may take to end when its service does [s]."""


class PlanProcesses:
    """Executes functions of plans, until it is closed; from any thread.

    Args:
        timeout: How long one may take [s].
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._lock = threading.Lock()
        self._closed = False
        self._running: set[subprocess.Popen[bytes]] = set()

    def execute(self, action: str, folder: Path, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Execute a function, as ``run_plan`` does; one that begins when this is closed is ended at once."""
        try:
            return run_plan(action, folder, request, self._timeout, self._begun)
        finally:
            with self._lock:
                self._running = {one for one in self._running if one.returncode is None}

    def close(self) -> None:
        """End them all, with all that they have started."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for process in running:
            _end(process)

    def _begun(self, process: "subprocess.Popen[bytes]") -> None:
        with self._lock:
            self._running.add(process)
            closed = self._closed
        if closed:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    tree.end_tree(process.pid, grace=GRACE, reap=process.poll)
