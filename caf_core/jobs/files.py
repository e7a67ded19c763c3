"""The files of a job and of its submissions.

A job's directory holds every task once (``tasks.jsonl``, with the offset of each line in ``tasks.idx``), so
that nothing but numbers stays in memory. Each submission has a directory of its own with the lines of its
tasks (``manifest.jsonl`` and ``.idx``: a task on a node reads one line), ``claims/`` and ``records/``, which
go when it is over. No folder is made for a task in advance.

Nothing here is forced to disk: a killed process loses nothing that it wrote, and after a power cut what is
missing is found to be missing.
"""

import contextlib
import json
import shutil
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

from attrs import frozen

from caf_core.errors import CheckpointError, ConfigurationError
from caf_core.jobs.task import Call, Resources, TaskSpec
from caf_core.json_text import COMPACT, exact_json

SCHEMA = 1
_OFFSET = 21
"""Bytes of one line of an index: 20 digits and a newline."""


def _encode(value: object) -> str:
    return exact_json(value, separators=COMPACT)


@frozen
class JobFiles:
    """What is known of a job once its files are written.

    Args:
        size: Number of tasks, those that came from splitting others not counted.
        preload: Modules that the tasks' calls would like to find imported.
        path: Folders in front of ``sys.path`` for them.
    """

    size: int
    preload: tuple[str, ...] = ()
    path: tuple[str, ...] = ()


@frozen
class Split:
    """A task that was replaced by two with half of its input files each."""

    parent: int
    children: tuple[int, int]
    files: tuple[int, int]


def write_tasks(directory: Path, tasks: Iterable[TaskSpec]) -> JobFiles:
    """Write the tasks of a new job, each as it comes from the iterable.

    Raises:
        ConfigurationError: If the directory holds a job already.
        OSError: If the files cannot be written.
    """
    if (directory / "job.json").exists():
        raise ConfigurationError(f"{directory} holds a job already; resume it, or choose another directory.")
    (directory / "submissions").mkdir(parents=True, exist_ok=True)
    preload: tuple[str, ...] | None = None
    path: tuple[str, ...] = ()
    count, offset = 0, 0
    with (directory / "tasks.jsonl").open("wb") as lines, (directory / "tasks.idx").open("wb") as index:
        for task in tasks:
            if preload is None and task.call is not None:
                preload = preload_of(task.call)
                path = tuple(task.call.path)
            line = _encode(task_line(count, task)).encode() + b"\n"
            lines.write(line)
            index.write(b"%020d\n" % offset)
            offset += len(line)
            count += 1
    job = JobFiles(count, preload or (), path)
    # Written last: a job without this file was never complete, so nothing of it can have been submitted.
    _replace(
        directory / "job.json",
        {"schema": SCHEMA, "tasks": job.size, "preload": job.preload, "path": job.path},
    )
    return job


def preload_of(call: Call) -> tuple[str, ...]:
    """What such a call would like to find imported: also its function, and what calls it."""
    # The entry's module last: calls that name the same modules, among them those of their entries, find one
    # process that has imported them, and not one for each order.
    return tuple(dict.fromkeys(("caf_core.jobs.call", *call.preload, call.entry.partition(":")[0])))


def read_job(directory: Path) -> JobFiles | None:
    """What was written of a job; ``None`` if it was never complete.

    Raises:
        CheckpointError: If the file is of a newer version or cannot be read.
    """
    file = directory / "job.json"
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CheckpointError(
            f"{file} is damaged ({error}); remove {directory} to start the job anew."
        ) from error
    if content["schema"] > SCHEMA:
        raise CheckpointError(
            f"{file} was written by a newer caf (schema {content['schema']}); use that version."
        )
    return JobFiles(content["tasks"], tuple(content["preload"]), tuple(content["path"]))


def task_line(index: int, task: TaskSpec) -> dict[str, Any]:
    """A task as it stands in ``tasks.jsonl``."""
    call = task.call
    return {
        "task": index,
        "output_dir": str(task.output_dir),
        "argv": task.argv,
        "call": call
        and {
            "entry": call.entry,
            "arguments": dict(call.arguments),
            "preload": call.preload,
            "path": call.path,
        },
        "input_files": task.input_files,
        "setup_cmds": task.setup_cmds,
        "sandbox": [str(file) for file in task.sandbox],
        "json_files": dict(task.json_files),
        "env": dict(task.env),
        "output_patterns": task.output_patterns,
        "fingerprint": task.fingerprint,
    }


def task_spec(line: Mapping[str, Any]) -> TaskSpec:
    """The task of a line."""
    call = line["call"]
    return TaskSpec(
        output_dir=Path(line["output_dir"]),
        argv=tuple(line["argv"]),
        call=call and Call(call["entry"], call["arguments"], tuple(call["preload"]), tuple(call["path"])),
        input_files=tuple(line["input_files"]),
        setup_cmds=tuple(line["setup_cmds"]),
        sandbox=tuple(Path(file) for file in line["sandbox"]),
        json_files=line["json_files"],
        env=line["env"],
        output_patterns=tuple(line["output_patterns"]),
        fingerprint=line.get("fingerprint", ""),
    )


def read_task(directory: Path, index: int) -> dict[str, Any]:
    """One line of a job's tasks."""
    with _Lines(directory / "tasks") as lines:
        return json.loads(lines.raw(index))  # type: ignore[no-any-return]  # what task_line wrote


def read_tasks(directory: Path, indices: Iterable[int]) -> Iterator[dict[str, Any]]:
    """Several lines of a job's tasks."""
    with _Lines(directory / "tasks") as lines:
        for index in indices:
            yield json.loads(lines.raw(index))


def write_submission(
    job: Path, token: str, tasks: Sequence[int], attempts: Sequence[int], resources: Resources
) -> Path:
    """Write the directory of a submission; the lines of its tasks are copied, not parsed.

    Returns:
        The directory.
    """
    directory = submission_directory(job, token)
    for name in ("claims", "records"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    tail = _resource_fields(resources)
    offset = 0
    with (
        _Lines(job / "tasks") as lines,
        (directory / "manifest.jsonl").open("wb") as manifest,
        (directory / "manifest.idx").open("wb") as index,
    ):
        for task, attempt in zip(tasks, attempts, strict=True):
            line = b'{"attempt":%d,"token":"%s",%s,%s' % (attempt, token.encode(), tail, lines.raw(task)[1:])
            manifest.write(line)
            index.write(b"%020d\n" % offset)
            offset += len(line)
    return directory


def fold_submission(directory: Path) -> None:
    """Remove the claims and records of a submission that is over, after all is in the ledger.

    The claims go in one step before all else: a late copy of a task then finds nothing to claim, and does
    nothing. Killed at any moment, it can be done again. Claims of tasks that the scheduler began again tell
    where they worked last; they are kept.

    Raises:
        OSError: If something cannot be removed.
    """
    claims, scratch = directory / "claims", directory / ".claims-over"
    try:
        if any(claim.suffix for claim in claims.iterdir()):
            return
        claims.rename(scratch)
    except FileNotFoundError:
        pass  # somebody has begun with it before
    for folder in (scratch, directory / "records"):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)


def submissions(job: Path) -> list[Path]:
    """The directories of the submissions of a job, also of those that were never issued."""
    return sorted((job / "submissions").iterdir())


def submission_directory(job: Path, token: str) -> Path:
    """Where a submission of a job lies."""
    return job / "submissions" / token


def submission_resources(directory: Path, default: Resources) -> Resources:
    """What the tasks of a submission asked for, from its first line."""
    try:
        with _Lines(directory / "manifest") as lines:
            line = json.loads(lines.raw(0))
    except OSError:
        return default
    walltime = line["walltime_s"]
    return Resources(
        line["cpus"],
        line["memory_mb"],
        None if walltime is None else timedelta(seconds=walltime),
        line["disk_mb"],
    )


def _resource_fields(resources: Resources) -> bytes:
    seconds = None if resources.walltime is None else resources.walltime.total_seconds()
    fields = {
        "cpus": resources.cpus,
        "memory_mb": resources.memory_mb,
        "walltime_s": seconds,
        "disk_mb": resources.disk_mb,
    }
    return _encode(fields)[1:-1].encode()


def split_task(directory: Path, parent: int, children: tuple[int, int]) -> Split:
    """Add two tasks with half of the input files of another; the line in ``splits.jsonl`` makes it count."""
    line = read_task(directory, parent)
    files = line["input_files"]
    half = (len(files) + 1) // 2
    parts = (files[:half], files[half:])
    with (directory / "tasks.jsonl").open("ab") as lines, (directory / "tasks.idx").open("r+b") as index:
        index.seek(children[0] * _OFFSET)
        index.truncate()
        for child, letter, part in zip(children, "ab", parts, strict=True):
            folder = str(Path(line["output_dir"]) / f"part-{letter}")
            index.write(b"%020d\n" % lines.tell())
            lines.write(
                _encode({**line, "task": child, "output_dir": folder, "input_files": part}).encode() + b"\n"
            )
    split = Split(parent, children, (len(parts[0]), len(parts[1])))
    with (directory / "splits.jsonl").open("ab") as splits:
        splits.write(_encode({"parent": parent, "children": children, "files": split.files}).encode() + b"\n")
    return split


def read_splits(directory: Path) -> list[Split]:
    """The tasks that were split, in the order in which it happened; a line that was not finished does not
    count.
    """
    try:
        lines = (directory / "splits.jsonl").read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    contents = [json.loads(line) for line in lines]
    return [
        Split(content["parent"], tuple(content["children"]), tuple(content["files"])) for content in contents
    ]


def _replace(file: Path, content: Mapping[str, Any]) -> None:
    """Write a small file in one step: readers see the old one or the new one."""
    scratch = file.with_name(f".{file.name}.new")
    scratch.write_text(_encode(dict(content)))
    scratch.replace(file)


class _Lines:
    """Random access to the lines of a file with an index; read in one go where lines follow each other."""

    def __init__(self, stem: Path) -> None:
        data = stem.with_suffix(".idx").read_bytes()
        self._offsets = array("Q", map(int, data.split()))
        self._file: BinaryIO = stem.with_suffix(".jsonl").open("rb")
        self._next = -1

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def raw(self, index: int) -> bytes:
        """One line with its newline."""
        if index != self._next:
            self._file.seek(self._offsets[index])
        self._next = index + 1
        return self._file.readline()
