"""The controller is killed while a calibration fails; it fails the same way when started again, and
completes once it is mended."""

import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from caf_core.calibration.states import TRANSITIONS, State
from caf_core.conditions.local import LocalDatabase
from caf_core.control.crash import VARIABLE, crash_points
from caf_core.iov import ExpRun

PROGRAM = Path(__file__).parent / "programs" / "failing.py"

MODES = {
    "collector": (State.RUNNING_COLLECTOR, State.COLLECTOR_FAILED, State.FAILED),
    "algorithm": (State.RUNNING_ALGORITHMS, State.ALGORITHMS_FAILED, State.FAILED),
    "refused": (State.INIT, State.FAILED),
    "unconverged": (State.ALGORITHMS_COMPLETED, State.FAILED),
    "contradicted": (State.COMPLETED, State.FAILED),
}
"""How the program is made to fail, and the states that it passes then."""


def points() -> list[tuple[str, str]]:
    """Every point that only a failing calibration passes."""
    found = []
    for mode, states in MODES.items():
        moves = {f"move.{old}.{new}" for old, new in pairwise(states)}
        found += [(mode, point) for point in crash_points() if point.rsplit(".", 1)[0] in moves]
    return found


def start(mode: str, base: Path, crash_at: str = "") -> "subprocess.CompletedProcess[str]":
    counts = base / "counts"
    counts.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, str(PROGRAM), mode, str(counts), str(base / "out")],
        env={**os.environ, VARIABLE: crash_at},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_move_to_a_failure_is_tried() -> None:
    failures = {State.COLLECTOR_FAILED, State.ALGORITHMS_FAILED, State.FAILED}
    moves = {f"move.{row.source}.{row.target}" for row in TRANSITIONS if row.target in failures}
    assert moves == {point.rsplit(".", 1)[0] for _, point in points()}


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "point"), points())
def test_a_crash_while_failing_loses_nothing(tmp_path: Path, mode: str, point: str) -> None:
    crashed = start(mode, tmp_path, point)
    assert crashed.returncode == -signal.SIGKILL, f"the program never came to {point}: {crashed.stderr}"
    again = start(mode, tmp_path)
    assert again.returncode == 1, again.stderr
    assert "calibration(s) did not complete" in again.stderr
    (tmp_path / "counts" / "FIXED").touch()
    mended = start(mode, tmp_path)
    assert mended.returncode == 0, mended.stderr
    database = LocalDatabase(tmp_path / "out" / "outputdb")
    entry = database.find("sum", ExpRun(1, 1))
    assert entry is not None
    assert database.load(entry) == 2
    collected = [(tmp_path / "counts" / f"collect-0-{stem}").read_text() for stem in "ab"]
    assert collected == ["x\n", "x\n"], "what was collected was collected once"
