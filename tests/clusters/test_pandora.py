"""The demo of the Pandora calibration with resident workers on real batch systems."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from caf_pandora.demo import EVENTS_PER_FILE
from clusters.experiment import Experiment

LIMIT = 900
SCALE = 0.3
STEERING = "clicReconstruction.xml"


def demo(output: Path, *arguments: str, **more: Any) -> str:
    """What the demo prints; its result goes to ``output``."""
    words = [sys.executable, "-m", "caf_pandora.demo", "--output", str(output), "--scale", str(SCALE)]
    done = subprocess.run([*words, *arguments], capture_output=True, text=True, timeout=LIMIT, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The steering file that comes out without a service."""
    output = tmp_path_factory.mktemp("here")
    demo(output, "--no-pictures")
    return (output / STEERING).read_bytes()


def test_the_demo_on_a_batch_system(experiment: Experiment, here: bytes) -> None:
    output = experiment.place / "demo"
    told = demo(output, "--service", "--backend", experiment.backend, env=experiment.environment())
    assert "OUTSIDE" not in told
    assert "8 workers" in told
    assert f"{round(SCALE * EVENTS_PER_FILE['gamma']) * 4} gamma" in told
    assert (output / STEERING).read_bytes() == here
    assert list((output / "pictures").glob("stage3_phase4_*.png"))
    assert not list(output.glob("work-*"))
