"""A calibration of which the backend has the algorithms too, as: planning.py BACKEND FOLDER [RUNNER].

Each execution leaves a line in ``counts/RUN``. That of run 4 waits, the first time, until there is ``go on``
in the folder, where the environment says CAF_TEST_WAIT.
"""

import os
import sys
import time
from pathlib import Path

from caf_core import CAF, Algorithm, Calibration, Outcome, Resources

BACKEND, FOLDER = sys.argv[1], Path(sys.argv[2])
RUNNER = sys.argv[3] if len(sys.argv) > 3 else "sequential"
WAITS = bool(os.environ.get("CAF_TEST_WAIT"))
RUNS = 8


def collect(context):
    for run in range(1, RUNS + 1):
        context.put((1, run), [run], entries=run)


def number(run):
    """A function of the script."""
    return 10 * run


class Fit:
    """Executed for every run by itself."""

    def calibrate(self, context):
        (run,) = context.data().merged()
        with (FOLDER / "counts" / str(run)).open("a") as counts:
            counts.write("x\n")
        print(f"run {run} on {os.environ.get('CAF_ATTEMPT')}")
        (FOLDER / f"waits.{run}").write_text(str(os.getpid()))
        while WAITS and run == 4 and not (FOLDER / "go on").exists():
            time.sleep(0.1)
        return Outcome("ok", {"x": number(run)})


def whole(context):
    """Needs what the first algorithm found."""
    total = sum(context.conditions.get("x", run) for run in context.runs)
    return Outcome("iterate" if context.iteration == 0 else "ok", {"sum": total})


def main():
    (FOLDER / "counts").mkdir(exist_ok=True)
    (FOLDER / "input").touch()
    needs = Resources(memory_mb=300)
    algorithms = [
        Algorithm(Fit(), "fit", strategy="SimpleRunByRun", resources=needs),
        Algorithm(whole, "whole", resources=needs),
    ]
    calibration = Calibration("planning", collect, algorithms, [FOLDER / "input"])
    calibration.max_iterations = 1
    calibration.algorithm_backend = BACKEND
    calibration.runner = RUNNER
    caf = CAF(FOLDER / "out", backend=BACKEND)
    caf.add_calibration(calibration)
    caf.run()


if __name__ == "__main__":
    main()
