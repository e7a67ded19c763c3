"""What ``caf run --check`` found, for people and for machines."""

from typing import TYPE_CHECKING

import attrs

from caf_core.cli.base import say, shown
from caf_core.cli.tables import print_table
from caf_core.jobs.input_names import told
from caf_core.json_text import json_text

if TYPE_CHECKING:
    from caf_core.control.checking import Checked


def print_checked(found: "Checked", *, as_json: bool) -> None:
    """Print what would be done."""
    if as_json:
        print(json_text(attrs.asdict(found), indent=2))
        return
    print_table(
        ["calibration", "collection", "files", "left out", "missing", "tasks", "backend", "databases"],
        [
            [
                part.calibration,
                part.collection,
                part.files,
                part.unwanted,
                part.missing,
                part.tasks,
                part.backend,
                ", ".join(part.databases) or "-",
            ]
            for part in found.collections
        ],
        right=("files", "left out", "missing", "tasks"),
    )
    print()
    for part in found.collections:
        if part.doubles:
            print(f"{shown(part.calibration)}, {shown(part.collection)}: {shown(told(part.doubles))}")
    for name in found.order:
        say(f"{shown(name)}: {', '.join(found.strategies.get(name, ())) or 'its own run()'}")
    print(f"output: {shown(found.output_dir)} ({found.free_mb / 1000:.1f} GB free)")
    print("Nothing was submitted.")
