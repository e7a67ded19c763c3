"""The demo of the Pandora calibration with resident workers on real batch systems."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from caf_pandora.constants import NAMES
from clusters.experiment import Experiment

LIMIT = 1800
STEERING = "clicReconstruction.xml"


def demo(output: Path, *arguments: str, **more: Any) -> str:
    """What the demo prints; its result goes to ``output``. Pictures would take longer than all the rest."""
    words = [sys.executable, "-m", "caf_pandora.demo", "--no-pictures", "--output", str(output)]
    done = subprocess.run([*words, *arguments], capture_output=True, text=True, timeout=LIMIT, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The steering file that comes out in one process, without a service."""
    output = tmp_path_factory.mktemp("here")
    demo(output)
    return (output / STEERING).read_bytes()


def test_the_demo_on_a_batch_system(experiment: Experiment, here: bytes) -> None:
    """All three stages: the true constants, and bit by bit those of one process."""
    output = experiment.place / "demo"
    told = demo(output, "--service", "--backend", experiment.backend, env=experiment.environment())
    assert "8 workers; events: 6000 gamma, 6000 kaon, 4000 muon, 1200 zuds" in told
    assert all(f"\n{name} " in told for name in NAMES)
    assert "OUTSIDE" not in told
    assert (output / STEERING).read_bytes() == here
    assert "stage 3, phase 4 HadronicEnergy" in (output / "Calibration.txt").read_text()
    assert not list(output.glob("work-*"))
