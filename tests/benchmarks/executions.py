"""Executions of algorithms, by the thousand, beside plain loops; and the demo beside a plain script."""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from measuring import PROGRAMS, in_turns, program, seconds
from sizes import Sizes
from table import Row

STRATEGIES = ("SimpleRunByRun", "SequentialRunByRun", "SequentialBoundaries", "SingleIOV")
WHOLE = (
    "caf.run() of a calibration with one collector task and one iteration, on this machine, sequential "
    "runner; ten numbers a run, and their mean"
)
BEYOND = "(caf.run() less caf.run() for one run, less a plain loop that unpickles the same data) / runs"
FIT = "a straight line through ten points by iminuit's migrad and hesse, SequentialRunByRun"
FORKED = "one process is forked, loops, and sends everything back at its end, as basf2's CAF does"
DEMO = (
    "docs/examples/muon_scale.py on existing files, whole processes with their imports; the script has the "
    "same building blocks, files and iterations in one loop, and keeps nothing"
)


def rows(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """All rows of this subject."""
    yield from _executions(sizes)
    yield from _fits(sizes)
    yield from _demo(sizes, folder)


def _executions(sizes: Sizes) -> Iterator[Row]:
    for strategy in STRATEGIES:
        one = program("executions", "caf", "mean", strategy, 1)["seconds"]
        each: dict[int, float] = {}
        for runs in sizes.executions:
            rounds = sizes.rounds_of(runs)
            found, loops = _beside(rounds, "mean", strategy, runs)
            what = f"{runs:,} runs, {strategy}"
            whole = tuple(answer["seconds"] for answer in found)
            budget = 10 if runs == 10_000 else None
            yield Row(f"{what}: the whole calibration", whole, "s", budget, note=WHOLE)
            if strategy != "SingleIOV":
                beyond = [1000 * (a - one - b) / runs for a, b in zip(whole, loops, strict=True)]
                yield Row(f"{what}: an execution beyond the loop", tuple(beyond), "ms", 0.5, note=BEYOND)
                each[runs] = median(whole) / runs
            yield from _costs(what, found, 1 if strategy == "SingleIOV" else runs)
        if len(each) > 1:
            few, many = min(each), max(each)
            what = f"{strategy}: time a run, {many:,} runs / {few:,} runs"
            yield Row(what, (each[many] / each[few],), "", 1.2)


def _beside(rounds: int, work: str, strategy: str, runs: int) -> tuple[list[dict[str, Any]], list[float]]:
    """What caf and a plain loop took, in turns."""
    found: list[dict[str, Any]] = []

    def caf(_: int) -> float:
        found.append(program("executions", "caf", work, strategy, runs))
        return float(found[-1]["seconds"])

    _, loops = in_turns(rounds, caf, lambda _: _way("loop", work, runs))
    return found, loops


def _way(way: str, work: str, runs: int) -> float:
    return float(program("executions", way, work, "-", runs)["seconds"])


def _costs(what: str, found: list[dict[str, Any]], payloads: int) -> Iterator[Row]:
    def row(name: str, key: str, unit: str = "", budget: float | None = None) -> Row:
        return Row(f"{what}: {name}", tuple(one[key] for one in found), unit, budget)

    yield row("CPU of the controller", "cpu", "s")
    yield row("files and folders left", "left", "", 30 + 10 + 5 + 2 * payloads)
    yield row("memory of the controller", "controller_mb", "MB")
    yield row("memory of the algorithm's process", "algorithm_mb", "MB")


def _fits(sizes: Sizes) -> Iterator[Row]:
    for runs in sizes.executions[:2]:
        rounds = sizes.rounds_of(runs)
        found, loops = _beside(rounds, "fit", "SequentialRunByRun", runs)
        forked = [_way("forked", "fit", runs) for _ in range(rounds)]
        whole = tuple(one["seconds"] for one in found)
        what = f"{runs:,} fits"
        yield Row(f"{what}: caf, the whole calibration", whole, "s", note=FIT)
        yield Row(f"{what}: a plain loop", tuple(loops), "s")
        yield Row(f"{what}: a process that is forked once", tuple(forked), "s", note=FORKED)
        ratio = tuple(a / b for a, b in zip(whole, loops, strict=True))
        yield Row(f"{what}: caf / plain loop", ratio)


def _demo(sizes: Sizes, folder: Path) -> Iterator[Row]:
    data = program("demo", "make", tempfile.mkdtemp(dir=folder))["folder"]
    iterations = program("demo", "calibrate", data)["iterations"]  # writes the bytecode, too
    found: list[dict[str, Any]] = []

    def caf(_: int) -> float:
        begin = time.perf_counter()
        found.append(program("demo", "calibrate", data))
        return time.perf_counter() - begin

    script = [sys.executable, PROGRAMS / "plain_scale.py", data, iterations]
    ours, plain = in_turns(sizes.long_rounds, caf, lambda _: seconds(script))
    ratio = tuple(a / b for a, b in zip(ours, plain, strict=True))
    run = tuple(one["seconds"] for one in found)
    run_ratio = tuple(a / b for a, b in zip(run, plain, strict=True))
    yield Row("demo: a plain script of the same physics", tuple(plain), "s", note=DEMO)
    yield Row("demo: caf, the whole process", tuple(ours), "s")
    yield Row("demo: caf.run()", run, "s", 7)
    yield Row("demo: caf.run() / plain script", run_ratio, "", 1.0)
    yield Row("demo: caf, the whole process / plain script", ratio)
