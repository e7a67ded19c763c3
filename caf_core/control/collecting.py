"""The collector step of an iteration: from collections to jobs, and from what the jobs left to an index."""

from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import attrs
from attrs import evolve

from caf_core.calibration.collector import RUNS_FILE, CommandCollector
from caf_core.calibration.execution import CollectKit, dotted
from caf_core.calibration.execution import collect as collect_entry
from caf_core.calibration.files import write_atomically, write_json
from caf_core.conditions.database import items_of
from caf_core.conditions.local import LocalDatabase
from caf_core.control import prints, quarantine
from caf_core.control.adopting import end_earlier, tell_place, where_it_is
from caf_core.control.catalogue import Catalogue
from caf_core.control.context import Workshop
from caf_core.control.preloading import preloads, script_path
from caf_core.control.resolved import Resolved, ResolvedCollection
from caf_core.control.reuse import Cut, Layout, Left, cut, cut_again, groups_of, left_of, note_selection
from caf_core.control.store.store import StoredJob
from caf_core.control.verifying import is_whole
from caf_core.jobs.ledger import TaskState
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.service import JobRequest
from caf_core.jobs.task import Call, TaskSpec

KIND = "collector"
JOB_FILE = "job.json"


def submit(shop: Workshop, catalogue: Catalogue, one: Resolved, iteration: int) -> dict[str, str]:
    """Submit the jobs of all collections, or take them up where an earlier process left them.

    Returns:
        Name of the collection -> key of its job.
    """
    return {part.name: _submit_one(shop, catalogue, one, part, iteration) for part in one.collections}


def _submit_one(
    shop: Workshop, catalogue: Catalogue, one: Resolved, part: ResolvedCollection, iteration: int
) -> str:
    chain = catalogue.collector_chain(one, part.chain, iteration)
    constants = shop.chain(chain).fingerprint()
    base = prints.combined([prints.collection_print(one, part), constants])
    aside = quarantine.set_aside(one, part.name, iteration)
    earlier = [job for job in shop.store.jobs(one.name, iteration, KIND) if job.name == part.name]
    layout = earlier[-1].layout if earlier else None
    cuts = cut(part, base, aside, groups_of(layout))
    same = bool(earlier) and earlier[-1].fingerprint == _whole(cuts)
    request = _earlier_request(shop, one, part, earlier[-1]) if earlier else None
    resumed = request is not None and same and shop.service.resume(request)
    lost = _lost(shop, earlier[-1], resumed=resumed) if same else 0
    if request is not None and resumed and not lost:
        tell_place(shop, earlier[-1], request, one.backend)
        _kit(shop, one, part)
        if shop.service.status(request.key).failures:
            shop.service.retry_failed(request.key)
        return request.key
    if request is None or not same or lost:
        if earlier:
            known = {earlier[-1].key} if resumed else set()
            cuts, layout = cut_again(part, base, aside, _left(shop, one, part, earlier, constants, known))
            why = (
                f"output of {lost} task(s) of collection {part.name!r} is gone"
                if same
                else f"what collection {part.name!r} depends on has changed"
            )
            shop.say(
                f"{one.name}: {why}; {len(_todo(cuts, layout))} of {len(cuts)} task(s) are executed again."
            )
        request = _new_request(one, part, iteration, len(earlier), layout)
        shop.store.begin_job(
            StoredJob(
                request.key, one.name, iteration, KIND, part.name, request.directory, _whole(cuts), layout
            ),
            request.backend,
        )
    note_selection(one, request.directory)
    todo = _todo(cuts, layout)
    shop.service.submit(request, _specs(shop, one, part, iteration, request.directory, todo, chain))
    return request.key


def _whole(cuts: list[Cut]) -> str:
    return prints.combined(one.fingerprint for one in cuts)


def _todo(cuts: list[Cut], layout: Any) -> list[Cut]:
    return [one for number, one in enumerate(cuts) if layout is None or layout[number] is None]


def _new_request(
    one: Resolved, part: ResolvedCollection, iteration: int, generation: int, layout: Layout | None
) -> JobRequest:
    first = one.collector_dir(iteration) / part.name
    # A job may be left over from a checkpoint that was moved away, or may not have ended yet.
    while (first / _again(generation) / JOB_FILE).exists():
        generation += 1
    key = f"{one.name}/{iteration}/{part.name}"
    key, directory = f"{key}/{_again(generation)}".rstrip("/"), first / _again(generation)
    return _request(one, part, key, directory, layout)


def _again(generation: int) -> str:
    return f"again-{generation}" if generation else ""


def _request(
    one: Resolved, part: ResolvedCollection, key: str, directory: Path, layout: Layout | None
) -> JobRequest:
    collection = part.collection
    return JobRequest(
        key=key,
        name=f"{one.name}_{part.name}",
        directory=directory,
        backend=one.backend,
        resources=collection.resources.or_else(one.settings["resources"]),
        backend_args={**one.settings["backend_args"], **collection.backend_args},
        retry=one.settings["retry"] if collection.retry == RetryPolicy() else collection.retry,
        min_fraction=_min_fraction(collection.min_fraction, layout),
    )


def _earlier_request(shop: Workshop, one: Resolved, part: ResolvedCollection, job: StoredJob) -> JobRequest:
    return where_it_is(shop, _request(one, part, job.key, job.directory, job.layout))


def _min_fraction(wanted: float, layout: Layout | None) -> float:
    """The fraction of a job's own tasks that must succeed; those of an earlier job that are used again
    have."""
    rows = layout or []
    todo = rows.count(None)
    if todo in (0, len(rows)):
        return wanted
    return max(0.0, round((wanted * len(rows) - (len(rows) - todo)) / todo, 9))


def _specs(
    shop: Workshop,
    one: Resolved,
    part: ResolvedCollection,
    iteration: int,
    directory: Path,
    cuts: list[Cut],
    chain: list[str],
) -> Iterator[TaskSpec]:
    template = _template(shop, one, part, iteration, directory, chain)
    for index, task in enumerate(cuts):
        yield evolve(
            template,
            output_dir=directory / str(index),
            argv=(*template.argv, *task.args),
            input_files=task.files,
            # The node writes the list only where there are files; a command is promised it in any case.
            json_files={} if task.files or not template.argv else {"input_files.json": []},
            fingerprint=task.fingerprint,
        )


def _template(
    shop: Workshop, one: Resolved, part: ResolvedCollection, iteration: int, directory: Path, chain: list[str]
) -> TaskSpec:
    """What all tasks of a collection have in common."""
    collector, collection = part.collection.collector, part.collection
    directory.mkdir(parents=True, exist_ok=True)
    patterns = tuple(collection.output_patterns)
    if isinstance(collector, CommandCollector):
        # Where nothing is said, all that it leaves is looked at when the outputs are gathered.
        patterns = patterns or ("*",)
        files = [
            _with_files(shop, url, directory / "shared" / f"constants-{number}")
            for number, url in enumerate(chain)
        ]
        shared = _shared_files(shop, one, part, iteration, directory, files)
        return TaskSpec(
            output_dir=directory,
            argv=collector.cmd,
            setup_cmds=collector.setup_cmds,
            sandbox=(*collector.sandbox, *shared),
            env=collector.env,
            output_patterns=patterns,
        )
    call = Call(
        dotted(collect_entry),
        {
            "kit": str(_kit(shop, one, part)),
            "selection": one.selection.to_json(),
            "iteration": iteration,
            "chain": chain,
            "doors": attrs.asdict(shop.doors),
        },
        preload=preloads(shop.registry, one),
        path=script_path(),
    )
    return TaskSpec(output_dir=directory, call=call, output_patterns=(RUNS_FILE, *patterns))


def _kit(shop: Workshop, one: Resolved, part: ResolvedCollection) -> Path:
    """Pack what the tasks of a collection share, once a process: the file may have been damaged since."""
    collector, collection = part.collection.collector, part.collection
    path = one.output_dir / "kits" / f"{part.name}-{prints.collection_print(one, part)}.pickle"
    if path not in shop.packed and not isinstance(collector, CommandCollector):
        write_atomically(path, CollectKit(collector, collection.params, one.name, part.name).pack(), own=True)
        shop.packed.add(path)
    return path


def _with_files(shop: Workshop, url: str, folder: Path) -> str:
    """A database with a file for each payload: a copy in a folder if this one is packed."""
    (database,) = shop.chain([url]).databases
    if not (isinstance(database, LocalDatabase) and database.packed):
        return url
    LocalDatabase(folder).write_encoded(items_of(database), durable=False)
    return str(folder)


def _shared_files(
    shop: Workshop, one: Resolved, part: ResolvedCollection, iteration: int, directory: Path, chain: list[str]
) -> list[Path]:
    """The JSON files that every task of a command collector finds beside its input files."""
    entries = []
    for url in chain:
        for database in shop.chain([url]).databases:
            paths = getattr(database, "path_of", None)
            entries += [
                {
                    "name": entry.name,
                    "iov": str(entry.iov),
                    "file": str(paths(entry)) if paths else None,
                    "database": url,
                }
                for entry in database.entries()
            ]
    contents: dict[str, Any] = {
        "wanted_runs.json": one.selection.to_json(),
        "conditions.json": {"iteration": iteration, "databases": chain, "payloads": entries},
        "parameters.json": dict(part.collection.params),
    }
    folder = directory / "shared"
    for name, content in contents.items():
        write_json(folder / name, content)
    return [folder / name for name in contents]


def _left(
    shop: Workshop,
    one: Resolved,
    part: ResolvedCollection,
    jobs: list[StoredJob],
    constants: str,
    resumed: Container[str],
) -> list[Left]:
    """What is left of the earlier jobs of a collection, of the newest first."""
    found: list[Left] = []
    for job in reversed(jobs):
        request = _earlier_request(shop, one, part, job)
        if job.key in resumed or shop.service.resume(request):
            shop.service.cancel(request.key)
            found += left_of(shop.service, one, part, job, constants)
    return found


def end_jobs(shop: Workshop, one: Resolved, iteration: int, kept: Container[str]) -> set[str]:
    """End the collectors of an iteration that nobody wants any more.

    Args:
        shop: The controller's tools.
        one: The calibration.
        iteration: The iteration.
        kept: The collections whose jobs go on.
    Returns:
        The collections that had some; until these have ended, they work in their folders.
    """
    jobs = [job for job in shop.store.jobs(one.name, iteration, KIND) if job.name not in kept]
    busy = [job for job in jobs if shop.store.is_busy(job.key)]
    for job in busy:
        end_earlier(shop, job)
    return {job.name for job in busy}


def _lost(shop: Workshop, job: StoredJob, *, resumed: bool) -> int:
    """How many tasks have completed, and their output is not there any more."""
    rows = [row for row in job.layout or () if row is not None]
    lost = sum(not is_whole(row[0], row[1]) for row in rows)
    if not resumed:
        return lost
    completed = sum(change.state is TaskState.COMPLETED for change in shop.service.tasks(job.key))
    outputs = shop.service.outputs(job.key, skip=True)
    return lost + completed - sum(is_whole(directory, files) for _, directory, files in outputs)


def cuts_of(part: ResolvedCollection) -> int:
    """Into how many tasks a collection is cut."""
    return len(cut(part, "", ()))
