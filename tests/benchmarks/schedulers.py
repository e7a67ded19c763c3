"""Real batch systems on this machine: caf beside the raw commands, and beside submitit."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from measuring import PROGRAMS, MissingTool, in_turns, output, program, seconds
from sizes import Sizes
from table import Row

sys.path.append(str(Path(__file__).parents[1]))

from clusters.starting import PORTS, NotHere, start

TITLES = {"htcondor": "HTCondor", "slurm": "Slurm"}
HELD = "tasks are held there, so that they take no time from what is measured"
TRIVIAL = "/bin/true as often, from the submit command until all have ended; there is one node of many slots"
SUBMIT_FILE = """executable = /bin/true
transfer_executable = false
request_memory = 64
log = {log}
{more}
queue {count}
"""


def rows(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """All rows of this subject."""
    for name in PORTS:
        before = dict(os.environ)
        try:
            os.environ.update(start(name).environment)
            yield from _rows(name, sizes, folder)
        except (NotHere, OSError, subprocess.SubprocessError) as reason:
            yield Row(
                f"{TITLES[name]}: everything", note=f"no real {TITLES[name]} can be started here: {reason}"
            )
        finally:
            os.environ.clear()
            os.environ.update(before)


def _rows(name: str, sizes: Sizes, folder: Path) -> Iterator[Row]:
    for size in sizes.submitted:
        yield from _submission(name, size, sizes, folder)
    yield _following(name, sizes)
    yield from _whole(name, sizes, folder)


def _submission(name: str, size: int, sizes: Sizes, folder: Path) -> Iterator[Row]:
    answers: list[dict[str, Any]] = []

    def caf(_: int) -> float:
        answers.append(program("scheduler", "submit", name, size))
        return float(answers[-1]["ours"])

    raw, ours = in_turns(sizes.long_rounds, lambda _: RAW[name](size, folder), caf)
    what = f"{TITLES[name]}: submitting {size:,} tasks"
    yield Row(f"{what}: the raw command", tuple(raw), "s", note=HELD)
    yield Row(f"{what}: caf's submit commands", tuple(one["theirs"] for one in answers), "s")
    yield Row(f"{what}: number of them", tuple(one["commands"] for one in answers), "", 1)
    yield Row(f"{what}: caf, beyond them", tuple(ours), "s", 0.3 if size <= 1000 else 1.0, note=BEYOND)
    yield Row(f"{what}: questions about the site", tuple(one["asked"] for one in answers), "s", note=ONCE)
    if name == "slurm":
        yield _submitit(what, size, sizes)


BEYOND = "the checkpoint, the files of the submission and the ids, until all tasks count as submitted"
ONCE = "asked once a process, before"


def _submitit(what: str, size: int, sizes: Sizes) -> Row:
    try:
        found = [program("submitit_array", size)["seconds"] for _ in range(sizes.long_rounds)]
    except MissingTool as reason:
        return Row(f"{what}: submitit's map_array", note=str(reason))
    return Row(f"{what}: submitit's map_array", tuple(found), "s", note="all of it, sbatch included")


def _following(name: str, sizes: Sizes) -> Row:
    found = [
        program("scheduler", "follow", name, sizes.followed)["seconds"] for _ in range(sizes.long_rounds)
    ]
    what = f"{TITLES[name]}: from the end of the last of {sizes.followed} tasks until it is known"
    return Row(what, tuple(found), "s", 3)


def _whole(name: str, sizes: Sizes, folder: Path) -> Iterator[Row]:
    size = sizes.whole

    def caf(_: int) -> float:
        directory = tempfile.mkdtemp(dir=folder)
        return seconds([sys.executable, PROGRAMS / "many_tasks.py", directory, size, name])

    raw, ours = in_turns(sizes.long_rounds, lambda _: TO_THE_END[name](size, folder), caf)
    more = tuple(b - a for a, b in zip(raw, ours, strict=True))
    yield Row(f"{TITLES[name]}: {size} trivial jobs, raw", tuple(raw), "s", note=TRIVIAL)
    yield Row(f"{TITLES[name]}: a calibration of {size} subjobs, whole process", tuple(ours), "s")
    yield Row(f"{TITLES[name]}: what the calibration adds to that", more, "s", 3)


def _sbatch(size: int, folder: Path, *words: str) -> str:
    script = folder / "trivial.sh"
    script.write_text("#!/bin/sh\nexec /bin/true\n")
    array = f"--array=0-{size - 1}"
    return output(["sbatch", "--parsable", array, "-o", "/dev/null", *words, script]).strip()


def _raw_slurm(size: int, folder: Path) -> float:
    begin = time.perf_counter()
    job = _sbatch(size, folder, "--hold")
    took = time.perf_counter() - begin
    output(["scancel", job])
    return took


def _slurm_to_the_end(size: int, folder: Path) -> float:
    begin = time.perf_counter()
    job = _sbatch(size, folder)
    _wait(lambda: not output(["squeue", "-h", "-j", job]).strip())
    return time.perf_counter() - begin


def _condor_submit(size: int, folder: Path, log: Path, more: str = "") -> str:
    description = folder / "trivial.sub"
    description.write_text(SUBMIT_FILE.format(log=log, more=more, count=size))
    return output(["condor_submit", "-terse", description]).partition(".")[0]


def _raw_htcondor(size: int, folder: Path) -> float:
    begin = time.perf_counter()
    cluster = _condor_submit(size, folder, folder / "raw.log", "requirements = false")
    took = time.perf_counter() - begin
    output(["condor_rm", cluster])
    return took


def _htcondor_to_the_end(size: int, folder: Path) -> float:
    log = Path(tempfile.mkdtemp(dir=folder)) / "trivial.log"
    begin = time.perf_counter()
    _condor_submit(size, folder, log)
    _wait(lambda: log.exists() and log.read_text().count("\n005 (") >= size)
    return time.perf_counter() - begin


def _wait(ended: Callable[[], bool], limit: float = 600.0) -> None:
    give_up = time.monotonic() + limit
    while not ended():
        if time.monotonic() > give_up:
            raise TimeoutError(f"the scheduler's own jobs have not ended within {limit:g} s")
        time.sleep(0.1)


RAW = {"slurm": _raw_slurm, "htcondor": _raw_htcondor}
TO_THE_END = {"slurm": _slurm_to_the_end, "htcondor": _htcondor_to_the_end}
