"""The benchmark runs and prints every row; how fast things are is nothing for a test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SUBJECTS = {
    "each further iteration",
    "an execution beyond the loop",
    "files and folders left",
    "a process that is forked once",
    "caf.run() / plain script",
    "caf --help",
    "caf status",
    "caf on Local",
    "xargs -P",
    "GNU parallel",
    "multiprocessing.Pool",
    "dask",
    "psij-python",
    "controller's CPU a task",
    "Python collectors on Local",
    "memory a tracked task",
    "restart with",
    "polling",
    "commands",
    "SingleIOV",
    "SequentialRunByRun",
    "SequentialBoundaries",
    "SimpleRunByRun",
    "a step of",
    "the original design",
    "hear of a step",
    "results not counted exactly once",
}


@pytest.mark.slow
def test_every_row_is_printed(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    # Real batch systems are measured among their own tests.
    subjects = [f"--only={name}" for name in ("whole", "executions", "tasks", "scale", "service")]
    argv = [sys.executable, str(Path(__file__).parent), "--quick", "--json", str(file), *subjects]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(file.read_text())["rows"]
    assert rows[0]["what"] == "empty calibration, whole process"
    names = [row["what"] for row in rows]
    for subject in SUBJECTS:
        assert any(subject in name for name in names), subject
    for row in rows:
        # Only what one installs besides may be missing, and it says why.
        rival = any(tool in row["what"] for tool in ("dask", "psij-python", "GNU parallel"))
        assert row["values"] or (rival and "not installed" in row["note"]), row
        assert row["what"] in " ".join(done.stdout.split())
