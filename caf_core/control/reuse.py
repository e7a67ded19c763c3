"""What completed tasks of earlier jobs have left, and for which tasks of a collection it stands."""

import json
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from caf_core.calibration.collected import read_runs_file
from caf_core.calibration.collector import RUNS_FILE, CommandCollector, RunSelection
from caf_core.calibration.files import write_json
from caf_core.control import prints
from caf_core.control.resolved import Resolved, ResolvedCollection
from caf_core.control.store.store import StoredJob
from caf_core.control.verifying import is_whole
from caf_core.errors import AlgorithmError
from caf_core.jobs.files import read_splits, read_task, read_tasks
from caf_core.jobs.model import Job, SubJob
from caf_core.jobs.service import JobService

SELECTION_FILE = "selection.json"

Layout = list[Any]
"""For each task that a collection is cut into: [directory, files, fingerprint, input files, arguments,
whether the collection was cut around it] of the completed attempt of an earlier job that is used again, or
``None`` for a task of the job itself. Rows that caf 0.1.0 wrote end with the fingerprint."""


@frozen
class Cut:
    """One task to be: its files and arguments, and what its result depends on."""

    files: tuple[str, ...]
    args: tuple[str, ...]
    fingerprint: str


@frozen
class Left:
    """What a completed task has left.

    Args:
        directory: The attempt that counts.
        outputs: Its output files, relative to that.
        files: Its input files.
        args: Its arguments.
    """

    directory: str
    outputs: list[str]
    files: tuple[str, ...]
    args: tuple[str, ...]


def cut(
    part: ResolvedCollection, base: str, aside: Container[str], around: Sequence[Sequence[str]] = ()
) -> list[Cut]:
    """The tasks of a collection, in the order of its files.

    Args:
        part: The collection.
        base: What all of its tasks depend on.
        aside: Files that are left out.
        around: Groups of files that stay together, as tasks have completed for them.
    """
    files = [file for file in part.files.files if file not in aside]
    job = Job(part.name, cmd=["true"], input_files=files, splitter=part.splitter)
    if around:
        part.splitter.create_subjobs_around(job, around)
    else:
        part.splitter.create_subjobs(job)
    parts: list[Job | SubJob] = [*job.subjobs.values()] or [job]
    cuts = [(tuple(subjob.input_files), tuple(subjob.args)) for subjob in parts]
    return [Cut(own, args, task_print(base, own, args)) for own, args in cuts]


def task_print(base: str, files: Sequence[str], args: Sequence[str]) -> str:
    """What the result of one task depends on."""
    return prints.combined([base, *map(prints.file_print, files), "args", *args])


def cut_again(
    part: ResolvedCollection, base: str, aside: Container[str], left: Sequence[Left]
) -> tuple[list[Cut], Layout | None]:
    """The tasks of a collection so that as many as possible have been done, and which these are."""
    known = {task_print(base, one.files, one.args): one for one in reversed(left)}
    around = together([file for file in part.files.files if file not in aside], left)
    cuts = cut(part, base, aside, around)
    done = {one.files for one in cuts if one.fingerprint in known}
    if not done.issuperset(around):
        # A splitter of its own mind, or arguments that depend on the number of the task.
        cuts, around = cut(part, base, aside), []
    rows = [_row(known.get(one.fingerprint), one, is_around=one.files in around) for one in cuts]
    return cuts, rows if any(rows) else None


def _row(left: Left | None, one: Cut, *, is_around: bool) -> list[Any] | None:
    if left is None:
        return None
    return [left.directory, left.outputs, one.fingerprint, list(one.files), list(one.args), is_around]


def groups_of(layout: Layout | None) -> list[list[str]]:
    """The groups of files around which a collection was cut."""
    return [row[3] for row in layout or () if row is not None and len(row) > 3 and row[5]]


def together(files: Sequence[str], left: Sequence[Left]) -> list[tuple[str, ...]]:
    """The groups of files that still stand next to one another, in their old order; the largest first
    where they share files, so that data keep the canonical order whatever is kept."""
    place = {file: number for number, file in enumerate(files)}
    taken: set[str] = set()
    found = []
    for one in sorted(left, key=lambda one: -len(one.files)):
        begin = place.get(one.files[0]) if one.files else None
        if begin is None or tuple(files[begin : begin + len(one.files)]) != one.files:
            continue
        if taken.isdisjoint(one.files):
            taken.update(one.files)
            found.append(one.files)
    return sorted(found, key=lambda group: place[group[0]])


def note_selection(one: Resolved, directory: Path) -> None:
    """Write down which runs were wanted of a job."""
    write_json(directory / SELECTION_FILE, one.selection.to_json())


def left_of(
    service: JobService, one: Resolved, part: ResolvedCollection, job: StoredJob, constants: str
) -> Iterator[Left]:
    """What is left of a job that was taken up again, as far as it would come out the same today.

    Args:
        service: Knows the job.
        one: The calibration.
        part: The collection.
        job: The job.
        constants: Fingerprint of what the collectors see.
    """
    selection = _selection(one, job)
    if not _narrower(one.selection, selection):
        return
    collector = part.collection.collector
    begin = len(collector.cmd) if isinstance(collector, CommandCollector) else 0
    base = prints.combined([prints.collection_print(one, part, selection), constants])
    whole = {half: split.parent for split in read_splits(job.directory) for half in split.children}
    outputs = {
        index: (str(directory), list(files))
        for index, directory, files in service.outputs(job.key, skip=True)
    }
    for index, line in zip(outputs, read_tasks(job.directory, outputs), strict=True):
        task = index
        while task in whole:
            task = whole[task]
        cut_as = line if task == index else read_task(job.directory, task)
        left = Left(*outputs[index], tuple(line["input_files"]), tuple(line["argv"][begin:]))
        if task_print(base, cut_as["input_files"], left.args) == line["fingerprint"]:
            yield from _still_wanted(one, left, selection)
    for row in job.layout or ():
        if row is not None and len(row) > 3 and task_print(base, row[3], row[4]) == row[2]:
            yield from _still_wanted(one, Left(row[0], row[1], tuple(row[3]), tuple(row[4])), selection)


def _selection(one: Resolved, job: StoredJob) -> RunSelection:
    path = job.directory / SELECTION_FILE
    return (
        RunSelection.from_json(json.loads(path.read_text(encoding="utf-8")))
        if path.exists()
        else one.selection
    )


def _narrower(new: RunSelection, old: RunSelection) -> bool:
    """Whether nothing is wanted now that was not wanted then."""
    if not new.ignored >= old.ignored:
        return False
    return old.requested is None or (new.requested is not None and old.requested.contains(new.requested))


def _still_wanted(one: Resolved, left: Left, selection: RunSelection) -> Iterator[Left]:
    """A task that found wanted runs only would do the same if fewer others were wanted."""
    if not is_whole(left.directory, left.outputs):
        return
    if selection != one.selection:
        try:
            runs = read_runs_file(Path(left.directory) / RUNS_FILE).runs
        except AlgorithmError:
            return
        if not all(map(one.selection.wants, runs)):
            return
    yield left
