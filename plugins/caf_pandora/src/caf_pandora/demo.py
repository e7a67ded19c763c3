"""``python -m caf_pandora.demo``: all three stages with the stand-in, starting from constants up to 20 % off.

In one process, or with ``--service`` by a service, its agent and resident workers. It ends with a table of
the constants found and their fixed points.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from caf_core.errors import CafError
from caf_pandora.constants import NAMES, Constants, frozen_constants
from caf_pandora.driver import Calibration, calibrate
from caf_pandora.inputs import SAMPLES, Inputs
from caf_pandora.outcome import Setup
from caf_pandora.pictures import gather, write_pictures
from caf_pandora.record import describe, time_rows, time_table
from caf_pandora.results import result_files, write_results
from caf_pandora.settings import Settings
from caf_pandora.sketch import Sketch
from caf_pandora.standin.detector import DETECTORS, Detector
from caf_pandora.standin.examples import kit
from caf_pandora.standin.fixed_points import FixedPoint, fixed_points
from caf_pandora.standin.program import reconstruct
from caf_pandora.standin.truth import generate

if TYPE_CHECKING:
    from caf_pandora.resident import Found

FILES = 4
EVENTS_PER_FILE: Mapping[str, int] = {"gamma": 1500, "kaon": 1500, "muon": 1000, "zuds": 300}
EVENTS_PER_SEED = 100_000
MOST_SEEDS = 20_000
"""So many give numbers of events that fit into the branch ``event``."""
MOMENT = 20.0
"""For so long somebody may still write when all is over [s]."""


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


def table(found: "Calibration | Found", points: Mapping[str, FixedPoint]) -> str:
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


def arguments() -> argparse.Namespace:
    """What the user asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m caf_pandora.demo", description="Calibrate the stand-in's calorimeter."
    )
    parser.add_argument("--output", type=Path, default=Path("pandora-results"), help="folder of the results")
    parser.add_argument("--detector", choices=sorted(DETECTORS), default="CLIC")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument(
        "--seed", type=_seed, default=1, help="of the constants to start from, and of the events (from 1 on)"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="so many times as many events")
    parser.add_argument("--no-pictures", action="store_true")
    parser.add_argument("--service", action="store_true", help="with a service, its agent and its workers")
    parser.add_argument("--backend", default="local", help="what executes the workers (default: %(default)s)")
    parser.add_argument(
        "--host",
        default="",
        help="where the service listens (default: this machine only, and everywhere for batch systems)",
    )
    return parser.parse_args()


def _seed(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MOST_SEEDS:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to {MOST_SEEDS}")
    return number


def first_event(seed: int) -> int:
    """The number of the first event of every sample; other events have other random numbers."""
    return EVENTS_PER_SEED * (seed - 1)


def main() -> int:
    """Calibrate the stand-in's calorimeter."""
    given = arguments()
    # Whoever ends this process ends its workers, too, which may be on other machines.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    given.output.mkdir(parents=True, exist_ok=True)
    # Workers of a batch system need a folder that its nodes see, which the results' folder should be.
    scratch = Path(tempfile.mkdtemp(prefix="work-", dir=given.output.absolute()))
    settings = demo_settings(given.detector, given.workers)
    numbers = {sample: max(1, round(given.scale * number)) for sample, number in EVENTS_PER_FILE.items()}
    try:
        inputs = Inputs.of(generate(scratch / "input", FILES, numbers, first_event(given.seed)), numbers)
        found, rows = (_by_service if given.service else _here)(given, settings, inputs, scratch)
    except CafError as problem:
        sys.stderr.write(f"{problem}\nits files are in {scratch}\n")
        return 1
    except (KeyboardInterrupt, SystemExit):
        _remove(scratch)  # another demo begins anew
        raise
    _remove(scratch)
    points = fixed_points(DETECTORS[given.detector], Setup(settings))
    events = ", ".join(f"{inputs.events(sample)} {sample}" for sample in SAMPLES)
    pictures = len(list((given.output / "pictures").glob("*.png")))
    sys.stdout.write(f"\n{given.workers} workers; events: {events}\n\n")
    sys.stdout.write(table(found, points) + "\n" + time_table(rows))
    sys.stdout.write(f"\nthe result is in {given.output}, with {pictures} pictures\n")
    within = all(abs(found.constants[name] - points[name].value) <= points[name].tolerance for name in NAMES)
    return 0 if within else 1


def _remove(folder: Path) -> None:
    """Remove a folder in which a worker, or an update that is being ended, may write for a moment more."""
    until = time.monotonic() + MOMENT
    shutil.rmtree(folder, ignore_errors=True)
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.1)
        shutil.rmtree(folder, ignore_errors=True)


def _here(
    given: argparse.Namespace, settings: Settings, inputs: Inputs, scratch: Path
) -> tuple["Calibration | Found", Iterable[tuple[str, str, float]]]:
    """In this process."""
    detector = DETECTORS[given.detector]
    start = starting_constants(detector, given.seed)
    files = kit(start, settings)
    found = calibrate(
        Setup(settings),
        inputs,
        files,
        scratch / "workers",
        partial(
            reconstruct,
            detector=detector,
            digi=settings.digi_processor,
            pandora=settings.pandora_processor,
        ),
        lambda step: sys.stdout.write(describe(step)),
    )
    write_results(given.output, result_files(files, settings, start, found.steps))
    if not given.no_pictures:
        write_pictures(given.output / "pictures", map(Sketch.of, found.steps))
    return found, time_rows(found.steps)


def _by_service(
    given: argparse.Namespace, settings: Settings, inputs: Inputs, scratch: Path
) -> tuple["Calibration | Found", Iterable[tuple[str, str, float]]]:
    """By a service and resident workers."""
    from caf_pandora.resident import Wish
    from caf_pandora.resident import calibrate as calibrate_resident

    wish = Wish(
        plan="pandora-standin",
        settings={
            "detector": given.detector,
            "numberOfEventsPerFile": dict(inputs.events_per_file),
            # They are drawn at the end: importing matplotlib in each step would take most of the time.
            "pictures": False,
        },
        files=inputs.files,
        kit=kit(starting_constants(DETECTORS[given.detector], given.seed), settings),
        workers=given.workers,
        quorum=1.0,
    )
    found = calibrate_resident(wish, scratch, given.output, given.backend, given.host, _tell)
    if not given.no_pictures:
        gather(given.output)
    return found, found.steps


def _tell(step: Mapping[str, Any]) -> None:
    seconds = step["ended"] - step["began"]
    sys.stdout.write(
        f"{step['stage']} {step['phase']:<21} step {step['step']}: {step['used']} workers, {seconds:5.2f} s, "
        f"{step['message']}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
