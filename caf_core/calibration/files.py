"""Small files, written so that they are either there as a whole or not at all."""

import os
from pathlib import Path

from caf_core.json_text import json_text


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file, or make it, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.write_bytes(content)
    temporary.replace(path)


def write_json(path: Path, value: object) -> None:
    """Replace a file by a JSON value."""
    write_atomically(path, json_text(value).encode())
