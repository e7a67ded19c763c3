"""A script for basf2's CAF, converted by how-to/from-basf2-caf and the recipe that it names, is executed."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from caf_core import IoV, LocalDatabase

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("documentation_pages", HERE / "pages.py")
pages = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = pages
_spec.loader.exec_module(pages)

BEFORE = """
import basf2 as b2
from ROOT.Belle2 import TestCalibrationAlgorithm
from caf.framework import CAF, Calibration, Collection
from caf.utils import ExpRun, IoV
from caf.strategies import SequentialRunByRun, SingleIOV
from caf.backends import Local
import os, pickle

early = [os.path.abspath(f"data/e0005/r{run:05}/raw.root") for run in (1, 2, 3)]
late = [os.path.abspath(f"data/e0005/r{run:05}/raw.root") for run in (4, 5)]

col_test = b2.register_module("CaTest")
cal_first = Calibration(name="first", collector=col_test, algorithms=TestCalibrationAlgorithm(),
                        input_files=early)
cal_first.add_collection("late", Collection(collector=col_test, input_files=late))
cal_first.files_to_iovs = pickle.load(open("file_iov_map.pkl", "rb"))
cal_first.ignored_runs = [ExpRun(5, 3)]
cal_first.strategies = SequentialRunByRun
cal_first.algorithms[0].params["iov_coverage"] = IoV(5, 0, 5, 9)
cal_first.max_files_per_collector_job = 1

cal_second = Calibration("second", collector=col_test, algorithms=[TestCalibrationAlgorithm()],
                         input_files=os.path.abspath("data/e0005/*/raw.root"))
cal_second.files_to_iovs = cal_first.files_to_iovs
cal_second.strategies = [SingleIOV]
cal_second.max_collector_jobs = 2
cal_second.max_iterations = 1
cal_second.depends_on(cal_first)

cal_fw = CAF(calibration_defaults={"max_iterations": 3})
cal_fw.add_calibration(cal_first)
cal_fw.add_calibration(cal_second)
cal_fw.output_dir = "results"
cal_fw.backend = Local(max_processes=2)
cal_fw.heartbeat = 5
cal_fw.run(iov=IoV(5, 1, 5, 4))
"""
# What the page says: imports from caf_core, the module of the collector in a steering file, the C++ algorithm
# in a function; and what caf says when the script is executed: leave out heartbeat.
CONVERTED = (
    BEFORE.replace("import basf2 as b2\nfrom ROOT.Belle2 import TestCalibrationAlgorithm\n", "")
    .replace(
        "from caf.framework import CAF",
        "from in_basf2 import collector as col_test, test_algorithm\nfrom caf_core import CAF",
    )
    .replace("from caf.utils", "from caf_core")
    .replace("from caf.strategies", "from caf_strategies")
    .replace("from caf.backends", "from caf_local")
    .replace('col_test = b2.register_module("CaTest")\n', "")
    .replace("TestCalibrationAlgorithm()", "test_algorithm")
)


@pytest.fixture
def home(tmp_path):
    """A folder with what the page has its reader make."""
    page = pages.DOCS / "how-to" / "calibrate-with-basf2.md"
    for block in pages.blocks(page):
        if block.caption and block.caption != "calibrate.py":
            (tmp_path / block.caption).write_text(block.text)
    (stand_in,) = pages.downloads(page)
    subprocess.run([sys.executable, stand_in], cwd=tmp_path, check=True)
    return tmp_path


def run(home, *words):
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(["caf", *words], cwd=home, env=env, capture_output=True, text=True, timeout=300)


def test_a_script_of_the_old_system_works_after_the_steps_of_the_page(home) -> None:
    assert run(home, "filemap", "-m", "raw", "-re", "nothing", "data/**/*.root").returncode == 0
    (home / "script.py").write_text(CONVERTED)
    done = run(home, "run", "script.py")
    assert done.returncode != 0
    assert "a CAF has no setting 'heartbeat': nothing sleeps here" in done.stderr
    (home / "script.py").write_text(CONVERTED.replace("cal_fw.heartbeat = 5\n", ""))
    done = run(home, "run", "script.py")
    assert done.returncode == 0, done.stderr
    first, second = (LocalDatabase(home / "results" / name / "outputdb") for name in ("first", "second"))
    assert [(entry.iov, first.load(entry)) for entry in first.entries()] == [
        (IoV(5, 0, 5, 1), b"root 1.0"),
        (IoV(5, 2, 5, 3), b"root 2.0"),
        (IoV(5, 4, 5, 9), b"root 4.0"),
    ]
    # The second one begins from the constants of the first: of four runs, run 3 alone is off, by 1: it
    # finds 1 + 1/4. The mean of what is left is 5/4 in the next iteration.
    assert [(entry.iov, second.load(entry)) for entry in second.entries()] == [(IoV(5, 1, 5, 4), b"root 2.5")]
