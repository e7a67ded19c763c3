"""A small plan whose right answer is known: every worker measures how far a scale is off, on its share."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caf_service.plan import Phase, Plan, Results, Stage, Update
from caf_service.settings import REQUIRED, Setting


def begin(settings: Mapping[str, Any], inputs: Mapping[str, Path]) -> Mapping[str, Any]:
    offset = float(inputs["offset"].read_text()) if "offset" in inputs else 0.0
    return {"scale": settings["start"] + offset, "history": []}


def measured(worker: int, serial: int, parameters: Mapping[str, Any]) -> bytes:
    """What a worker reports."""
    return json.dumps(
        {"pull": (1.0 - parameters["scale"]) * 0.5, "worker": worker, "serial": serial}
    ).encode()


def update(results: Results, parameters: Mapping[str, Any]) -> Update:
    mode = results.settings["mode"]
    if mode == "raises":
        raise ValueError("no peak was found")
    if mode == "dies":
        os.kill(os.getpid(), 9)
    if mode == "slow":
        time.sleep(results.settings["sleep"])
    while mode == "gated" and not Path(results.settings["gate"]).exists():
        time.sleep(0.05)
    if mode == "odd parameters":
        return Update({"scale": "half a character: \ud800"})
    if mode == "odd message":
        return Update({"scale": 1.0, "history": []}, {}, True, "a NUL \0, half a character \udce9")
    if mode == "nan":
        return Update({"scale": float("nan")})
    files = {worker: json.loads(path.read_text()) for worker, path in results.files.items()}
    assert all(one["worker"] == worker for worker, one in files.items())
    assert all(one["serial"] == results.position.serial for one in files.values())
    pull = sum(one["pull"] for one in files.values()) / len(files)
    (results.directory / "record.txt").write_text(f"{results.position.serial} {pull}")
    scale = parameters["scale"] + pull
    seen = [
        results.position.serial,
        sorted(files),
        {name: sorted(one) for name, one in results.earlier.items()},
    ]
    # For a thousand workers that would be more than anybody reads.
    history = [] if mode == "brief" else [*parameters["history"], seen]
    return Update(
        {"scale": scale, "history": history},
        {"pull": pull},
        abs(pull) < results.accuracy,
        f"scale {scale:.4f}",
    )


def finish(
    parameters: Mapping[str, Any], settings: Mapping[str, Any], inputs: Mapping[str, Path], folder: Path
) -> None:
    if settings["mode"] == "no result":
        raise OSError("no place for the result")
    (folder / "pictures").mkdir()
    (folder / "pictures" / "fit.txt").write_text("a fit")
    (folder / "scale.json").write_text(json.dumps(parameters["scale"]))


PLAN = Plan(
    name="toy",
    version="1",
    stages=(
        Stage("first", (Phase("coarse", "muon", update, 0.05), Phase("fine", "kaon", update, "accuracy"))),
        Stage("second", (Phase("last", "muon", update, 0.5, max_steps=3),)),
    ),
    begin=begin,
    work="service.scale_plan:work",
    finish=finish,
    settings={
        "start": Setting((float,), "a number above 0", REQUIRED, lambda value: value > 0),
        "accuracy": Setting((float,), "a number above 0", 0.01, lambda value: value > 0),
        "mode": Setting((str,), "how to misbehave", ""),
        "sleep": Setting((float,), "how long an update takes [s]", 0.0),
        "gate": Setting((str,), "file that updates wait for", ""),
    },
    samples=("muon", "kaon"),
    quorum=1.0,
)
