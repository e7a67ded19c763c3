"""The demo's calibration: ``demo.py make FOLDER`` writes its files, ``demo.py calibrate FOLDER`` takes them.

It is what ``docs/examples/demo.py`` does, without the table and the plot.
"""

import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "docs" / "examples"))

from bench import answer


def make(folder):
    """Write the files."""
    from toy_data import make_toy

    answer(folder=str(make_toy(Path(folder))))


def calibrate(folder):
    """Calibrate, from before ``run()`` until it returns."""
    from muon_scale import CONSTANT, muon_scale

    from caf_core import CAF, ExpRun
    from caf_local import Local

    files = sorted(Path(folder).glob("*.root"))
    calibration = muon_scale(files, [ExpRun(7, 145)], max_files_per_collector_job=max(1, len(files) // 8))
    caf = CAF(output_dir=tempfile.mkdtemp(), backend=Local(max_processes=2))
    caf.add_calibration(calibration)
    begin = time.perf_counter()
    report = caf.run()
    seconds = time.perf_counter() - begin
    assert report.success
    answer(seconds=seconds, iterations=report.calibrations[CONSTANT].iteration + 1, files=len(files))


if __name__ == "__main__":
    {"make": make, "calibrate": calibrate}[sys.argv[1]](sys.argv[2])
