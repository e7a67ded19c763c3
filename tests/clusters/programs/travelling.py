"""A calibration with two iterations whose Python collector travels, with its input files and conditions.

Called as: travelling.py BACKEND FOLDER.
"""

import sys
from pathlib import Path

from caf_core import CAF, Algorithm, Calibration, Metric, Outcome

BACKEND, FOLDER = sys.argv[1], Path(sys.argv[2])
HERE = str(FOLDER)


def collect(context):
    """Reads what came along, and nothing else."""
    assert HERE not in str(Path.cwd())
    for file in context.input_files:
        assert HERE not in file
        run = (1, int(Path(file).read_text()))
        context.put(run, context.conditions.get("number", run, 0) + run[1], entries=1)


def fit(context):
    """Needs a second iteration."""
    total = sum(value for _, value in context.data().chunks())
    print(f"iteration {context.iteration}: {total}")
    return Outcome(
        "iterate" if context.iteration == 0 else "ok", {"number": total}, {"sum": Metric(total, 1.0)}
    )


def main():
    """One task a file."""
    (FOLDER / "input").mkdir()
    files = [FOLDER / "input" / f"run{number}" for number in (1, 2, 3)]
    for number, file in enumerate(files, 1):
        file.write_text(str(number))
    calibration = Calibration("travelling", collect, [Algorithm(fit, "fit")], files)
    calibration.max_iterations = 1
    collection = calibration.collections["default"]
    collection.max_files_per_collector_job = 1
    collection.backend_args = {"transfer": True}
    caf = CAF(FOLDER / "out", backend=BACKEND)
    caf.add_calibration(calibration)
    caf.run()


if __name__ == "__main__":
    main()
