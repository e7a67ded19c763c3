"""Whole processes: an empty calibration and its iterations, and the command line."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measuring import PROGRAMS, in_turns, output, seconds
from sizes import Sizes
from table import Row

CAF = Path(sys.executable).with_name("caf")


def rows(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """All rows of this subject."""
    yield from _empty_calibration(sizes, folder)
    yield _help(sizes)
    yield from _many_tasks(sizes, folder)


def _empty_calibration(sizes: Sizes, folder: Path) -> Iterator[Row]:
    further = sizes.iterations - 1

    def execute(iterations: int) -> float:
        directory = tempfile.mkdtemp(prefix="empty-", dir=folder)
        return seconds([sys.executable, PROGRAMS / "empty.py", directory, iterations])

    execute(1)  # writes the bytecode
    short, long, bare = in_turns(
        sizes.rounds,
        lambda _: execute(1),
        lambda _: execute(1 + further),
        lambda _: seconds([sys.executable, "-c", "pass"]),
    )
    each = tuple((b - a) / further for a, b in zip(short, long, strict=True))
    what = "one trivial Python collector task, one algorithm; from the start of the interpreter to its end"
    yield Row("empty calibration, whole process", tuple(short), "s", 0.6, note=what)
    yield Row("each further iteration", each, "s", 0.05, note=f"{1 + further} iterations less one, in pairs")
    yield Row("(an empty Python process)", tuple(bare), "s")


def _help(sizes: Sizes) -> Row:
    output([CAF, "--help"])
    (values,) = in_turns(sizes.rounds, lambda _: seconds([CAF, "--help"]))
    return Row("caf --help", tuple(values), "s", 0.2)


def _many_tasks(sizes: Sizes, folder: Path) -> Iterator[Row]:
    tasks, directory = sizes.many, folder / "many"
    script = [sys.executable, PROGRAMS / "many_tasks.py", directory, tasks]
    first = seconds(script)
    status, again = in_turns(
        sizes.rounds, lambda _: seconds([CAF, "status", "-p", directory]), lambda _: seconds(script)
    )
    yield Row(f"caf status at {tasks:,} tasks", tuple(status), "s", 0.3)
    yield Row(
        f"a calibration of {tasks:,} tasks from beginning to end", (first,), "s", note="each writes runs.json"
    )
    yield Row(f"the same again, all done ({tasks:,} tasks)", tuple(again), "s", note="the whole process")
