"""The calibration of ``make demo`` elsewhere, with its algorithms, as: demo_on.py BACKEND FOLDER DATA."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "docs" / "examples"))

from muon_scale import muon_scale
from toy_data import Truth, make_toy

from caf_core import CAF, Resources

BACKEND, FOLDER, DATA = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
TASKS = 4


def main():
    """Four tasks an iteration: each has to import what reads and fits."""
    make_toy(DATA)
    files = sorted(DATA.glob("*.root"))
    calibration = muon_scale(
        files, Truth.read(DATA).ignored, max_files_per_collector_job=-(-len(files) // TASKS)
    )
    calibration.collections["default"].resources = Resources(memory_mb=1000)
    if BACKEND != "local":
        calibration.algorithm_backend = BACKEND
    for algorithm in calibration.algorithms:
        algorithm.resources = Resources(memory_mb=1000)
    caf = CAF(FOLDER / "out", backend=BACKEND)
    caf.add_calibration(calibration)
    caf.run()


if __name__ == "__main__":
    main()
