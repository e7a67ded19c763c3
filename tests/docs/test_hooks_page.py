"""The page of hooks names every hook with exactly its arguments, in the order of the specification."""

import inspect
import re
from pathlib import Path

from caf_core.plugins import hooks

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "hooks.md").read_text(encoding="utf-8")


def test_the_table_has_every_hook_with_its_signature():
    specified = [
        f"{name}({', '.join(inspect.signature(function).parameters)})"
        for name, function in vars(hooks).items()
        if name.startswith("caf_")
    ]
    shown = re.findall(r"^\| `(caf_\w+\([^)]*\))` \| \S", PAGE, flags=re.MULTILINE)
    assert sorted(shown) == sorted(specified)


def test_the_details_come_from_the_specification():
    assert ".. automodule:: caf_core.plugins.hooks" in PAGE
