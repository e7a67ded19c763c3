"""The plugin: what it registers, and that importing it is cheap."""

import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any

import pytest

import caf_strategies
from caf_core.calibration.strategy import AlgorithmStrategy
from caf_core.plugins.registry import Registry

NAMES = ("SequentialBoundaries", "SequentialRunByRun", "SimpleRunByRun", "SingleIOV")


def test_the_four_strategies_are_found_by_name() -> None:
    registered: dict[str, Any] = {}
    caf_strategies.caf_register_strategies(registered.__setitem__)
    assert tuple(sorted(registered)) == NAMES
    registry = Registry.load()
    for name in NAMES:
        assert issubclass(registry.strategy(name), AlgorithmStrategy)
        assert registry.strategy(name) is getattr(caf_strategies, name)


def test_the_entry_point_is_declared() -> None:
    (point,) = (point for point in entry_points(group="caf") if point.name == "strategies")
    assert point.load() is caf_strategies


def test_importing_the_entry_module_imports_no_strategy() -> None:
    heavy = "[name for name in sys.modules if name.startswith(('caf_strategies.', 'attr'))]"
    code = f"import caf_strategies, sys; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'RunByRun'"):
        _ = caf_strategies.RunByRun  # type: ignore[attr-defined]  # the point of this test
