"""`make benchmark` measures real batch systems too; how fast they are is nothing for a test."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SUBJECTS = (
    "submitting 20 tasks: the raw command",
    "submitting 40 tasks: caf, beyond them",
    "from the end of the last",
    "trivial jobs, raw",
    "what the calibration adds to that",
)


def test_every_row_of_the_benchmark_is_printed(htcondor_pool, slurm_cluster, tmp_path):
    file = tmp_path / "rows.json"
    argv = [sys.executable, str(BENCHMARKS), "--only", "schedulers", "--quick", "--json", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    rows = {row["what"]: row for row in json.loads(file.read_text())["rows"]}
    for title in ("HTCondor", "Slurm"):
        for subject in SUBJECTS:
            assert any(what.startswith(title) and subject in what for what in rows), (title, subject)
    for what, row in rows.items():
        assert row["values"] or ("submitit" in what and "not installed" in row["note"]), row
