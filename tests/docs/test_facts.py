"""Facts that pages write out by hand are those of the code."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from caf_core import FailureKind, RetryPolicy, State
from caf_core.calibration.convergence import Convergence
from caf_core.control import crash
from caf_core.jobs import workspace
from caf_core.jobs.config import places, schema
from caf_core.jobs.files import write_submission, write_tasks
from caf_core.jobs.retry import Rule
from caf_core.jobs.task import Resources, TaskSpec
from caf_core.plugins.plugin import DISABLE_VARIABLE
from caf_pandora import stepping
from caf_service import client
from caf_service.config import ServiceConfig
from caf_service.quarters import Terms

ROOT = Path(__file__).parents[2]


def page(name):
    return (ROOT / name).read_text(encoding="utf-8")


def first_cells(text):
    """The names in the first column of the tables of a page."""
    rows = re.findall(r"^\| (`[^|]*) \|", text, flags=re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_the_page_of_files_names_every_field_of_the_exit_record(tmp_path):
    write_tasks(tmp_path, [TaskSpec(tmp_path / "0", argv=("true",))])
    submission = write_submission(tmp_path, "token", [0], [1], Resources())
    program = "import sys; from caf_core.jobs.node import main; main(sys.argv[1:])"
    subprocess.run([sys.executable, "-c", program, submission, "0"], check=True)
    record = json.loads((submission / "records" / "0.json").read_text())
    text = page("docs/reference/files.md")
    section = text[text.index("### The exit record") : text.index("## A local database")]
    assert first_cells(section) == set(record)


def test_the_page_of_the_environment_names_every_variable():
    text = page("docs/reference/environment.md")
    named = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", text))
    assert {
        *workspace.INHERITED,
        *workspace.THREAD_VARIABLES,
        DISABLE_VARIABLE,
        crash.VARIABLE,
        places.VARIABLE,
        client.URL,
        client.TOKEN,
        client.CERTIFICATE,
        stepping.COMMAND,
    } <= named
    inherited = text[text.index("and, from the machine") : text.index("Without `LC_ALL`")]
    assert set(re.findall(r"`([A-Z][A-Z0-9_]+)`", inherited)) == set(workspace.INHERITED)


def test_the_page_of_the_configuration_names_every_key():
    text = page("docs/reference/configuration.md")
    sections = [first_cells(part) for part in text.split("\n## ")]
    assert sections == [
        {*schema.TOP, "backends.NAME.KEY"},
        *map(set, (schema.RESOURCES, schema.RETRY, schema.ATTEMPTS)),
    ]


def test_the_default_retry_policy_is_that_of_the_page():
    rows = re.findall(
        r"^\| (`.*?) \| (\d+) \| (.*?) \|$", page("docs/explanation/tasks.md"), flags=re.MULTILINE
    )
    told = {kind: int(attempts) for kinds, attempts, _ in rows for kind in re.findall(r"`(\w+)`", kinds)}
    assert told == {kind.value: RetryPolicy().rule(kind).attempts for kind in FailureKind}
    assert {kind for kind in FailureKind if RetryPolicy().rule(kind) == Rule()} == {
        FailureKind.EXIT_CODE,
        FailureKind.BAD_OUTPUT,
        FailureKind.CANCELLED,
    }


def test_the_kinds_of_failure_are_explained():
    assert first_cells(page("docs/how-to/debug-a-failed-job.md")) == {kind.value for kind in FailureKind}


def test_the_times_that_pages_of_the_service_tell_are_those_of_the_code():
    resident, operate = (
        page("docs/explanation/resident-workers.md"),
        page("docs/how-to/operate-the-service.md"),
    )
    assert Terms().patience == 45 * 60
    assert "for 45 minutes" in resident
    assert "for 45 minutes" in operate
    assert Terms().silence == 5 * 60
    assert "no sign of life for five minutes" in resident
    assert Terms().farewell == 2 * 60
    assert "gets two minutes" in resident
    config = ServiceConfig(data="service")
    assert (config.max_wait, config.retention) == (10 * 60, 7 * 86400)
    assert "for ten minutes (`--max-wait`)" in resident
    assert "seven days" in operate


@pytest.mark.parametrize("words", [State, Convergence])
def test_the_states_are_explained(words):
    listed = re.findall(r"^- (`.*?):", page("docs/explanation/states.md"), flags=re.MULTILINE)
    named = {name for item in listed for name in re.findall(r"`(\w+)`", item)}
    assert {word.value for word in words} <= named


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_what_is_named_in_the_repository_is_there(name):
    text = page(name)
    linked = [path for path in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in path]
    named = [
        path for path in re.findall(r"`([\w/]+\.(?:py|md|toml))`", text) if "/" in path and "NAME" not in path
    ]
    assert linked or named
    assert [path for path in [*linked, *named] if not (ROOT / path).exists()] == []
