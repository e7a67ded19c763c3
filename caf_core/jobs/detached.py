"""A task on a node that does not see the submission's directory; packed with ``node.py``.

A batch system has brought some files into the working directory: lines of the manifest (``lines-N.jsonl``),
``node.pyz`` and what the line names in ``travel``. What came of the task is left in one folder, named by its
position, that the batch system takes back: ``record.json`` and the attempt's own folder.
"""

# ruff: noqa: PTH103, PTH104, PTH107, PTH119, PTH123
# pathlib takes longer to import than all else here together, and os serves as well.

from __future__ import annotations

import json
import os
from urllib.parse import quote

from caf_core.jobs import node, workspace
from caf_core.processes.lean import dump_json

TYPE_CHECKING = False  # the real one would import typing, which is slow
if TYPE_CHECKING:
    from typing import Any

CHUNK = 100
"""So many lines travel in one file."""

FILE, TREE, JSON = "file", "tree", "json"
"""What travels: a file, a folder (as a tar file), a JSON file in which paths are to be changed too."""

_WITH_PATHS = ("argv", "input_files", "sandbox", "call", "json_files", "env")


def execute_detached(here: str, position: int, scheduler_id: str = "") -> dict[str, Any]:
    """Execute one task from what was brought here.

    Args:
        here: The working directory that the batch system made.
        position: The task's position in the manifest.
        scheduler_id: The scheduler's id of this job.
    Returns:
        The exit record, which is in ``POSITION/record.json``.
    Raises:
        OSError: If something did not arrive, or the record cannot be written.
    """
    folder = f"{here}/{position}"
    for name in ("claims", "records", str(position)):
        os.makedirs(f"{here}/{name}", exist_ok=True)
    spec = settle(read_line(here, position), here)
    spec["output_dir"] = folder
    record = node.execute_task(here, position, scheduler_id, spec=spec)
    if "skipped" not in record:
        os.rename(f"{here}/records/{position}.json", f"{folder}/record.json")
    return record


def read_line(here: str, position: int) -> dict[str, Any]:
    """The task's line of the manifest.

    Raises:
        LookupError: If it did not come along.
    """
    begin = b'{"position":%d,' % position
    with open(f"{here}/lines-{position // CHUNK}.jsonl", "rb") as lines:
        for line in lines:
            if line.startswith(begin):
                spec: dict[str, Any] = json.loads(line)
                return spec
    raise LookupError(f"there is no task at position {position} in {here}")


def settle(spec: dict[str, Any], here: str) -> dict[str, Any]:
    """Put what travelled under its own name, and change the paths in a line accordingly."""
    places: list[tuple[str, str]] = []
    changing = []
    for number, (name, original, kind) in enumerate(spec.get("travel") or ()):
        place = f"{here}/in/{number}"
        os.makedirs(place)
        target = f"{place}/{os.path.basename(original)}"
        if kind == TREE:
            import tarfile  # slow to import, and seldom needed

            with tarfile.open(f"{here}/{name}") as archive:
                archive.extractall(target)  # noqa: S202 - packed by the same user
            os.remove(f"{here}/{name}")
        else:
            os.rename(f"{here}/{name}", target)
        if kind == JSON:
            changing.append(target)
        places.append((original, target))
    places.sort(key=lambda place: -len(place[0]))
    for path in changing:
        with open(path, encoding="utf-8") as stream:
            content = moved(json.load(stream), places)
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
        try:
            workspace.write_all(fd, dump_json(content).encode())
        finally:
            os.close(fd)
    return {key: moved(value, places) if key in _WITH_PATHS else value for key, value in spec.items()}


def moved(value: Any, places: list[tuple[str, str]]) -> Any:
    """A JSON value in which every text that is a path or URL of something that travelled names its new place.

    Args:
        value: The value.
        places: (path before, path now), the longest first.
    """
    if isinstance(value, str):
        return _moved_text(value, places)
    if isinstance(value, list):
        return [moved(item, places) for item in value]
    if isinstance(value, dict):
        return {key: moved(item, places) for key, item in value.items()}
    return value


def _moved_text(text: str, places: list[tuple[str, str]]) -> str:
    scheme, mark, rest = text.partition("://")
    if not mark:
        scheme, rest = "", text
    if not rest.startswith("/"):
        return text
    for original, target in places:
        before, now = (quote(original), quote(target)) if mark else (original, target)
        if rest == before or rest.startswith((before + "/", before + "?")):
            return scheme + mark + now + rest[len(before) :]
    return text
