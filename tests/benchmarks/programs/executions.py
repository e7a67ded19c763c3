"""One algorithm, executed for every run: ``executions.py WAY WORK STRATEGY RUNS``.

WAY is ``caf`` (a whole calibration), ``loop`` (a plain loop over the same data), or ``forked`` (a process
that is forked once and loops there, as basf2's CAF does). WORK is ``mean`` of ten numbers, or ``fit`` of a
straight line to ten points with iminuit, which takes about a millisecond.
"""

import json
import multiprocessing
import os
import pickle
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench import answer

WAY, WORK, STRATEGY, RUNS = *sys.argv[1:4], int(sys.argv[4])
POINTS = 10


def values(run):
    """The data of a run."""
    return [float(run) + (7 * run + 13 * point) % 11 for point in range(POINTS)]


def mean(numbers):
    """What takes no time."""
    return {"mean": sum(numbers) / len(numbers)}


def fit(numbers):
    """What takes about a millisecond."""
    from iminuit import Minuit

    points = range(len(numbers))

    def chi2(offset, slope):
        return sum((y - offset - slope * x) ** 2 for x, y in zip(points, numbers, strict=True))

    minuit = Minuit(chi2, offset=numbers[0], slope=0.0)
    minuit.errordef = Minuit.LEAST_SQUARES
    minuit.migrad()
    minuit.hesse()
    return {"offset": minuit.values["offset"], "slope": minuit.values["slope"]}


work = {"mean": mean, "fit": fit}[WORK]


def loop(data):
    """Everything in this process; the data are unpickled for each run, as caf's are."""
    return [work(pickle.loads(one)) for one in data]


def forked(data):
    """In a process of its own, which gives the constants back at the end."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=lambda: there.send(loop(data)))
    process.start()
    found = here.recv()
    process.join()
    return found


def beside():
    """One of the other ways."""
    data = [pickle.dumps(values(run)) for run in range(1, RUNS + 1)]
    work(values(1))  # imports what it needs
    begin = time.perf_counter()
    found = {"loop": loop, "forked": forked}[WAY](data)
    seconds = time.perf_counter() - begin
    assert len(found) == RUNS
    answer(seconds=seconds)


def collect(context):
    for run in range(1, RUNS + 1):
        context.put((1, run), values(run), entries=POINTS)


def calibrate(context):
    from caf_core import Outcome, Result

    return Outcome(Result.OK, {"constant": work(context.data().merged())})


calibrate.preload = ("iminuit",) if WORK == "fit" else ()


def calibration(folder):
    """A calibration whose collector has one task."""
    from caf_core import Algorithm, Calibration

    params = {"payload_boundaries": [(1, run) for run in range(1, RUNS + 1)]}
    algorithm = Algorithm(calibrate, params=params if STRATEGY == "SequentialBoundaries" else {})
    source = Path(folder) / "input"
    source.write_text("")
    made = Calibration("benchmark", collector=collect, algorithms=[algorithm], input_files=[str(source)])
    made.strategies = STRATEGY
    made.max_iterations = 1
    return made


def caf():
    """A whole calibration, from before ``run()`` until it returns."""
    from caf_core import CAF, LocalDatabase

    folder = Path(tempfile.mkdtemp())
    caf = CAF(output_dir=folder / "results", backend="local")
    caf.add_calibration(calibration(folder))
    before, begin = os.times(), time.perf_counter()
    report = caf.run()
    seconds, after = time.perf_counter() - begin, os.times()
    constants = report.calibrations["benchmark"].database
    assert len(LocalDatabase(constants).entries()) == (1 if STRATEGY == "SingleIOV" else RUNS)
    left = sum(1 + len(files) for _, _, files in os.walk(folder / "results"))
    journals = [journal.parent for journal in (folder / "results").rglob("journal.jsonl")]
    rows = [json.loads(line) for one in journals for line in (one / "journal.jsonl").open()]
    peaks = [row["answer"].get("peak_memory_mb", 0) for row in rows if "answer" in row]
    shutil.rmtree(folder)
    answer(
        seconds=seconds,
        cpu=sum(after[:2]) - sum(before[:2]),
        left=left,
        controller_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        algorithm_mb=max(peaks, default=0),
    )


if __name__ == "__main__":
    caf() if WAY == "caf" else beside()
