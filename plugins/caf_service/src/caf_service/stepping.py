"""One step of a plan as a worker does it: what is executed in its child, and what that leaves."""

import importlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from caf_core.errors import CafError
from caf_core.json_text import json_text
from caf_service.plan import Work

log = logging.getLogger("caf.worker")

LOG_TAIL = 48 * 1024
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What tells libraries how many threads to start."""


class StepError(CafError):
    """A step did not do what it should."""


def warm(reference: str) -> None:
    """Import in advance what every step needs: its process has it then, and need not spend seconds on it.

    Libraries for linear algebra start threads when they are imported; what is forked shall have none, unless
    the environment says how many are wanted.
    """
    added = [name for name in THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(added, "1"))
    try:
        importlib.import_module(reference.partition(":")[0])
    except (Exception, SystemExit) as error:  # the step will fail of it, and its log is what people see
        log.warning("%s cannot be imported: %s", reference, error)
    finally:
        for name in added:
            del os.environ[name]


def perform(function: str, command: str, work: Work, answer: Path) -> Sequence[str] | None:
    """In the child: do a step of a plan; where its result lies goes into a file.

    Args:
        function: ``Plan.work``.
        command: ``Plan.command``.
        work: The step.
        answer: The file.
    Returns:
        The command that is still to be executed, if there is one.
    """
    argv: Sequence[str] | None = None
    if command:
        argv, path = _named(command)(work)
    else:
        path = _named(function)(work)
    answer.write_text(json_text({"file": str(path)}), encoding="utf-8")
    return argv


def _named(reference: str) -> Any:
    module, _, name = reference.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def result_of(answer: Path, work: Work) -> Path:
    """The file that a step left to be reported.

    Raises:
        StepError: If it is not there.
    """
    path = work.directory / str(json.loads(answer.read_text(encoding="utf-8"))["file"])
    if not path.is_file():
        raise StepError(f"step {work.position.serial} left no file {path}")
    return path


def tail_of(file: Path) -> str:
    """The last part of a log; nothing if there is none."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - LOG_TAIL))
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return ""
