"""For a command that caf executes: which input files are its own."""

import json
from pathlib import Path

INPUT_FILES = "input_files.json"


def get_input_data(directory: str | Path = ".") -> list[str]:
    """The input files of the task that executes here, as paths and URIs.

    Args:
        directory: The task's working directory.
    Raises:
        FileNotFoundError: If this is not the working directory of a task.
    """
    files: list[str] = json.loads((Path(directory) / INPUT_FILES).read_text())
    return files
