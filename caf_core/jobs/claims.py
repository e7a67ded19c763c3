"""Who may execute a task, and in which folder; packed with ``node.py``.

``claims/POSITION`` is made by the first of the scheduler's jobs that comes, and holds its id; a job with
another id does nothing. The same job comes again where its scheduler began it again, perhaps although the
first execution lives on where the scheduler no longer sees it. So each further one makes a claim of its own
(``claims/POSITION.2``, ``.3``, ..., with the name of its folder), only the latest may leave a record, and
each works in a folder of its own: the earlier one may live on in its folder, or have left there what is used
again.
When a submission is over, ``claims`` goes as a whole, and whoever comes then finds nothing to claim.
"""

# ruff: noqa: PTH108, PTH110, PTH123
# pathlib takes longer to import than all else here together, and os serves as well.

from __future__ import annotations

import os

from caf_core.processes.lean import load_json, signal

TYPE_CHECKING = False  # the real one would import typing, which is slow
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Claim:
    """The right to execute a task.

    Attributes:
        number: 1 for the first execution under the scheduler's id.
        folder: Where it works.
    """

    __slots__ = ("folder", "number")

    def __init__(self, number: int, folder: str) -> None:
        self.number = number
        self.folder = folder


def claim(directory: str, position: int, scheduler_id: str, attempt: str) -> tuple[Claim | None, str]:
    """Claim a task for this process.

    Args:
        directory: The submission's directory.
        position: The task's position.
        scheduler_id: The scheduler's id of this job; without one nobody comes again.
        attempt: The folder of the attempt.
    Returns:
        The claim, or why there is nothing to do.
    """
    path = f"{directory}/claims/{position}"
    try:
        if _make(path, scheduler_id or f"{os.uname().nodename}:{os.getpid()}"):
            return Claim(1, attempt), ""
        with open(path, encoding="utf-8", errors="replace") as stream:
            other = stream.read()
    except FileNotFoundError:
        return None, "its submission is over"
    if not scheduler_id or other != scheduler_id:
        return None, f"claimed by {other or 'an unknown process'}"
    record = f"{directory}/records/{position}.json"
    if _counts(_read(record)):
        return None, "it has its record already"
    number = 2
    while not _make(f"{path}.{number}", ""):
        number += 1
    left = _read(record)
    if _counts(left):
        return None, "it has its record already"
    here, name = os.path.split(attempt)
    folder = f"{name}.{number}"
    if left is not None:
        # It was ended from outside, and whoever did so wants it executed again.
        _remove(record)
    with open(f"{path}.{number}", "w", encoding="utf-8") as stream:
        stream.write(folder)
    return Claim(number, f"{here}/{folder}"), ""


def holds(directory: str, position: int, mine: Claim) -> bool:
    """Whether a claim is still the latest, and its submission not over."""
    path = f"{directory}/claims/{position}"
    return os.path.exists(path) and not os.path.exists(f"{path}.{mine.number + 1}")


def latest_folder(directory: str, position: int, attempt: str) -> str:
    """The folder in which an attempt was executed last.

    Args:
        directory: The submission's directory.
        position: The task's position.
        attempt: The folder of the attempt, where it was executed once only.
    """
    path, number = f"{directory}/claims/{position}", 2
    while os.path.exists(f"{path}.{number}"):
        number += 1
    if number == 2:
        return attempt
    here, name = os.path.split(attempt)
    with open(f"{path}.{number - 1}", encoding="utf-8") as stream:
        return f"{here}/{stream.read() or f'{name}.{number - 1}'}"


def _make(path: str, owner: str) -> bool:
    """Make a claim; whether it was not there before."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    try:
        os.write(fd, owner.encode())
    finally:
        os.close(fd)
    return True


def _read(path: str) -> Mapping[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as stream:
            record: Mapping[str, Any] = load_json(stream.read())
    except FileNotFoundError:
        return None
    return record


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return  # another execution was quicker


def _counts(record: Mapping[str, Any] | None) -> bool:
    """Whether a record tells how a task ended, and not only that it was ended from outside."""
    if record is None:
        return False
    failure = record.get("failure")
    # As caf_core.jobs.evidence.is_unexplained, which does not travel.
    killed = record.get("signal") == signal.SIGKILL or record.get("exit_code") == 128 + signal.SIGKILL
    return failure != "cancelled" and not (killed and failure == "exit_code")
