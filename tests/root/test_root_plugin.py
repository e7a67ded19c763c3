"""The plugin's entry module: quick, and complete."""

import subprocess
import sys

import pytest

import caf_root
from caf_core.iov import IoV
from caf_core.plugins.registry import Registry


def test_the_entry_module_and_the_codec_import_nothing_heavy():
    heavy = {"numpy", "uproot", "hist", "boost_histogram", "iminuit"}
    code = "import sys, caf_root; caf_root.RootCodec().accepts({'a': 1}); "
    code += f"print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == ""


def test_all_building_blocks_are_there():
    assert all(callable(getattr(caf_root, name)) for name in caf_root.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Histogramm'"):
        caf_root.Histogramm  # noqa: B018  # the access is what is tested


def test_hooks_through_the_registry(run_file):
    registry = Registry({"root": caf_root})
    assert registry.iov_of_file(str(run_file)) == IoV(1, 3, 2, 1)
    assert [type(codec).__name__ for codec in registry.codecs()] == ["RootCodec"]
