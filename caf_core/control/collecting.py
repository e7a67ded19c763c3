"""The collector step of an iteration: from collections to jobs, and from what the jobs left to an index."""

from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import attrs
from attrs import evolve, frozen

from caf_core.calibration.collector import RUNS_FILE, CommandCollector
from caf_core.calibration.execution import CollectKit, dotted
from caf_core.calibration.execution import collect as collect_entry
from caf_core.calibration.files import write_atomically, write_json
from caf_core.control import prints, quarantine
from caf_core.control.catalogue import Catalogue
from caf_core.control.context import Workshop
from caf_core.control.preloading import preloads, script_path
from caf_core.control.resolved import Resolved, ResolvedCollection
from caf_core.control.store.store import StoredJob
from caf_core.jobs.files import read_tasks
from caf_core.jobs.model import Job, SubJob
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.service import JobRequest
from caf_core.jobs.task import Call, TaskSpec

KIND = "collector"
JOB_FILE = "job.json"


Layout = list[Any]
"""For each task that a collection is cut into: [directory, files, fingerprint] of the completed attempt of an
earlier job that is used again, or ``None`` for a task of the job itself."""


@frozen
class Cut:
    """One task to be: its files and arguments, and what its result depends on."""

    files: tuple[str, ...]
    args: tuple[str, ...]
    fingerprint: str


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
    base = prints.combined([prints.collection_print(one, part), shop.chain(chain).fingerprint()])
    aside = quarantine.set_aside(one, part.name, iteration)
    cuts = list(_cut(part, base, aside))
    whole = prints.combined(cut.fingerprint for cut in cuts)
    earlier = [job for job in shop.store.jobs(one.name, iteration, KIND) if job.name == part.name]
    if earlier and earlier[-1].fingerprint == whole:
        request = _request(one, part, earlier[-1].key, earlier[-1].directory, earlier[-1].layout)
        if shop.service.resume(request):
            if shop.service.status(request.key).failures:
                shop.service.retry_failed(request.key)
            return request.key
        layout, todo = earlier[-1].layout, _todo(cuts, earlier[-1].layout)
    else:
        reusable = _reusable(shop, one, part, earlier[-1]) if earlier else {}
        layout = [reusable.get(cut.fingerprint) for cut in cuts] if reusable else None
        todo = _todo(cuts, layout)
        if earlier:
            shop.say(
                f"{one.name}: what collection {part.name!r} depends on has changed; {len(todo)} of "
                f"{len(cuts)} task(s) are executed again."
            )
        request = _new_request(one, part, iteration, len(earlier), layout)
        shop.store.begin_job(
            StoredJob(request.key, one.name, iteration, KIND, part.name, request.directory, whole, layout),
            request.backend,
        )
    shop.service.submit(request, _specs(shop, one, part, iteration, request.directory, todo, chain))
    return request.key


def _todo(cuts: list[Cut], layout: Any) -> list[Cut]:
    return [cut for number, cut in enumerate(cuts) if layout is None or layout[number] is None]


def _new_request(
    one: Resolved, part: ResolvedCollection, iteration: int, generation: int, layout: Layout | None
) -> JobRequest:
    first = one.collector_dir(iteration) / part.name
    # A job may be left over from a checkpoint that was moved away.
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


def _min_fraction(wanted: float, layout: Layout | None) -> float:
    """The fraction of a job's own tasks that must succeed; those of an earlier job that are used again
    have."""
    rows = layout or []
    todo = rows.count(None)
    if todo in (0, len(rows)):
        return wanted
    return max(0.0, round((wanted * len(rows) - (len(rows) - todo)) / todo, 9))


def _cut(part: ResolvedCollection, base: str, aside: Container[str]) -> Iterator[Cut]:
    """The tasks of a collection, in the order of its files, those left out that are set aside."""
    files = [file for file in part.files.files if file not in aside]
    job = Job(part.name, cmd=["true"], input_files=files, splitter=part.splitter)
    part.splitter.create_subjobs(job)
    parts: list[Job | SubJob] = [*job.subjobs.values()] or [job]
    for subjob in parts:
        own, args = tuple(subjob.input_files), tuple(subjob.args)
        yield Cut(own, args, prints.combined([base, *map(prints.file_print, own), "args", *args]))


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
    for index, cut in enumerate(cuts):
        yield evolve(
            template,
            output_dir=directory / str(index),
            argv=(*template.argv, *cut.args),
            input_files=cut.files,
            # The node writes the list only where there are files; a command is promised it in any case.
            json_files={} if cut.files or not template.argv else {"input_files.json": []},
            fingerprint=cut.fingerprint,
        )


def _template(
    shop: Workshop, one: Resolved, part: ResolvedCollection, iteration: int, directory: Path, chain: list[str]
) -> TaskSpec:
    """What all tasks of a collection have in common."""
    collector, collection = part.collection.collector, part.collection
    directory.mkdir(parents=True, exist_ok=True)
    patterns = tuple(collection.output_patterns)
    if isinstance(collector, CommandCollector):
        shared = _shared_files(shop, one, part, iteration, directory, chain)
        return TaskSpec(
            output_dir=directory,
            argv=collector.cmd,
            setup_cmds=collector.setup_cmds,
            sandbox=(*collector.sandbox, *shared),
            env=collector.env,
            output_patterns=patterns,
        )
    path = one.output_dir / "kits" / f"{part.name}-{prints.collection_print(one, part)}.pickle"
    if path not in shop.packed:
        write_atomically(path, CollectKit(collector, collection.params, one.name, part.name).pack())
        shop.packed.add(path)
    call = Call(
        dotted(collect_entry),
        {
            "kit": str(path),
            "selection": one.selection.to_json(),
            "iteration": iteration,
            "chain": chain,
            "doors": attrs.asdict(shop.doors),
        },
        preload=preloads(shop.registry, one),
        path=script_path(),
    )
    return TaskSpec(output_dir=directory, call=call, output_patterns=(RUNS_FILE, *patterns))


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


def _reusable(
    shop: Workshop, one: Resolved, part: ResolvedCollection, job: StoredJob
) -> dict[str, list[Any]]:
    """What is left of an earlier job: fingerprint of a task -> [directory, files] of its completed
    attempt."""
    request = _request(one, part, job.key, job.directory, job.layout)
    if not shop.service.resume(request):
        return {}
    shop.service.cancel(request.key)
    size = shop.service.status(request.key).total
    names = {line["task"]: line["fingerprint"] for line in read_tasks(job.directory, range(size))}
    found = {
        names[index]: [str(directory), list(files)]
        for index, directory, files in shop.service.outputs(request.key)
        if index in names
    }
    for row in job.layout or ():
        if row is not None:
            found[row[2]] = row[:2]
    return {name: [*row, name] for name, row in found.items() if Path(str(row[0])).is_dir()}


def cuts_of(part: ResolvedCollection) -> int:
    """Into how many tasks a collection is cut."""
    return sum(1 for _ in _cut(part, "", ()))
