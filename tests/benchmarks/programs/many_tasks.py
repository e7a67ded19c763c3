"""A calibration of many short tasks: ``many_tasks.py OUTPUT_DIR TASKS [BACKEND]``."""

import os
import sys

from caf_core import (
    CAF,
    ArgumentsGenerator,
    ArgumentsSplitter,
    Calibration,
    Collection,
    CommandCollector,
    Outcome,
    Result,
    range_arguments,
)
from caf_local import Local

TASKS = int(sys.argv[2])
BACKEND = sys.argv[3] if len(sys.argv) > 3 else Local(max_processes=os.cpu_count() or 1)
WRITE_RUNS = 'echo "[[1, $1, 1]]" > runs.json'

collector = CommandCollector(["/bin/sh", "-c", WRITE_RUNS, "collect"])
splitter = ArgumentsSplitter(arguments_generator=ArgumentsGenerator(range_arguments, 0, TASKS))
calibration = Calibration(
    "many", algorithms=[lambda context: Outcome(Result.OK, {"runs": len(context.runs)})]
)
calibration.add_collection("runs", Collection(collector, splitter=splitter))
calibration.strategies = "SingleIOV"
caf = CAF(output_dir=sys.argv[1], backend=BACKEND)
caf.add_calibration(calibration)
caf.run()
