"""The lazy exports of ``caf_core``."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import caf_core


@pytest.mark.parametrize("name", caf_core.__all__)
def test_public_name_resolves(name):
    assert getattr(caf_core, name) is not None
    assert name in dir(caf_core)


def test_all_holds_no_name_twice():
    assert len(caf_core.__all__) == len(set(caf_core.__all__))


def test_type_checkers_are_told_the_same_names():
    """The table is what is executed, the block for type checkers is what they and editors read."""
    tree = ast.parse(Path(caf_core.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {
        alias.asname: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module.startswith("caf_core")
        for alias in node.names
    }
    assert set(told) == set(caf_core.__all__) - {"__version__"}
    for public, (module, name) in told.items():
        assert getattr(import_module(module), name) is getattr(caf_core, public)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'caf_core' has no attribute 'NoSuch'"):
        _ = caf_core.NoSuch


def test_its_packages_are_attributes_without_being_imported_first():
    code = "import caf_core; print(caf_core.iov.IoV(1, 2, 3, 4), caf_core.errors.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1,2,3,4 caf_core.errors\n"


def test_importing_the_package_imports_nothing_slow():
    code = (
        "import sys, caf_core; print(*(name for name in sys.modules if name.startswith('caf_core.')), 'end')"
    )
    code += "; print({'typing', 'attrs', 'pluggy', 'importlib.metadata'}.intersection(sys.modules))"
    command = [sys.executable, "-S", "-c", code]
    root = Path(caf_core.__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "end\nset()\n"
