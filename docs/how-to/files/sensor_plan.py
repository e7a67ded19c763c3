"""A plan for resident workers: offset and gain of a sensor, from files with one reading a line.

Two phases: in the dark the mean reading is the offset; in the light it has to become the nominal one.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from caf_core import ConfigurationError
from caf_service import Phase, Plan, Request, Results, Setting, Stage, Update, Work

NOMINAL = {"small": 100.0, "large": 250.0}
"""Models of the sensor, and what they should read in the light."""


def begin(settings: Mapping[str, Any], inputs: Mapping[str, Path]) -> dict[str, float]:
    """The first parameters."""
    return {"offset": 0.0, "gain": 1.0}


def add_up(work: Work) -> tuple[Sequence[str], Path]:
    """A worker's step: a command that leaves the number and the sum of the calibrated readings."""
    offset, gain = work.parameters["offset"], work.parameters["gain"]
    program = '{ n++; s += ($1 - offset) * gain } END { printf "%d %.17g\\n", n, s > "sums.txt" }'
    words = ["awk", "-v", f"offset={offset!r}", "-v", f"gain={gain!r}", program]
    return [*words, *(one.file for one in work.slices)], work.directory / "sums.txt"


def mean(files: Mapping[int, Path]) -> tuple[int, float]:
    """The number of all workers' readings, and their mean."""
    rows = [file.read_text().split() for file in files.values()]
    number = sum(int(one) for one, _ in rows)
    if not number:
        raise ConfigurationError("there are no readings in these files.")
    return number, sum(float(one) for _, one in rows) / number


def find_offset(results: Results, parameters: Mapping[str, Any]) -> Update:
    """What the sensor reads in the dark."""
    number, rest = mean(results.files)
    offset = parameters["offset"] + rest / parameters["gain"]
    done = abs(rest) < results.accuracy
    return Update({**parameters, "offset": offset}, {"rest": rest}, done, f"{number} readings")


def find_gain(results: Results, parameters: Mapping[str, Any]) -> Update:
    """What makes the readings nominal in the light."""
    number, reading = mean(results.files)
    off = results.settings["nominal"] / reading - 1.0
    gain = parameters["gain"] * (1.0 + off)
    done = abs(off) < results.accuracy
    return Update({**parameters, "gain": gain}, {"off": off}, done, f"{number} readings")


def finish(
    parameters: Mapping[str, Any], settings: Mapping[str, Any], inputs: Mapping[str, Path], folder: Path
) -> None:
    """The result, beside the ``parameters.json`` and ``steps.json`` that every calibration has."""
    constants = {"model": settings["model"], **parameters}
    (folder / "sensor.json").write_text(json.dumps(constants, indent=2) + "\n")


def arrange(request: Request) -> Request:
    """The model says what is nominal, unless the user does."""
    model = request.settings.get("model", "small")
    if model not in NOMINAL:
        raise ConfigurationError(f"there is no model {model!r}; there are: {', '.join(NOMINAL)}.")
    return evolve(request, settings={"nominal": NOMINAL[model], **request.settings})


PLAN = Plan(
    name="sensor",
    version="1",
    stages=[
        Stage(
            "response",
            [
                Phase("offset", "dark", find_offset, accuracy="accuracy", max_steps=5),
                Phase("gain", "light", find_gain, accuracy="accuracy", max_steps=5),
            ],
        )
    ],
    begin=begin,
    command="sensor_plan:add_up",
    finish=finish,
    arrange=arrange,
    settings={
        "model": Setting((str,), "the model of the sensor: small or large", "small"),
        "nominal": Setting((float,), "its reading in the light, above 0", fits=lambda value: value > 0),
        "accuracy": Setting((float,), "what may be left at the end, above 0", 1e-6, lambda value: value > 0),
    },
    samples=("dark", "light"),
    suffix=".txt",
)
