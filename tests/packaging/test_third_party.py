"""A stranger's distribution: installed for real, listed, used by name, held to the rules, and broken."""

import json
import shutil
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1] / "third_party" / "caf_example"

pytestmark = pytest.mark.slow

LISTING = """
from caf_core.plugins.listing import as_json, plugin_rows
from caf_core.plugins.registry import Registry
print(as_json(plugin_rows(Registry.load())))
"""

ASK = """
import sys
from caf_core.errors import PluginError
from caf_core.plugins.registry import Registry
registry = Registry.load()
for question in sys.argv[1:]:
    kind, name = question.split(":")
    try:
        print(registry.get(kind, name).__qualname__)
    except PluginError as error:
        print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def wheel(build, tmp_path_factory):
    """Built from a copy, for a build leaves nothing in the repository."""
    copy = tmp_path_factory.mktemp("project") / "caf_example"
    shutil.copytree(PROJECT, copy)
    return build(copy).wheel


@pytest.fixture
def environment(new_environment, core, wheel):
    environment = new_environment()
    environment.install(core.wheel, wheel)
    return environment


def listing(environment, **options):
    rows = json.loads(environment.execute("-c", LISTING, **options).stdout)
    return {row["distribution"]: row for row in rows}


def ask(environment, *questions, **options):
    return environment.execute("-c", ASK, *questions, **options).stdout.splitlines()


def damage(environment, module):
    path = environment.site / "caf_example" / module
    text = path.read_text()
    path.unlink()  # it may be a link into the installer's cache
    path.write_text(text + "\ndef broken(:\n")


def test_it_is_listed_and_used_by_name(environment):
    row = listing(environment)["caf-example"]
    assert (row["version"], row["entry_point"], row["status"], row["problems"]) == (
        "1.2.3",
        "example",
        "ok",
        [],
    )
    assert row["brings"] == {
        "backend": ["example"],
        "splitter": ["DealingSplitter"],
        "strategy": ["EveryFewRuns"],
        "runner": ["pairs"],
    }
    questions = ("backend:example", "splitter:DealingSplitter", "strategy:EveryFewRuns", "runner:pairs")
    assert ask(environment, *questions) == [
        "ExampleBackend",
        "DealingSplitter",
        "EveryFewRuns",
        "PairsRunner",
    ]


def test_it_passes_the_conformance_suites(environment):
    environment.install("pytest", "hypothesis")
    tests = environment.path / "tests"
    shutil.copytree(PROJECT / "tests", tests)
    done = environment.execute("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", tests)
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_broken_at_its_door_it_is_shown_and_the_core_goes_on(environment):
    damage(environment, "__init__.py")
    rows = listing(environment)
    assert rows["caf-example"]["status"] == "broken"
    assert "SyntaxError" in rows["caf-example"]["error"]
    assert rows["caf-core"]["status"] == "ok"
    own, lost, other = ask(environment, "splitter:MaxFilesSplitter", "backend:example", "strategy:SingleIOV")
    assert own == "MaxFilesSplitter"
    assert lost.startswith("PluginLoadError there is no backend called 'example' among those")
    assert "caf-example 1.2.3 (SyntaxError: " in lost
    assert other.startswith("UnknownPluginError")
    assert "SingleIOV comes with caf-strategies" in other


def test_broken_inside_it_fails_only_for_who_asks(environment):
    damage(environment, "backend.py")
    assert listing(environment)["caf-example"]["status"] == "ok"
    strategy, backend = ask(environment, "strategy:EveryFewRuns", "backend:example")
    assert strategy == "EveryFewRuns"
    assert backend.startswith("PluginLoadError the backend 'example' of caf-example 1.2.3 cannot be imported")
    assert "SyntaxError" in backend


def test_it_can_be_switched_off_even_when_broken(environment):
    damage(environment, "__init__.py")
    off = {"CAF_DISABLE_PLUGINS": "Caf.Example"}
    assert listing(environment, env=off)["caf-example"]["status"] == "disabled"
    (answer,) = ask(environment, "backend:example", env=off)
    assert answer.startswith("UnknownPluginError there is no backend called 'example'")
