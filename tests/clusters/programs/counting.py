"""A calibration with two iterations, whose tasks leave a line each in a file of their own.

Called as: counting.py BACKEND FOLDER [SECONDS]; a task takes so long.
"""

import os
import sys
from pathlib import Path

from caf_core import CAF, Algorithm, Calibration, CommandCollector, Metric, Outcome
from caf_core.jobs.ledger import FailureKind
from caf_core.jobs.retry import Remedy, RetryPolicy, Rule

BACKEND, FOLDER = sys.argv[1], Path(sys.argv[2])
SECONDS = sys.argv[3] if len(sys.argv) > 3 else "0.3"
TASKS = 4

# The file is named after the attempt's folder; so short an append is atomic. One task fails once.
COLLECT = """
printf 'x\\n' >> "$1/counts/$(echo "${PWD#"$1/out/"}" | tr / .)"
sleep "$2"
case $PWD in */0/*/2/attempt-1) exit 3 ;; esac
run=$(tr -dc 0-9 < input_files.json)
printf '[[1, %s, 1]]' "${run#"${run%?}"}" > runs.json
"""


def fit(context):
    """Needs a second iteration."""
    before = context.conditions.get("number", context.runs[0], 0)
    result = "iterate" if context.iteration == 0 else "ok"
    content = {"number": before + sum(run.run for run in context.runs)}
    return Outcome(result, content, {"change": Metric(1.0, 0.5)})


def main():
    """One task a file."""
    (FOLDER / "controller").write_text(str(os.getpid()))
    for folder in ("input", "counts"):
        (FOLDER / folder).mkdir(exist_ok=True)
    files = [FOLDER / "input" / f"run{number}" for number in range(TASKS)]
    for file in files:
        if not file.exists():  # another time of change would be another input
            file.touch()
    collector = CommandCollector(["sh", "-c", COLLECT, "sh", FOLDER, SECONDS])
    calibration = Calibration("counting", collector, [Algorithm(fit, "fit")], files)
    calibration.max_iterations = 1
    collection = calibration.collections["default"]
    collection.max_files_per_collector_job = 1
    collection.retry = RetryPolicy().with_rule(FailureKind.EXIT_CODE, Rule(Remedy.AGAIN, attempts=2))
    caf = CAF(FOLDER / "out", backend=BACKEND)
    caf.add_calibration(calibration)
    caf.run()


if __name__ == "__main__":
    main()
