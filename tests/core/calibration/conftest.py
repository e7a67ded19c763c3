"""What is executed in processes of their own is called in this one here."""

import sys

import pytest

from caf_core.calibration.task_main import KITS


@pytest.fixture(autouse=True)
def _no_task_afterwards(monkeypatch):
    """Unpacking makes a process a task; this one is one as long as a test lasts."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setenv(KITS, "")
