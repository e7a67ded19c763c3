"""The documentation is built without a warning, and the pictures say what the code does."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from caf_core.calibration.states import Machine
from caf_core.iov import ExpRun, IoV
from caf_service.app import create_app

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def pictures():
    spec = importlib.util.spec_from_file_location("documentation_pictures", DOCS / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_documentation_builds_without_warnings(tmp_path):
    pytest.importorskip("sphinx", reason="make docs and make test-slow install it")
    command = ["-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", "-b", "html"]
    done = subprocess.run(
        [sys.executable, *command, "-d", str(tmp_path / "doctrees"), str(DOCS), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip()
    commands = (tmp_path / "html" / "reference" / "command-line.html").read_text(encoding="utf-8")
    # A choice holds bars, which would end the cell of a table too early.
    for words in (
        "--take-over",
        "init|collector_completed|completed",
        "metadata|raw",
        "mermaid|dot",
        "INTERRUPTED",
        "caf service init",
        "--output-root",
        "caf calibrations create",
    ):
        assert words in commands
    # An option in a sentence can be copied: it has hyphens, and no dash.
    assert "\N{EN DASH}" not in re.sub("<[^>]*>", "", commands)
    api = (tmp_path / "html" / "reference" / "http-api.html").read_text(encoding="utf-8")
    for path, operations in create_app(None).openapi()["paths"].items():
        for method in operations:
            assert f"{method.upper()} {path}" in re.sub("<[^>]*>", "", api)


def test_the_machine_is_drawn_with_every_state_and_transition(pictures):
    words = " ".join(text.get_text() for text in pictures.draw_machine(Machine()).axes[0].texts)
    words = words.replace("\n", " ")
    for row in Machine().transitions:
        assert row.trigger.replace("_", " ") in words
    for state in Machine().states:
        assert state.replace("_", " ") in words


def test_the_example_of_the_strategies_shows_both_ways_of_merging(pictures):
    """The page says so in words; if the strategies change, it must too."""
    executions, commits = pictures.carried_out(pictures.STRATEGIES["SequentialRunByRun"])
    assert [commit.iov for commit in commits][:2] == [IoV(1, 2, 1, 2), IoV(1, 3, 1, 4)]
    assert any(commit.iov == IoV(1, 8, 1, -1) for commit in commits)
    assert commits[-1].iov == IoV(2, 5, 2, 5)
    assert executions[1][0].runs == (ExpRun(1, 3),)
    assert [len(pictures.carried_out(one)[1]) for one in pictures.STRATEGIES.values()] == [1, 9, 4, 9]


def test_pictures_are_the_same_every_time(pictures, tmp_path):
    for folder in ("first", "second"):
        pictures.write(tmp_path / folder, ["SingleIOV"])
    first, second = (next((tmp_path / folder).iterdir()).read_bytes() for folder in ("first", "second"))
    assert first == second
