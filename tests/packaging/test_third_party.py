"""A stranger's distribution: installed for real, listed, used by name, held to the rules, and broken."""

import json
import shutil
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1] / "third_party" / "caf_example"

pytestmark = pytest.mark.slow

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


CALIBRATE = """
from pathlib import Path
from caf_core import CAF, Calibration, Collection, ExpRun, Outcome

def collect(context):
    for path in context.input_files:
        number = int(Path(path).read_text())
        context.put(ExpRun(1, number), float(number), entries=1)

def mean(context):
    values = [value for run, value in context.data().chunks()]
    return Outcome("ok", {"mean": sum(values) / len(values)})

for number in range(1, 9):
    Path(f"run-{number}").write_text(str(number))
calibration = Calibration("mean", algorithms=[mean])
files = [f"run-{number}" for number in range(1, 9)]
calibration.add_collection("default", Collection(collect, input_files=files, splitter="DealingSplitter"))
calibration.strategies = "EveryFewRuns"
calibration.runner = "pairs"
caf = CAF()
caf.backend = "example"
caf.output_dir = "out"
caf.add_calibration(calibration)
caf.run()
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
    """What ``caf plugins --json`` says, by distribution."""
    rows = json.loads(environment.caf("plugins", "--json", **options).stdout)
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
        "command": ["example"],
    }
    questions = ("backend:example", "splitter:DealingSplitter", "strategy:EveryFewRuns", "runner:pairs")
    assert ask(environment, *questions) == [
        "ExampleBackend",
        "DealingSplitter",
        "EveryFewRuns",
        "PairsRunner",
    ]


def test_its_command_is_one_of_caf(environment):
    assert environment.caf("example").stdout == "hello from caf-example\n"
    assert "Say hello from a plugin." in environment.caf("--help").stdout


def test_a_calibration_uses_all_of_it_by_name(environment):
    (environment.path / "calibrate.py").write_text(CALIBRATE)
    environment.execute("calibrate.py")
    written = (environment.path / "out" / "outputdb" / "database.txt").read_text()
    iovs = [line.split()[2] for line in written.splitlines()]
    assert iovs == ["1,1,1,3", "1,4,1,6", "1,7,1,8"], "three runs a payload"
    subjobs = list(environment.path.glob("out/mean/0/collector_output/default/*/attempt-1"))
    assert len(subjobs) == 4, "the splitter deals to four subjobs"


def test_it_passes_the_conformance_suites(environment):
    environment.install("pytest", "hypothesis")
    tests = environment.path / "tests"
    shutil.copytree(PROJECT / "tests", tests)
    done = environment.execute("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", tests)
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_broken_at_its_door_it_is_shown_and_the_core_goes_on(environment):
    damage(environment, "__init__.py")
    rows = listing(environment, check=False)
    assert rows["caf-example"]["status"] == "broken"
    assert "SyntaxError" in rows["caf-example"]["error"]
    assert rows["caf-core"]["status"] == "ok"
    for_people = environment.caf("plugins", check=False)
    assert for_people.returncode == 1
    assert "SyntaxError" in for_people.stdout
    assert environment.caf("--help").returncode == 0
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
