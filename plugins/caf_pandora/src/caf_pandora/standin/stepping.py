"""What a worker does in a step when the stand-in takes Marlin's place."""

from functools import partial
from pathlib import Path

import awkward  # noqa: F401 - it and uproot are imported once in a worker, and not in every step
import uproot  # noqa: F401

from caf_pandora.plan import of_plan
from caf_pandora.standin.detector import CLIC, DETECTORS
from caf_pandora.standin.program import reconstruct
from caf_pandora.stepping import reconstructed
from caf_service.plan import Work


def work(work: Work) -> Path:
    """Reconstruct a share of simulated events."""
    settings = of_plan(work.settings)
    return reconstructed(
        work,
        partial(
            reconstruct,
            detector=DETECTORS.get(work.settings["detector"].upper(), CLIC),
            digi=settings.digi_processor,
            pandora=settings.pandora_processor,
        ),
    )
