"""An empty calibration, as a user writes one: ``empty.py OUTPUT_DIR ITERATIONS``."""

import sys

from caf_core import CAF, Calibration, ExpRun, Outcome, Result

ITERATIONS = int(sys.argv[2])


def collect(context):
    context.put(ExpRun(1, 1), entries=1)


def calibrate(context):
    last = context.iteration + 1 >= ITERATIONS
    return Outcome(Result.OK if last else Result.ITERATE, {"constant": context.iteration})


calibration = Calibration("empty", collector=collect, algorithms=[calibrate])
calibration.strategies = "SingleIOV"
calibration.max_iterations = ITERATIONS
caf = CAF(output_dir=sys.argv[1], backend="local")
caf.add_calibration(calibration)
caf.run()
