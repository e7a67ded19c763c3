"""The Python function of a task: ``python -m caf_core.jobs.call [--remove] call.json`` in its folder."""

import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def execute_call(call: Mapping[str, Any]) -> None:
    """Import the function and call it.

    Args:
        call: ``entry`` (``package.module:function``), ``arguments`` (keywords), and ``path`` (for the
            front of ``sys.path``).
    """
    sys.path[:0] = [folder for folder in call.get("path") or () if folder not in sys.path]
    module, _, name = call["entry"].partition(":")
    function: Any = importlib.import_module(module)
    for part in name.split("."):
        function = getattr(function, part)
    function(**(call.get("arguments") or {}))


def main() -> None:
    """Execute the call that a file describes; with ``--remove`` nobody else needs the file."""
    file = Path(sys.argv[-1])
    call = json.loads(file.read_text(encoding="utf-8"))
    if sys.argv[1] == "--remove":
        file.unlink()
    execute_call(call)


if __name__ == "__main__":
    main()
