"""A calibration with two iterations whose Python collector travels, with its input files and conditions.

Called as: travelling.py BACKEND FOLDER.
"""

import sys
from pathlib import Path

from caf_core import CAF, Algorithm, Calibration, Metric, Outcome

BACKEND, FOLDER = sys.argv[1], Path(sys.argv[2])


class Collector:
    """Writes down what it read, and where."""

    def collect(self, context):
        before = context.conditions.get("number", context.selection.runs[0], 0) if context.iteration else 0
        total = 0
        for file in context.input_files:
            run = int(Path(file).read_text())
            total += run
            context.add_run(1, run, 1)
        (context.output_dir / "sum.txt").write_text(f"{total + before} {Path.cwd()}")


def fit(context):
    """Needs a second iteration."""
    numbers = [int(Path(path).read_text().split()[0]) for path in context.data().files("sum.txt")]
    return Outcome("iterate" if context.iteration == 0 else "ok", {"number": sum(numbers)}, {"x": Metric(1.0, 2.0)})
