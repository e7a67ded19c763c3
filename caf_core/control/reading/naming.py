"""Tasks and executions by the names that people use: ``default/3``, ``Fit/0_0.0_2``."""

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from attrs import frozen

from caf_core.calibration.journal import Recorded, journals, newest
from caf_core.control.reading.overview import COLLECTOR_KINDS, Reader
from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun
from caf_core.jobs.files import read_job


@frozen
class Work:
    """A task of a collection, or an execution of an algorithm, which happened in a task.

    Args:
        name: Collection and number, or algorithm and key.
        calibration: Its calibration.
        iteration: Its iteration.
        job: Key of its job.
        index: Its number in the job.
        directory: The job's directory.
        backend: The job's backend.
        execution: What is recorded of it, if it is an execution.
    """

    name: str
    calibration: str
    iteration: int
    job: str
    index: int
    directory: Path
    backend: str
    execution: Recorded | None = None


def known_calibrations(store: Reader) -> list[str]:
    """Calibrations, and the names of jobs without one."""
    table = store.models.Calibration
    names = [row.name for row in table.select(table.name).order_by(table.position)]
    jobs = store.rows("SELECT DISTINCT calibration FROM job WHERE kind = 'submission'")
    return list(dict.fromkeys([*names, *(name for (name,) in jobs)]))


def check_calibration(store: Reader, name: str) -> None:
    """Refuse a calibration that does not exist.

    Raises:
        ConfigurationError: With those that do.
    """
    known = known_calibrations(store)
    if name not in known:
        raise ConfigurationError(
            f"there is no calibration {name!r} in this output directory; there is: "
            f"{', '.join(known) or 'none'}."
        )


def meant(store: Reader, first: str | None, second: str | None = None) -> tuple[str, str | None]:
    """Calibration and task that one or two words of a command line mean.

    Args:
        store: The checkpoint.
        first: A calibration, which may be left out where there is one only: then the task, or nothing.
        second: A task or execution behind a calibration.
    Raises:
        ConfigurationError: If there is no such calibration, or there are several and none is named.
    """
    known = known_calibrations(store)
    if first is None or (second is None and first not in known and _is_task(first)):
        if len(known) != 1:
            raise ConfigurationError(
                f"say which calibration is meant; there is: {', '.join(known) or 'none'}."
            )
        return known[0], first
    check_calibration(store, first)
    return first, second


def _is_task(word: str) -> bool:
    return word.isdecimal() or "/" in word or ":" in word


def find_work(store: Reader, calibration: str, name: str, iteration: int | None = None) -> Work:
    """The task or execution that a name means, in the last iteration that has it.

    Args:
        store: The checkpoint.
        calibration: The calibration.
        name: As ``Work.name``; the number alone will do where there is one collection, and the end of an ask
            where it is clear.
        iteration: The iteration that is meant.
    Raises:
        ConfigurationError: If there is none, or the name is not clear; it says which there are.
    """
    check_calibration(store, calibration)
    everything = [work for work in executions(store, calibration) if iteration in (None, work.iteration)]
    jobs = [job for job in _jobs(store, calibration) if iteration in (None, job.iteration)]
    found = _task(store, jobs, name)
    if found is None:
        exact = [work for work in everything if work.name == name]
        loose = {work.name: work for work in everything if _means(work.name, name)}
        if not exact and len(loose) > 1:
            raise ConfigurationError(
                f"{name!r} can mean {', '.join(sorted(loose))}; write one of these names."
            )
        found = next(reversed(exact or list(loose.values())), None)
    if found is None:
        raise ConfigurationError(_unknown(store, calibration, name, jobs, everything))
    return found


def task(store: Reader, job: Any, index: int) -> Work:
    """A task of a stored job."""
    return Work(
        f"{job.name}/{index}",
        job.calibration,
        job.iteration,
        job.key,
        index,
        store.place(job.directory),
        job.backend,
    )


def executions(store: Reader, calibration: str, iteration: int | None = None) -> list[Work]:
    """All executions of a calibration, or of one iteration, that are recorded or have begun, oldest first."""
    table, found = store.models.Execution, {}
    jobs = {store.place(job.directory): job for job in plan_jobs(store, calibration)}
    wanted = table.calibration == calibration
    if iteration is not None:
        wanted &= table.iteration == iteration
    for row in table.select().where(wanted).order_by(table.iteration, table.time):
        runs = tuple(ExpRun(exp, run) for exp, run in json.loads(row.runs))
        answer = json.loads(row.answer)
        log = tuple(answer.get("log", (0, None)))
        one = Recorded(row.ask, runs, row.iov, store.place(row.directory), log, answer)
        found[row.iteration, row.algorithm, row.ask] = one
    # What is over is recorded as it was taken in; what earlier jobs left answers former plans.
    last = {(job.iteration, job.name): directory for directory, job in jobs.items()}
    for (number, algorithm), directory in last.items():
        if iteration in (None, number):
            over = is_over(store, calibration, number)
            for one in newest(journals(directory), lambda _: True).values():
                known = found.get((number, algorithm, one.key))
                if known.directory == one.directory if known else one.answer is None or not over:
                    found[number, algorithm, one.key] = one
    work = [
        _execution(calibration, iteration, algorithm, one, jobs)
        for (iteration, algorithm, _), one in found.items()
    ]
    return sorted((one for one in work if one is not None), key=lambda one: one.iteration)


def is_over(store: Reader, calibration: str, iteration: int) -> bool:
    """Whether the algorithms of an iteration have ended, and nothing was begun again since."""
    return bool(store.rows(_OVER, (calibration, iteration)))


_OVER = """
    SELECT 1 FROM iteration WHERE calibration = ? AND number = ? AND ended >= (
        SELECT coalesce(max(created), 0) FROM job WHERE kind = 'execution'
        AND job.calibration = iteration.calibration AND job.iteration = iteration.number)"""


def plan_jobs(store: Reader, calibration: str) -> list[Any]:
    """The jobs that carry out plans, oldest first."""
    table = store.models.Job
    rows = table.select().where((table.calibration == calibration) & (table.kind == "execution"))
    return list(rows.order_by(table.iteration, table.created))


def _execution(
    calibration: str, iteration: int, algorithm: str, one: Recorded, jobs: Mapping[Path, Any]
) -> Work | None:
    """An execution; ``None`` if the job in which it happened is not known any more.

    Args:
        calibration: Its calibration.
        iteration: Its iteration.
        algorithm: Its algorithm.
        one: What is recorded of it.
        jobs: The jobs, by directory.
    """
    for directory in one.directory.parents:
        if (job := jobs.get(directory)) is not None:
            number = one.directory.relative_to(directory).parts[0]
            return Work(
                execution_name(algorithm, one.key),
                calibration,
                iteration,
                job.key,
                int(number) if number.isdecimal() else 0,
                directory,
                job.backend,
                one,
            )
    return None


def execution_name(algorithm: str, key: str) -> str:
    """The name of an execution; its key is written as its folder is called."""
    return f"{algorithm}/{key.replace('/', '_')}"


def _jobs(store: Reader, calibration: str) -> list[Any]:
    """The jobs of collections, oldest first."""
    table = store.models.Job
    rows = table.select().where((table.calibration == calibration) & table.kind.in_(COLLECTOR_KINDS))
    return list(rows.order_by(table.iteration, table.created))


def _task(store: Reader, jobs: Iterable[Any], name: str) -> Work | None:
    collection, _, number = name.rpartition("/")
    if not number.isdecimal():
        return None
    jobs = list(jobs)
    names = {job.name for job in jobs}
    if not collection and len(names) == 1:
        collection = names.pop()
    for job in reversed(jobs):
        if job.name == collection and int(number) < _size(store, job):
            return task(store, job, int(number))
    return None


def _size(store: Reader, job: Any) -> int:
    """How many tasks a job has, halves of split ones included."""
    directory = store.place(job.directory)
    index, files = directory / "tasks.idx", read_job(directory)
    return max(files.size if files else 0, index.stat().st_size // 21 if index.exists() else 0)


def _means(full: str, name: str) -> bool:
    algorithm, _, ask = full.partition("/")
    wanted, slash, end = name.replace(":", "/").partition("/")
    end = end.replace("/", "_")
    return (
        bool(slash)
        and wanted == algorithm
        and (ask == end or ask.endswith(f"_{end}") or ask.replace(".0", "") == end)
    )


def _unknown(store: Reader, calibration: str, name: str, jobs: list[Any], everything: list[Work]) -> str:
    sizes: Mapping[str, int] = {job.name: _size(store, job) for job in jobs}
    tasks = [f"{collection}/0 to {collection}/{size - 1}" for collection, size in sizes.items() if size]
    names = list(dict.fromkeys(work.name for work in everything))
    close = get_close_matches(name, names, n=3) or names[:3]
    others = f", ... ({len(names)} executions)" if len(names) > len(close) else ""
    if jobs and not tasks:
        tasks = ["no tasks any more (keep_collector_output, or caf tidy)"]
    known = "; ".join([*tasks, *([", ".join(close) + others] if close else [])]) or "nothing yet"
    return f"calibration {calibration!r} has no task or execution {name!r}; it has: {known}."


def runs_text(runs: Iterable[ExpRun]) -> str:
    """Runs as text: ``1,0 1,1``; many are cut."""
    pairs = [f"{exp},{run}" for exp, run in runs]
    return (
        " ".join(pairs) if len(pairs) <= 8 else f"{' '.join(pairs[:4])} ... {pairs[-1]} ({len(pairs)} runs)"
    )
