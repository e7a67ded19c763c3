"""Two calibrations, one after the other, that iterate: every execution leaves a line in a file of its own.

Called as: drifting.py INPUT COUNTS OUTPUT
"""

import os
import sys
from pathlib import Path

from caf_core import CAF, Algorithm, Calibration, Metric, Outcome
from caf_core.jobs.ledger import FailureKind
from caf_core.jobs.retry import Remedy, RetryPolicy, Rule

INPUT, COUNTS, OUTPUT = map(Path, sys.argv[1:4])


def count(name):
    """Append a line; appending is atomic for so few bytes."""
    descriptor = os.open(COUNTS / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, b"x\n")
    os.close(descriptor)


class Collect:
    """Collects numbers, less the offset that is known so far."""

    def __init__(self, payload):
        self.payload = payload

    def collect(self, context):
        stem = Path(context.input_files[0]).stem
        attempt = len(list(context.output_dir.parent.glob("attempt-*")))
        count(f"{context.calibration}-{context.iteration}-{stem}-try-{attempt}")
        if stem == "run2" and context.iteration == 0 and attempt == 1:
            sys.exit(3)
        for name in context.input_files:
            for line in Path(name).read_text().splitlines():
                exp, run, value = line.split()
                key = (int(exp), int(run))
                known = context.conditions.get(self.payload, key, 0.0)
                context.put(key, [float(value) - known], entries=1)


class Fit:
    """Takes nine tenths of the mean, so that it needs some iterations."""

    def __init__(self, payload, minimum):
        self.payload, self.minimum = payload, minimum

    def calibrate(self, context):
        runs = "_".join(f"{exp}.{run}" for exp, run in context.runs)
        count(f"{context.calibration}-{context.iteration}-fit-{runs}-{str(context.iov).replace(',', '.')}")
        values = context.data().merged()
        if len(values) < self.minimum:
            return Outcome("not_enough_data")
        mean = sum(values) / len(values)
        known = context.conditions.get(self.payload, context.runs[0], 0.0)
        before = context.conditions.get("offset", context.runs[0], 0.0)
        result = "iterate" if abs(mean) > 0.05 else "ok"
        content = {self.payload: known + 0.9 * mean + (0.0 if self.payload == "offset" else 1e-3 * before)}
        return Outcome(result, content, {"mean": Metric(mean, 0.05)})


def main():
    """Two calibrations; the second sees the constants of the first."""
    first = Calibration(
        "first", Collect("offset"), [Algorithm(Fit("offset", 5))], sorted(INPUT.glob("*.txt"))
    )
    first.strategies = "SequentialRunByRun"
    second = Calibration(
        "second", Collect("rest"), [Algorithm(Fit("rest", 1))], sorted(INPUT.glob("*.txt"))[:3]
    )
    second.strategies = "SingleIOV"
    second.depends_on(first)
    caf = CAF(OUTPUT, backend="local")
    for calibration in (first, second):
        calibration.max_iterations = 1
        collection = calibration.collections["default"]
        collection.max_files_per_collector_job = 1
        collection.retry = RetryPolicy({FailureKind.EXIT_CODE: Rule(Remedy.AGAIN, attempts=2)})
        caf.add_calibration(calibration)
    caf.run()


if __name__ == "__main__":
    main()
