"""A plan with statistics: the mean of what was measured, which every worker knows for its events only.

A step moves the mean half the way, so that what it finds comes of several steps, each with the workers that
reported in it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caf_service import Phase, Plan, Results, Setting, Stage, Update, Work
from caf_service.plan import Parameters
from service.toy_plan import pass_gate

STEP = 0.5
"""How far a step goes."""


def begin(settings: Mapping[str, Any], inputs: Mapping[str, Path]) -> Parameters:
    """Nothing is known yet."""
    return {"mean": 0.0}


def work(work: Work) -> Path:
    """Report how far the worker's own events are off."""
    pass_gate(work)
    events = [float(line) for one in work.slices for line in Path(one.file).read_text().split()]
    file = work.directory / "residual.json"
    off = sum(event - work.parameters["mean"] for event in events)
    file.write_text(json.dumps({"events": len(events), "off": off}))
    return file


def update(results: Results, parameters: Parameters) -> Update:
    """Go half of the way."""
    told = [json.loads(file.read_text()) for file in results.files.values()]
    off = sum(one["off"] for one in told) / sum(one["events"] for one in told)
    done = results.position.step + 1 >= results.settings["rounds"]
    return Update({"mean": parameters["mean"] + STEP * off}, {"off": off, "workers": len(told)}, done)


PLAN = Plan(
    name="mean",
    version="1",
    stages=(Stage("only", (Phase("mean", "events", update, max_steps=1000),)),),
    begin=begin,
    work="service.mean_plan:work",
    settings={
        "rounds": Setting((int,), "number of steps", 20),
        "gate": Setting((str,), "file that steps wait for", ""),
        "gate_after": Setting((int,), "the last step that does not wait for it", 0),
    },
    samples=("events",),
)
