"""A small plan for tests: every worker adds up its numbers, which are halved from step to step."""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from caf_service import Phase, Plan, Results, Setting, Stage, Update, Work
from caf_service.plan import Parameters

ROUNDS = 2


def begin(settings: Mapping[str, Any], inputs: Mapping[str, Path]) -> Parameters:
    """Where the search begins."""
    return {"scale": 1.0, "history": []}


def numbers(work: Work) -> list[float]:
    """A worker's share of the input."""
    if not work.slices:
        return [float(work.worker + 1)]
    return [float(line) for one in work.slices for line in Path(one.file).read_text().split()]


def work(work: Work) -> Path:
    """Report the sum of the share, scaled; misbehave as the settings want it."""
    settings = work.settings
    time.sleep(3600.0 if work.worker in settings["slow"] else settings["seconds"])
    pass_gate(work)
    if work.worker in settings["failing"]:
        print("something that the log must show")
        raise RuntimeError(f"worker {work.worker} was told to fail")
    if work.worker in settings["dying"] and not Path(settings["once"]).joinpath(f"{work.worker}").exists():
        Path(settings["once"]).joinpath(f"{work.worker}").touch()
        os.kill(os.getppid(), 9)
    total = work.parameters["scale"] * sum(numbers(work))
    file = work.directory / "sum.json"
    file.write_text(json.dumps({"worker": work.worker, "sum": total, "serial": work.position.serial}))
    return file


def pass_gate(work: Work) -> None:
    """From a step on, go on only when a test wants it: it has done by then what it has to do."""
    gate = work.settings["gate"]
    while gate and work.position.serial > work.settings["gate_after"] and not Path(gate).exists():
        time.sleep(0.05)


def command(work: Work) -> tuple[Sequence[str], Path]:
    """The same by a command."""
    text = json.dumps(
        {"worker": work.worker, "sum": work.parameters["scale"] * sum(numbers(work)), "serial": 0}
    )
    script = "import pathlib, sys; pathlib.Path('sum.json').write_text(sys.argv[1])"
    return [sys.executable, "-c", script, text], work.directory / "sum.json"


def update(results: Results, parameters: Parameters) -> Update:
    """Halve the scale, and keep what was reported."""
    told = {worker: json.loads(file.read_text()) for worker, file in results.files.items()}
    assert all(one["worker"] == worker for worker, one in told.items())
    total = sum(one["sum"] for one in told.values())
    rounds = results.settings["rounds"]
    history = [*parameters["history"], total / len(told)]
    done = (results.position.step + 1) >= rounds
    return Update({"scale": parameters["scale"] * 0.5, "history": history}, {"mean": history[-1]}, done)


def finish(
    parameters: Parameters, settings: Mapping[str, Any], inputs: Mapping[str, Path], folder: Path
) -> None:
    """Write the result."""
    (folder / "history.txt").write_text("\n".join(map(str, parameters["history"])) + "\n")


SETTINGS = {
    "rounds": Setting((int,), "steps of a phase", ROUNDS),
    "seconds": Setting((float,), "how long a step takes [s]", 0.0),
    "slow": Setting((list,), "workers that never get done with a step", []),
    "failing": Setting((list,), "workers that fail", []),
    "dying": Setting((list,), "workers that die in their first step", []),
    "once": Setting((str,), "folder for what has happened", ""),
    "gate": Setting((str,), "file that steps wait for", ""),
    "gate_after": Setting((int,), "the last step that does not wait for it", 0),
}

PLAN = Plan(
    name="toy",
    version="1",
    stages=(
        Stage("first", (Phase("sums", "numbers", "service.toy_plan:update", max_steps=1000),)),
        Stage("second", (Phase("again", "numbers", update), Phase("more", "numbers", update))),
    ),
    begin=begin,
    work="service.toy_plan:work",
    finish=finish,
    settings=SETTINGS,
    samples=(),
    quorum=1.0,
)

FILES_PLAN = evolve(PLAN, name="toy_files", samples=("numbers",))

COMMAND_PLAN = Plan(
    name="toy_command",
    version="1",
    stages=PLAN.stages,
    begin=begin,
    command="service.toy_plan:command",
    settings=SETTINGS,
)

PANDORA_PLAN = evolve(
    PLAN,
    name="toy_pandora",
    stages=(Stage("first", (Phase("sums", "gamma", update),)),),
    samples=("gamma", "muon", "kaon", "zuds"),
)
"""Has the samples of the calorimeter's calibration; its workers read the photons' files."""
