"""Conformance suites for plugin authors; they need pytest and hypothesis.

Derive a test class from the suite, override its fixture, and pytest does the rest:

    from caf_core.testing import StrategyConformance

    class TestMine(StrategyConformance):
        @pytest.fixture
        def strategy(self):
            return Mine()
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from caf_core.testing.backend import BackendConformance as BackendConformance
    from caf_core.testing.batch import BatchConformance as BatchConformance
    from caf_core.testing.faulty import Faults as Faults
    from caf_core.testing.replay import Replay as Replay
    from caf_core.testing.runner import RunnerConformance as RunnerConformance
    from caf_core.testing.splitter import SplitterConformance as SplitterConformance
    from caf_core.testing.strategy import StrategyConformance as StrategyConformance

_HOME = {
    "BackendConformance": "caf_core.testing.backend",
    "BatchConformance": "caf_core.testing.batch",
    "Faults": "caf_core.testing.faulty",
    "Replay": "caf_core.testing.replay",
    "SplitterConformance": "caf_core.testing.splitter",
    "RunnerConformance": "caf_core.testing.runner",
    "StrategyConformance": "caf_core.testing.strategy",
}

__all__ = sorted(_HOME)

# Before the modules are imported, so that a failing assertion of a suite shows its values.
pytest.register_assert_rewrite(*_HOME.values(), "caf_core.testing.plans", "caf_core.testing.bench")


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'caf_core.testing' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
