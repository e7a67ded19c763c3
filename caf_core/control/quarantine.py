"""Input files that are set aside because they keep failing: noted, and left out of later iterations."""

import json
from collections.abc import Mapping

from caf_core.calibration.files import write_json
from caf_core.control.prints import file_print
from caf_core.control.resolved import Resolved

QUARANTINE_FILE = "quarantine.json"


def note(one: Resolved, iteration: int, found: Mapping[str, Mapping[str, str]]) -> None:
    """Write down which files an iteration has set aside.

    Args:
        one: The calibration.
        iteration: The iteration.
        found: Collection -> file -> why.
    """
    content = {
        name: {file: [file_print(file), reason] for file, reason in files.items()}
        for name, files in found.items()
        if files
    }
    path = one.collector_dir(iteration) / QUARANTINE_FILE
    if content or path.exists():
        write_json(path, content)


def set_aside(one: Resolved, collection: str, iteration: int) -> dict[str, str]:
    """The files that earlier iterations set aside, and why; one that was changed since is tried again."""
    found: dict[str, str] = {}
    for number in range(iteration):
        try:
            content = json.loads((one.collector_dir(number) / QUARANTINE_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        for file, (known, reason) in content.get(collection, {}).items():
            if file_print(file) == known:
                found[file] = reason
    return found
