"""Two calibrations, the second after the first: every execution leaves a line, with what came before it.

Called as: program.py INPUT COUNTS OUTPUT
"""

import contextlib
import json
import os
import sqlite3
import sys
from pathlib import Path

from caf_core import CAF, Algorithm, Calibration, Metric, Outcome
from caf_local import Local

INPUT, COUNTS, OUTPUT = map(Path, sys.argv[1:4])
SLOTS = 2


def count(name):
    """Append a line: whether an earlier attempt of this task is recorded as a success."""
    word = "recorded" if is_in_checkpoint() or any(map(is_earlier, earlier_records())) else "begun"
    descriptor = os.open(COUNTS / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{word}\n".encode())
    os.close(descriptor)


def earlier_records():
    """The exit records of all submissions of this job that are not over."""
    return Path(os.environ["CAF_JOB_DIR"]).parent.glob("*/records/*.json")


def is_in_checkpoint():
    """Whether the checkpoint tells that; the records of a submission that is over are gone."""
    submission = Path(os.environ["CAF_JOB_DIR"])
    query = """SELECT count(*) FROM attempt JOIN intent ON attempt.job = intent.job
        WHERE intent.token = ? AND attempt.task = ? AND attempt.state = 'completed'"""
    with contextlib.closing(sqlite3.connect(f"file:{OUTPUT}/caf_state.db?mode=ro", uri=True)) as checkpoint:
        ((number,),) = checkpoint.execute(query, (submission.name, int(os.environ["CAF_TASK"])))
    return number > 0


def is_earlier(path):
    """Whether a record tells that this task has succeeded."""
    record = json.loads(path.read_text())
    return record["task"] == int(os.environ["CAF_TASK"]) and record["failure"] is None


def work():
    """Something to do for some hundredths of a second, so that there is something to kill."""
    return sum(number % 7 for number in range(400_000))


class Collect:
    """Collects numbers."""

    def __init__(self, payload):
        self.payload = payload

    def collect(self, context):
        stem = Path(context.input_files[0]).stem
        count(f"{context.calibration}-{context.iteration}-{stem}")
        work()
        for name in context.input_files:
            exp, run, value = Path(name).read_text().split()
            known = context.conditions.get(self.payload, (int(exp), int(run)), 0.0)
            context.put((int(exp), int(run)), [float(value) - known], entries=1)


class Fit:
    """Takes the mean."""

    def __init__(self, payload):
        self.payload = payload

    def calibrate(self, context):
        count(f"{context.calibration}-{context.iteration}-fit")
        work()
        values = context.data().merged()
        mean = sum(values) / len(values)
        known = context.conditions.get(self.payload, context.runs[0], 0.0)
        before = context.conditions.get("offset", context.runs[0], 0.0)
        content = {self.payload: known + mean + (0.0 if self.payload == "offset" else before)}
        return Outcome("ok", content, {"mean": Metric(mean, 1e9)})


def main():
    """Calibrate."""
    caf = CAF(OUTPUT, backend=Local(max_processes=SLOTS))
    before = None
    for name, payload in (("first", "offset"), ("second", "rest")):
        one = Calibration(name, Collect(payload), [Algorithm(Fit(payload))], sorted(INPUT.glob("*.txt")))
        one.strategies = "SingleIOV"
        one.collections["default"].max_files_per_collector_job = 1
        if before is not None:
            one.depends_on(before)
        before = one
        caf.add_calibration(one)
    caf.run()


if __name__ == "__main__":
    main()
