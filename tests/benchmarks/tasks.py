"""Tasks of ``true``, and of a Python collector, on this machine: caf beside what else one would take."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from measuring import MissingTool, in_turns, program, seconds
from sizes import Sizes
from table import Row

SLOTS = os.cpu_count() or 1
COMPARED = (
    f"every tool executes `bash task.sh N` once a task, {SLOTS} at a time, with the same task.sh, "
    "which holds the word true; caf does so as a job with checkpoint, claims, attempt directories, logs and "
    "exit records, timed from before its resident process starts until the checkpoint says that all has ended"
)
PREPARED = "the clock starts when its executor or cluster stands"
RIVALS = {
    "multiprocessing.Pool": "as the old CAF does; the clock starts before the pool does",
    "dask": PREPARED,
    "psij-python": f"{PREPARED}, and it keeps no slots",
}

Contender = Callable[[int], float]


def rows(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """All rows of this subject."""
    script = folder / "task.sh"
    script.write_text("#!/bin/bash\ntrue\n")
    yield from _tasks_of_true(sizes.few_tasks, sizes.rounds, script, tuple(RIVALS), parallel=True)
    yield from _tasks_of_true(
        sizes.many_tasks, sizes.long_rounds, script, ("multiprocessing.Pool",), parallel=False
    )
    yield from _python_tasks(sizes)


def _tasks_of_true(
    size: int, rounds: int, script: Path, rivals: tuple[str, ...], *, parallel: bool
) -> Iterator[Row]:
    cpu: list[float] = []

    def caf(_: int) -> float:
        answer = program("local_tasks", "true", size, SLOTS, script)
        cpu.append(1000 * answer["cpu"] / size)
        return float(size / answer["seconds"])

    contenders: dict[str, Contender] = {"caf": caf, "xargs -P": lambda _: _xargs(size, script)}
    missing: list[Row] = []
    candidates: dict[str, Contender] = {name: _rival(name, size, script) for name in rivals}
    if parallel:
        candidates["GNU parallel"] = lambda _: _parallel(size, script)
    for name, contender in candidates.items():
        try:
            contender(-1)
            contenders[name] = contender
        except MissingTool as reason:
            missing.append(Row(f"{size:,} × true: {name}", note=str(reason)))
    found = dict(zip(contenders, in_turns(rounds, *contenders.values()), strict=True))
    ratio = tuple(ours / theirs for ours, theirs in zip(found["caf"], found["xargs -P"], strict=True))
    yield Row(f"{size:,} × true: caf on Local", tuple(found["caf"]), "tasks/s", note=COMPARED)
    for name in list(contenders)[1:]:
        yield Row(f"{size:,} × true: {name}", tuple(found[name]), "tasks/s", note=RIVALS.get(name, ""))
    yield from missing
    yield Row(f"{size:,} × true: caf / xargs", ratio, "", 0.9, at_least=True)
    yield Row(f"{size:,} × true: controller's CPU a task", tuple(cpu), "ms", 0.5)


def _rival(name: str, size: int, script: Path) -> Contender:
    return lambda _: size / program("rivals", name, size, SLOTS, script)["seconds"]


def _xargs(size: int, script: Path) -> float:
    numbers = "\n".join(map(str, range(size)))
    return size / seconds(["xargs", "-P", SLOTS, "-n", 1, "bash", script], input=numbers)


def _parallel(size: int, script: Path) -> float:
    path = shutil.which("parallel")
    if path is None:
        raise MissingTool("GNU parallel is not installed")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    if "GNU parallel" not in version:
        raise MissingTool("the program parallel here is not GNU's")
    numbers = "\n".join(map(str, range(size)))
    return size / seconds([path, "--will-cite", "-j", SLOTS, "bash", script], input=numbers)


def _python_tasks(sizes: Sizes) -> Iterator[Row]:
    size = sizes.python_tasks
    answers = [program("local_tasks", "python", size, SLOTS) for _ in range(sizes.long_rounds)]
    each = tuple(1000 * SLOTS * answer["seconds"] / size for answer in answers)
    yield Row(
        f"{size:,} Python collectors on Local, each beyond its own work",
        each,
        "ms",
        10,
        note=f"time × {SLOTS} slots / tasks; each imports uproot, hist and iminuit, which are preloaded, "
        "puts one number, and has a kit, a chain, a claim, a log and a record; without the first task",
    )
    first = tuple(answer["first"] for answer in answers)
    yield Row("the first Python collector", first, "s", note="starts the resident process and its preload")
