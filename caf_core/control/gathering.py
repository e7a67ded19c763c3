"""What the collectors of an iteration left, read from their run lists and written into one index."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from caf_core.calibration.collected import RunsFile, TaskOutput, read_runs_file, write_index
from caf_core.calibration.collector import DATA_FILE, RUNS_FILE
from caf_core.calibration.files import write_json
from caf_core.control import quarantine
from caf_core.control.catalogue import Catalogue
from caf_core.control.collecting import KIND
from caf_core.control.context import Workshop
from caf_core.control.origins import INPUTS_FILE, Notebook
from caf_core.control.resolved import Resolved, ResolvedCollection
from caf_core.control.store.store import StoredJob
from caf_core.control.verifying import note_data
from caf_core.errors import AlgorithmError, CafError
from caf_core.iov import ExpRun
from caf_core.jobs.files import read_splits, read_task, read_tasks
from caf_core.jobs.ledger import TaskState

MISSING_FILE = "missing.json"
COLLECTOR_OUTPUT = "CollectorOutput.root"


def gather(shop: Workshop, catalogue: Catalogue, one: Resolved, iteration: int) -> None:
    """Read what the collectors of an iteration left, and write the index, what the tasks had, and the list
    of what is missing.

    Raises:
        CafError: If a task left no run list, or no run has data.
    """
    outputs: list[TaskOutput] = []
    notebook = Notebook(shop)
    lost: list[str] = []
    aside: dict[str, dict[str, str]] = {}
    for part in one.collections:
        job = [job for job in shop.store.jobs(one.name, iteration, KIND) if job.name == part.name][-1]
        notebook.collection(part, catalogue.collector_chain(one, part.chain, iteration))
        for task, directory, files in _left(shop, job):
            kept = tuple(files)
            if part.collection.is_command and not part.collection.output_patterns:
                kept = _undeclared(one, part, Path(directory), kept)
            found = _runs_file(shop, one, part, Path(directory), kept)
            notebook.task(part, task, found)
            outputs.append(_task_output(part, Path(directory), kept, found))
        aside[part.name] = shop.service.quarantined(job.key)
        for file, reason in aside[part.name].items():
            shop.say(f"{one.name}: {file} of collection {part.name!r} is set aside ({reason})")
        lost += [f"{part.name}: input file {name}" for name in part.files.missing]
        lost += [
            f"{part.name}: input file {file}, set aside in an earlier iteration ({reason})"
            for file, reason in quarantine.set_aside(one, part.name, iteration).items()
        ]
        lost += [
            f"{part.name}: task {change.index} ({change.reason or change.failure}) with "
            f"{_inputs(job, change.index)}"
            for change in shop.service.tasks(job.key)
            if change.state is not TaskState.COMPLETED
        ]
    wanted = [
        evolve(out, runs={r: n for r, n in out.runs.items() if one.selection.wants(r)}) for out in outputs
    ]
    if not any(out.runs for out in wanted):
        raise AlgorithmError(_nothing_wanted(one, outputs), calibration=one.name, iteration=iteration)
    quarantine.note(one, iteration, aside)
    write_json(one.collector_dir(iteration) / MISSING_FILE, lost)
    note_data(one, iteration, wanted)
    write_json(one.collector_dir(iteration) / INPUTS_FILE, notebook.content())
    write_index(one.index_path(iteration), wanted)


def _inputs(job: StoredJob, index: int) -> str:
    """The input files of a task, for people."""
    return ", ".join(read_task(job.directory, index)["input_files"]) or "no input files"


def _nothing_wanted(one: Resolved, outputs: Sequence[TaskOutput]) -> str:
    found = sorted({run for out in outputs for run in out.runs})
    begin = (
        f"the collectors of calibration {one.name!r} found no run that is wanted in {len(outputs)} task(s)"
    )
    if not found:
        first = [f"{out.collection}/{out.directory.parent.name}" for out in outputs[:1]]
        look = shlex.join(["caf", "why", one.name, *first])
        return f"{begin}, as they found no run at all; look at what the first of them printed with: {look}"
    wanted = "all" if one.selection.requested is None else str(one.selection.requested)
    ignored = len(one.selection.ignored.intersection(found))
    return (
        f"{begin}: they found {len(found)} from {found[0]} to {found[-1]}, the requested interval is "
        f"{wanted}, and {ignored} of them are ignored; request another interval, or ignore fewer."
    )


def missing(one: Resolved, iteration: int) -> tuple[str, ...]:
    """What the collectors of an iteration did not deliver: tasks that failed within ``min_fraction``,
    files that were skipped."""
    return tuple(json.loads((one.collector_dir(iteration) / MISSING_FILE).read_text(encoding="utf-8")))


def _left(shop: Workshop, job: StoredJob) -> Iterable[tuple[Mapping[str, Any], str, list[str]]]:
    """What every task had, its directory and its files, in the canonical order."""
    outputs = list(shop.service.outputs(job.key))
    lines = read_tasks(job.directory, [index for index, _, _ in outputs])
    new = (
        (index, (line, str(directory), files))
        for (index, directory, files), line in zip(outputs, lines, strict=True)
    )
    if job.layout is None:
        yield from (item for _, item in new)
        return
    # A task that was split is known by its halves, which stand in its place.
    whole = {half: split.parent for split in read_splits(job.directory) for half in split.children}
    by_task: dict[int, list[tuple[Mapping[str, Any], str, list[str]]]] = {}
    for index, item in new:
        task = index
        while task in whole:
            task = whole[task]
        by_task.setdefault(task, []).append(item)
    tasks = iter(range(len(job.layout)))
    for row in job.layout:
        if row is None:
            yield from by_task.get(next(tasks), [])
        else:
            had = {"input_files": row[3] if len(row) > 3 else [], "fingerprint": row[2]}
            yield had, str(row[0]), list(row[1])


def _runs_file(
    shop: Workshop, one: Resolved, part: ResolvedCollection, directory: Path, files: tuple[str, ...]
) -> RunsFile:
    path = directory / RUNS_FILE
    return (
        read_runs_file(path) if path.exists() else RunsFile(_runs_of_files(shop, one, part, directory, files))
    )


def _task_output(
    part: ResolvedCollection, directory: Path, files: Iterable[str], found: RunsFile
) -> TaskOutput:
    own = tuple(name for name in files if name not in (RUNS_FILE, DATA_FILE))
    return TaskOutput(part.name, directory, own, found.runs, found.chunks)


def _undeclared(
    one: Resolved, part: ResolvedCollection, directory: Path, files: tuple[str, ...]
) -> tuple[str, ...]:
    """The outputs of a command of which nobody said what it leaves: a file with the name that collectors of
    basf2 write, or none.

    Raises:
        CafError: If it left other files, which would be lost.
    """
    left = tuple(name for name in files if name != RUNS_FILE)
    if left and COLLECTOR_OUTPUT not in left:
        raise CafError(
            f"calibration {one.name!r}, collection {part.name!r}: the command in {directory} left "
            f"{', '.join(map(repr, left[:5]))}{' ...' if len(left) > 5 else ''}, and nobody said which files "
            f"are its output; set the collection's output_patterns, such as [{left[0]!r}], or "
            f"[{RUNS_FILE!r}] if none of them."
        )
    return tuple(name for name in left if name == COLLECTOR_OUTPUT)


def _runs_of_files(
    shop: Workshop, one: Resolved, part: ResolvedCollection, directory: Path, files: tuple[str, ...]
) -> dict[ExpRun, int | None]:
    """The runs of a task that left no run list, as the plugins read them off its output files; nobody counted
    their entries."""
    runs: dict[ExpRun, int | None] = {}
    for name in files:
        iov = shop.registry.iov_of_file(str(directory / name))
        if iov is None or iov.exp_low != iov.exp_high or iov.run_low != iov.run_high:
            break
        runs[ExpRun(iov.exp_low, iov.run_low)] = None
    else:
        if files:
            return runs
    raise CafError(
        f"calibration {one.name!r}, collection {part.name!r}: the task in {directory} left no {RUNS_FILE}, "
        f"and no plugin can tell which run its "
        f"{len(files)} output file(s) hold; let the command write [[experiment, run, entries], ...] into "
        f"{RUNS_FILE}."
    )
