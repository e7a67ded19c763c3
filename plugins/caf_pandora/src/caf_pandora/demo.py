"""``python -m caf_pandora.demo``: all three stages with the stand-in, in one process.

Starting from constants up to 20 % off, it ends with a table of the constants found and their fixed points.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from caf_pandora.constants import NAMES, Constants, frozen_constants
from caf_pandora.driver import Calibration, calibrate
from caf_pandora.inputs import SAMPLES, Inputs
from caf_pandora.outcome import Setup
from caf_pandora.record import describe, time_table
from caf_pandora.results import result_files, write_pictures, write_results
from caf_pandora.settings import Settings
from caf_pandora.standin.detector import DETECTORS, Detector
from caf_pandora.standin.examples import kit
from caf_pandora.standin.fixed_points import FixedPoint, fixed_points
from caf_pandora.standin.program import reconstruct
from caf_pandora.standin.truth import generate

FILES = 4
EVENTS_PER_FILE: Mapping[str, int] = {"gamma": 1500, "kaon": 1500, "muon": 1000, "zuds": 300}


def starting_constants(detector: Detector, seed: int, spread: float = 0.2) -> Constants:
    """The detector's constants, each off by up to a fraction."""
    factors = 1 + spread * np.random.default_rng(seed).uniform(-1, 1, len(NAMES))
    return frozen_constants(
        {
            name: value * factor
            for (name, value), factor in zip(detector.nominal().items(), factors, strict=True)
        }
    )


def demo_settings(detector: str, jobs: int) -> Settings:
    """Settings for the stand-in."""
    return Settings.of({"numberOfJobs": jobs, "outputPath": "results", "outputSE": "local"}, detector)


def table(found: Calibration, points: Mapping[str, FixedPoint]) -> str:
    """Constant, start, found, true, tolerance, and whether it is within."""
    lines = [f"{'constant':<31}{'start':>10}{'found':>10}{'true':>10}{'tolerance':>11}{'off by':>9}"]
    for name, point in points.items():
        off = found.constants[name] - point.value
        numbers = [found.start[name], found.constants[name], point.value, point.tolerance]
        verdict = "" if abs(off) <= point.tolerance else "  OUTSIDE"
        lines.append(
            f"{name:<31}" + "".join(f"{one:>10.5g}" for one in numbers[:3]) + f"{numbers[3]:>11.3g}"
            f"{off / point.value:>9.2%}{verdict}"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Calibrate the stand-in's calorimeter."""
    parser = argparse.ArgumentParser(prog="python -m caf_pandora.demo", description=main.__doc__)
    parser.add_argument("--output", type=Path, default=Path("pandora-results"), help="folder of the results")
    parser.add_argument("--detector", choices=sorted(DETECTORS), default="CLIC")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1, help="of the constants to start from")
    parser.add_argument("--no-pictures", action="store_true")
    given = parser.parse_args()
    detector, settings = DETECTORS[given.detector], demo_settings(given.detector, given.workers)
    setup, start = Setup(settings), starting_constants(detector, given.seed)
    with tempfile.TemporaryDirectory() as scratch:
        files = generate(Path(scratch) / "input", FILES, EVENTS_PER_FILE)
        inputs, files_at_start = Inputs.of(files, EVENTS_PER_FILE), kit(start, settings)
        found = calibrate(
            setup,
            inputs,
            files_at_start,
            Path(scratch) / "workers",
            partial(
                reconstruct,
                detector=detector,
                digi=settings.digi_processor,
                pandora=settings.pandora_processor,
            ),
            lambda step: sys.stdout.write(describe(step)),
        )
    write_results(given.output, result_files(files_at_start, settings, start, found.steps))
    if not given.no_pictures:
        write_pictures(given.output / "pictures", found.steps)
    points = fixed_points(detector, setup)
    events = ", ".join(f"{inputs.events(sample)} {sample}" for sample in SAMPLES)
    sys.stdout.write(f"\n{given.workers} workers; events: {events}\n\n")
    sys.stdout.write(table(found, points) + "\n" + time_table(found.steps))
    within = all(abs(found.constants[name] - points[name].value) <= points[name].tolerance for name in NAMES)
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
