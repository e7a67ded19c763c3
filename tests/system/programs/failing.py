"""A calibration that fails in a way of one's choice, until the file FIXED exists.

Called as: failing.py MODE COUNTS OUTPUT, with MODE one of collector, algorithm, refused, unconverged,
contradicted
"""

import os
import sys
from pathlib import Path

from caf_core import CAF, Calibration, Metric, Outcome

MODE, COUNTS, OUTPUT = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
FIXED = COUNTS / "FIXED"
NAME = "other" if FIXED.exists() else "sum"


def count(name):
    """Append a line; appending is atomic for so few bytes."""
    descriptor = os.open(COUNTS / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, b"x\n")
    os.close(descriptor)


def collect(context):
    """One number for every file."""
    stem = Path(context.input_files[0]).stem
    if MODE == "collector" and stem == "b" and not FIXED.exists():
        sys.exit("the detector was off")
    count(f"collect-{context.iteration}-{stem}")
    context.put((1, 1), [len(stem)], entries=1)


def fit(context):
    """Fails, or does not converge, as the mode says."""
    if MODE == "algorithm" and not FIXED.exists():
        raise RuntimeError("the fit did not work")
    count("fit")
    iterate = MODE == "unconverged" and context.iteration == 0
    return Outcome(
        "iterate" if iterate else "ok", {"sum": sum(context.data().merged())}, {"step": Metric(2.0, 1.0)}
    )


def contradict(context):
    """Gives what another calibration gives, which has completed."""
    return Outcome("ok", {NAME: 7})


def main():
    """One calibration over two files."""
    files = [COUNTS / "a.txt", COUNTS / "b.txt"]
    for file in files:
        if not file.exists():
            file.touch()
    calibration = Calibration("one", collect, [fit], files, require_convergence=True)
    calibration.max_iterations = 1 if FIXED.exists() else 0
    calibration.collections["default"].max_files_per_collector_job = 1
    if MODE == "refused" and not FIXED.exists():
        broken = COUNTS / "broken"
        broken.mkdir(exist_ok=True)
        (broken / "database.txt").write_text("this is no line of a database\n")
        calibration.use_local_database(broken)
    caf = CAF(OUTPUT, backend="local")
    if MODE == "contradicted":
        caf.add_calibration(calibration)
        caf.run()
        caf = CAF(OUTPUT, backend="local")
        caf.add_calibration(
            Calibration("earlier", lambda context: context.put((1, 1), entries=1), [contradict])
        )
    caf.add_calibration(calibration)
    caf.run()


if __name__ == "__main__":
    main()
