"""What the tests of caf-pandora share."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from caf_pandora.constants import frozen_constants
from caf_pandora.demo import demo_settings, starting_constants
from caf_pandora.driver import calibrate
from caf_pandora.inputs import Inputs
from caf_pandora.outcome import Setup
from caf_pandora.reading import COS_THETA, Results
from caf_pandora.settings import Settings
from caf_pandora.standin.detector import CLIC, Detector
from caf_pandora.standin.examples import kit
from caf_pandora.standin.photon_id import PhotonId, train
from caf_pandora.standin.program import reconstruct
from caf_pandora.standin.reconstruction import Reconstruction
from caf_pandora.standin.truth import generate, particles

EVENTS: Mapping[str, int] = {"gamma": 800, "kaon": 800, "muon": 400, "zuds": 60}
FILES = 2
JOBS = 3


@pytest.fixture(scope="session")
def settings() -> Settings:
    """Settings for CLIC and three workers."""
    return demo_settings("CLIC", JOBS)


@pytest.fixture(scope="session")
def setup(settings: Settings) -> Setup:
    """The setup that goes with them."""
    return Setup(settings)


@pytest.fixture(scope="session")
def nominal() -> Mapping[str, float]:
    """The constants of the simulated CLIC."""
    return frozen_constants(CLIC.nominal())


@pytest.fixture(scope="session")
def input_files(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Input files of every sample, two each."""
    return Inputs.of(generate(tmp_path_factory.mktemp("input"), FILES, EVENTS), EVENTS)


@pytest.fixture(scope="session")
def calibrated(
    tmp_path_factory: pytest.TempPathFactory, settings: Settings, setup: Setup, input_files: Inputs
) -> SimpleNamespace:
    """A calibration of all stages, from constants up to 20 % off."""
    start = starting_constants(CLIC, seed=3)
    files = kit(start, settings)
    workers = tmp_path_factory.mktemp("workers")
    seen: list[Any] = []
    found = calibrate(setup, input_files, files, workers, reconstruct, seen.append)
    return SimpleNamespace(
        start=start, kit=files, found=found, seen=seen, workers=workers, setup=setup, inputs=input_files
    )


@pytest.fixture(scope="session")
def photon_id() -> PhotonId:
    """Photon identification that was trained on the simulated detector."""
    from caf_pandora.likelihood import Likelihood

    return PhotonId(Likelihood.parse(train(particles("zuds", 0, 3000), 1.0)))


def simulated(
    photon_id: PhotonId,
    sample: str,
    events: int,
    constants: Mapping[str, float],
    detector: Detector = CLIC,
    first: int = 10**6,
) -> Results:
    """What workers would have reported, without files."""
    some = particles(sample, first, events)
    made = Reconstruction(detector, constants, constants["CalibrECAL"])
    out = made.muons(some) if sample == "muon" else made.showers(some, photon_id)
    columns = {name: np.asarray(column, dtype=float) for name, column in out.columns.items()}
    return Results({**columns, COS_THETA: some.cos_theta}, out.histograms)


@pytest.fixture(scope="session")
def simulate(photon_id: PhotonId) -> Callable[..., Results]:
    """``simulate(sample, events, constants)``: results without files."""
    return partial(simulated, photon_id)


@pytest.fixture
def table() -> Callable[..., Results]:
    """``table(column=[...], ...)``: results of hand-written events."""

    def make(**columns: Any) -> Results:
        return Results({name: np.asarray(column, dtype=float) for name, column in columns.items()})

    return make


@pytest.fixture
def steering_text() -> bytes:
    """A steering file as people write them."""
    return Path(__file__).with_name("steering.xml").read_bytes()


@pytest.fixture(scope="session")
def real_files() -> Path:
    """The folder with files that linear-collider groups use; they are not ours to bring along."""
    folder = os.environ.get("CAF_PANDORA_DATA")
    if not folder:
        pytest.skip("real files are needed: set CAF_PANDORA_DATA to the folder with them")
    assert (Path(folder) / "fccReconstruction.xml").is_file(), f"CAF_PANDORA_DATA={folder} holds none"
    return Path(folder)
