"""What the checkpoint promises about files is verified before a calibration goes on from there.

Constants are compared with their digests; collected data by existence, size and time of the last change, as
reading all of them would take too long: their checksums are compared when they are read. What is lost is made
again, from where that is possible.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import frozen

from caf_core.calibration.collected import (
    DAMAGED,
    TaskOutput,
    chunks_are_sound,
    read_index,
)
from caf_core.calibration.collector import DATA_FILE, RUNS_FILE
from caf_core.calibration.files import write_json
from caf_core.calibration.states import State
from caf_core.conditions.local import LocalDatabase
from caf_core.conditions.payload import Entry
from caf_core.control.context import Workshop
from caf_core.control.resolved import Resolved
from caf_core.errors import PayloadError

FILES = "files.json"
"""Beside the index of collected data: size [bytes] and time of the last change [ns] of every file."""
_NEEDS_DATA = (State.COLLECTOR_COMPLETED, State.RUNNING_ALGORITHMS, State.ALGORITHMS_COMPLETED)


@frozen
class Start:
    """Where a calibration starts, and why."""

    state: State
    iteration: int
    reason: str = ""


def verified(shop: Workshop, one: Resolved, start: Start) -> Start:
    """A start whose files are all there: the given one, or an earlier one with its reason."""
    number = start.iteration
    if start.state is State.COMPLETED:
        lost = lost_constants(shop, one, one.final_database, number)
        return _from(shop, one, number, lost) if lost else start
    if number and (lost := lost_constants(shop, one, one.iteration_database(number - 1), number - 1)):
        return _from(shop, one, number - 1, lost)
    if start.state in _NEEDS_DATA and (lost := lost_data(one, number)):
        return Start(State.INIT, number, f"{lost}; iteration {number} starts again for what is lost")
    return start


def can_restore(shop: Workshop, one: Resolved, iteration: int) -> bool:
    """Whether the constants of an iteration, from which the final ones are copied, are as they were."""
    return not lost_constants(shop, one, one.iteration_database(iteration), iteration)


def _from(shop: Workshop, one: Resolved, iteration: int, lost: str) -> Start:
    """Start an iteration again, or an earlier one if the constants that it needs are lost too."""
    while iteration and lost_constants(shop, one, one.iteration_database(iteration - 1), iteration - 1):
        iteration -= 1
    state = State.INIT if lost_data(one, iteration) else State.COLLECTOR_COMPLETED
    return Start(state, iteration, f"{lost}; it starts again from {state}, iteration {iteration}")


def lost_constants(shop: Workshop, one: Resolved, directory: Path, iteration: int) -> str:
    """What an iteration's constants in a database lack, in words; empty if nothing."""
    promised = shop.store.payloads(one.name, iteration)
    database = LocalDatabase(directory, shop.doors.open_codecs())
    if promised is None or (not promised and not database.exists()):
        return ""
    if not database.exists():
        return f"its constants in {directory} are gone"
    try:
        there = {entry.line(): entry for entry in database.entries()}
    except PayloadError as error:
        return str(error).rstrip(".")
    wanted = {entry.line(): entry for entry in promised}
    for line in wanted.keys() - there.keys():
        return f"the line {line!r} is gone from {directory}/database.txt"
    for line in there.keys() - wanted.keys():
        return f"{directory}/database.txt has the line {line!r}, which caf did not write there"
    return next(_wrong_files(database, promised), "")


def _wrong_files(database: LocalDatabase, entries: Sequence[Entry]) -> Iterator[str]:
    for problem in database.validate(entries):
        payload = f"payload {problem.entry.name!r} for {problem.entry.iov} in {database.path}"
        if problem.kind == "missing":
            yield f"the file of the {payload} is gone or damaged"
        elif problem.kind == "hash":
            yield f"the file of the {payload} was changed"


def note_data(one: Resolved, iteration: int, outputs: Sequence[TaskOutput]) -> None:
    """Write down what the files of collected data are like."""
    folder = one.collector_dir(iteration)
    found = {}
    for output in outputs:
        for path in _files(output):
            status = path.stat()
            found[_name(path, folder)] = [status.st_size, status.st_mtime_ns]
    write_json(folder / FILES, found)


def lost_data(one: Resolved, iteration: int) -> str:
    """What the collected data of an iteration lack, in words; empty if nothing.

    A file that was changed is set aside under another name, so that its task counts as lost from now on.
    """
    folder = one.collector_dir(iteration)
    try:
        outputs = read_index(one.index_path(iteration))
    except (OSError, ValueError, TypeError):
        return f"the index of the collected data, {one.index_path(iteration)}, is gone or damaged"
    try:
        known = json.loads((folder / FILES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}  # written by 0.1.0: only what is gone is found
    lost = [
        words
        for output in outputs
        for path in _files(output)
        if (words := _lost(path, output, folder, known))
    ]
    more = f", and {len(lost) - 1} more are lost" if len(lost) > 1 else ""
    return f"{lost[0]}{more}" if lost else ""


def _lost(path: Path, output: TaskOutput, folder: Path, known: dict[str, list[int]]) -> str:
    try:
        status = path.stat()
    except OSError:
        return f"the collected data in {path} are gone"
    wanted = known.get(_name(path, folder))
    if wanted is None or [status.st_size, status.st_mtime_ns] == wanted:
        return ""
    if status.st_size == wanted[0] and path.name == DATA_FILE and chunks_are_sound(output):
        return ""  # copied without its time
    path.rename(path.with_name(path.name + DAMAGED))
    return f"the collected data in {path} were changed"


def is_whole(directory: str | Path, names: Sequence[str]) -> bool:
    """Whether a completed task's output is there: every file, and as much data as its run list promises.

    There may be ten thousand tasks, so files are looked at without pathlib.
    """
    try:
        for name in names:
            os.stat(f"{directory}/{name}")  # noqa: PTH116 - see above
        if RUNS_FILE not in names:
            return True
        with open(f"{directory}/{RUNS_FILE}", "rb") as stream:  # noqa: PTH123 - see above
            content = json.loads(stream.read())
        chunks = content.get("chunks") if isinstance(content, dict) else None
        if not chunks:
            return True
        size = os.stat(f"{directory}/{DATA_FILE}").st_size  # noqa: PTH116 - see above
        return bool(size >= chunks[-1][2] + chunks[-1][3])
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _files(output: TaskOutput) -> Iterator[Path]:
    """The files of a task that are read later."""
    for name in output.files:
        yield output.directory / name
    if output.chunks:
        yield output.directory / DATA_FILE


def _name(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)
