"""The plugin's entry module: quick, and complete."""

import subprocess
import sys

import pytest

import caf_pandora


def test_the_entry_module_imports_nothing_heavy():
    heavy = {"numpy", "uproot", "awkward", "iminuit", "lxml", "matplotlib"}
    code = f"import sys, caf_pandora; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == ""


def test_all_building_blocks_are_there():
    assert all(getattr(caf_pandora, name) is not None for name in caf_pandora.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Setings'"):
        caf_pandora.Setings  # noqa: B018  # the access is what is tested
