"""Makes small input files in the folder data: one line a hit, `experiment run time`, one file a run.

The times of a run [ns] are shifted by an offset that grows with the run.
"""

import random
from pathlib import Path

RUNS = {1: (2, 3, 4, 5, 7, 8), 2: (1, 2, 3)}
HITS = {(1, 3): 5, (2, 3): 5}  # short runs; the others have 40 hits

Path("data").mkdir(exist_ok=True)
for experiment, runs in RUNS.items():
    for run in runs:
        generator = random.Random(1000 * experiment + run)
        offset = experiment + 0.1 * run
        times = [offset + generator.gauss(0, 0.5) for _ in range(HITS.get((experiment, run), 40))]
        lines = [f"{experiment} {run} {time:.3f}\n" for time in times]
        Path(f"data/e{experiment}_r{run}.txt").write_text("".join(lines))
