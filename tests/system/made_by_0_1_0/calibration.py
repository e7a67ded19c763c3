"""The calibrations of the output directories here; ``make.py`` executes them with caf 0.1.0, the tests with
the caf of now. The files ``hold-N`` and ``hold-run-N`` stop a collector, or an algorithm, at N."""

import time
from pathlib import Path

from caf_core import CAF, Calibration, Outcome

HERE = Path(__file__).parent


def collect(context):
    for name in context.input_files:
        number = int(Path(name).stem[2:])
        while (Path(name).parent / f"hold-{number}").exists():
            time.sleep(0.01)
        context.put((1, number), [float(Path(name).read_text())], entries=1)


def offset(context):
    return _outcome(context, "offset", sum(context.data().merged()))


def scale(context):
    before = sum(context.conditions.get("offset", run, 1000.0) for run in context.runs)
    return _outcome(context, "scale", before * sum(context.data().merged()))


def _outcome(context, name, value):
    run = context.runs[0].run
    while (HERE / f"hold-run-{run}").exists():
        time.sleep(0.01)
    previous = context.conditions.get(name, context.runs[0], 0.0)
    return Outcome("iterate" if context.iteration == 0 else "ok", {name: value + previous})


def main(calibrations):
    caf = CAF(output_dir=HERE / "out")
    first = Calibration(
        "first",
        collector=collect,
        algorithms=[offset],
        input_files=[str(HERE / "d_*.txt")],
        strategies="SequentialRunByRun" if (HERE / "by-run").exists() else "SingleIOV",
    )
    first.collections["default"].max_files_per_collector_job = 1
    second = Calibration("second", collector=collect, algorithms=[scale], input_files=[str(HERE / "d_1.txt")])
    second.depends_on(first)
    for calibration in [first, second][:calibrations]:
        caf.add_calibration(calibration)
    caf.run()


main(2 if (HERE / "two").exists() else 1)
