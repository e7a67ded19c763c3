"""The controller is killed at every named point, and at random moments; started again, it ends as if
nothing had happened.

What is compared with an undisturbed run: the payloads, bit by bit, and how often each piece of work was
done: once for every attempt that
the retry policy allows.
"""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from attrs import frozen

from caf_core.calibration.states import State
from caf_core.control.crash import VARIABLE, crash_points

PROGRAM = Path(__file__).parent / "programs" / "drifting.py"

REPEATED = {
    "submission.intent.before": (1, 2, 9),
    "submission.intent.after": (1, 2, 9),
    "submission.command.after": (1, 2, 9),
    "submission.ids.after": (1, 2, 9),
    "records.change.before": (1, 2, 5, 8),
    "records.change.after": (1, 2, 5, 8),
    "outcome.before": (1, 4),
    "outcome.after": (1, 4),
    "commit.before": (1, 3),
    "commit.payloads.after": (1, 3),
    "commit.after": (1, 3),
    "finish.before": (1, 2),
    "finish.copied": (1, 2),
}
"""At which passage to die: the first is in the first job, later ones in retries, executions, the second
calibration. Eight jobs change at least eight times, and no more if the machine is quick."""

OF_FAILURES = {State.COLLECTOR_FAILED, State.ALGORITHMS_FAILED, State.FAILED}
"""States that only a run with failures comes to: their points are tried in ``test_crash_failing.py``."""


def points() -> list[str]:
    """Every point of a run without failures, with the passages at which to die."""
    found = []
    for point in crash_points():
        if point.startswith("move.") and OF_FAILURES & {State(state) for state in point.split(".")[1:3]}:
            continue
        found += [f"{point}:{count}" for count in REPEATED.get(point, (1, 2))]
    return found


@frozen
class Place:
    """The folders of one experiment."""

    numbers: Path
    base: Path

    @property
    def output(self) -> Path:
        return self.base / "out"

    @property
    def counts(self) -> Path:
        return self.base / "counts"

    def start(self, crash_at: str = "") -> "subprocess.Popen[str]":
        """Start the program; it dies at a point if one is named."""
        self.counts.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), str(self.numbers), str(self.counts), str(self.output)],
            env={**os.environ, VARIABLE: crash_at},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self) -> None:
        """Start it, and let it come to its end."""
        process = self.start()
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors

    def result(self) -> dict[str, bytes]:
        """The payloads that it left."""
        return {
            path.name: path.read_bytes()
            for path in (self.output / "outputdb").iterdir()
            if "provenance" not in path.name
        }

    def work(self) -> Counter[str]:
        """How often each piece of work was done."""
        return Counter({path.name: len(path.read_text().splitlines()) for path in self.counts.iterdir()})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run that nobody disturbed."""
    base = tmp_path_factory.mktemp("undisturbed")
    numbers = base / "input"
    numbers.mkdir()
    for exp, run, count in [(1, 1, 10), (1, 2, 10), (1, 3, 2), (1, 4, 8), (2, 1, 10), (2, 5, 3)]:
        lines = "".join(f"{exp} {run} {run + exp / 10 + number / 100}\n" for number in range(count))
        (numbers / f"run{exp * 10 + run - 9}.txt").write_text(lines)
    place = Place(numbers, base)
    place.finish()
    assert set(place.work().values()) == {1}
    return place


@pytest.mark.slow
@pytest.mark.parametrize("point", points())
def test_a_crash_at_a_named_point_changes_nothing(undisturbed: Place, tmp_path: Path, point: str) -> None:
    place = Place(undisturbed.numbers, tmp_path)
    process = place.start(point)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL, f"the program never came to {point}: {errors}"
    place.finish()
    assert place.result() == undisturbed.result()
    assert place.work() == undisturbed.work()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
def test_a_crash_at_any_moment_changes_nothing(undisturbed: Place, tmp_path: Path, seed: int) -> None:
    moment = random.Random(seed).uniform(0.1, 2.5)
    place = Place(undisturbed.numbers, tmp_path)
    process = place.start()
    try:
        process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    place.finish()
    assert place.result() == undisturbed.result()
    assert place.work() == undisturbed.work()
