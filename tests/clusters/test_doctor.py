"""``caf doctor`` tells the truth about real batch systems."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from clusters.experiment import PATIENCE, Experiment

VERSIONS = {"htcondor": ["condor_version"], "slurm": ["sbatch", "--version"]}
REFUSED = {
    "htcondor": ("--backend-arg", "extra_lines=this is nonsense"),
    "slurm": ("--backend-arg", "partition=nowhere"),
}


def doctor(experiment: Experiment, *words: object) -> tuple[int, dict[str, Any]]:
    """The exit code, and what it says to machines."""
    done = subprocess.run(
        [sys.executable, "-m", "caf_core.cli", "doctor", experiment.backend, "--json", *map(str, words)],
        cwd=experiment.place,
        env=experiment.environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def test_what_it_says_is_true(experiment: Experiment) -> None:
    code, told = doctor(experiment, "--memory", "200MB")
    assert code == 0, told["findings"]
    facts = told["facts"]
    command = VERSIONS[experiment.backend]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found = facts["scheduler"]["site"]["version"]
    assert re.search(r"\d+(\.\d+)+", said)[0] == (
        found if isinstance(found, str) else ".".join(map(str, found))
    )
    (words,) = [one["text"] for one in told["findings"] if one["text"].startswith("version: ")]
    assert words.removeprefix("version: ") in said
    for use in facts["uses"]:
        # The submit command is watched by these tests.
        assert use["where"] and Path(use["where"]).name == Path(use["name"]).name
    probe = facts["probe"]
    assert probe["ended"] and probe["identity"] and probe["asked_memory_mb"] == 200
    assert probe["values"]["host"].partition(".")[0] == os.uname().nodename.partition(".")[0]
    assert probe["values"]["python"] == sys.executable
    assert probe["values"]["sees"] == probe["values"]["writes"] == "yes"
    assert abs(probe["clock"]) <= probe["clock_error"] + 0.5
    assert 0 < probe["round_trip"] < 30 and probe["record_after"] < 60
    assert not list(experiment.place.glob(".caf-doctor-*"))


def test_a_request_that_is_refused_is_told_in_the_schedulers_words(experiment: Experiment) -> None:
    code, told = doctor(experiment, *REFUSED[experiment.backend])
    assert code == 1
    (problem,) = [one for one in told["findings"] if one["level"] == "problem"]
    assert "failed" in problem["text"].lower()


def test_without_the_commands_it_says_so(experiment: Experiment) -> None:
    code, told = doctor(experiment, "--backend-arg", f"path_prefix={experiment.place}")
    assert code == 1
    (problem,) = [one for one in told["findings"] if one["level"] == "problem"]
    assert "does not answer" in problem["text"] and "path_prefix" in problem["remedy"]
