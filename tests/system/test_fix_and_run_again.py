"""Fix the problem and run again: only what is affected is executed again.

Every execution leaves a line in a file.
"""

from collections import Counter
from pathlib import Path

import pytest
from attrs import define

SCRIPT = """
import os
import sys
from pathlib import Path
from caf_core import CAF, Algorithm, Calibration, Outcome

HERE = Path(__file__).parent
SHIFT = 0

def count(what):
    descriptor = os.open(HERE / "counts", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{what}\\n".encode())
    os.close(descriptor)

class Collect:
    def collect(self, context):
        for name in context.input_files:
            count(f"{context.calibration} collect {Path(name).stem} {context.iteration}")
            exp, run, value = Path(name).read_text().split()
            if value == "bad":
                raise ValueError("a bad file")
            context.put((int(exp), int(run)), [float(value) + SHIFT], entries=1)

def mean(values):
    return sum(values) / len(values)

def fit(context):
    count(f"{context.calibration} fit {context.iteration}")
    known = context.conditions.get("first", context.runs[0], 0)
    result = "iterate" if context.iteration < 1 else "ok"
    return Outcome(result, {context.calibration: round(mean(context.data().merged()), 3)})

def fit_second(context):
    count(f"{context.calibration} fit {context.iteration}")
    return Outcome("ok", {"second": 10 * context.conditions.get("first", context.runs[0])})

first = Calibration("first", Collect(), [Algorithm(fit, "fit")], str(HERE / "in" / "*.txt"))
second = Calibration("second", Collect(), [Algorithm(fit_second, "fit")], str(HERE / "in" / "f1.txt"))
second.depends_on(first)
caf = CAF(HERE / "out")
for calibration in (first, second):
    calibration.collections["default"].max_files_per_collector_job = 1
    caf.add_calibration(calibration)
caf.run()
"""


@define
class Site:
    """A script with its input, started again and again."""

    folder: Path
    call: object
    script: str = SCRIPT

    def run(self, *options, code=0):
        """Execute the script; returns what was executed, and what was said."""
        path, counts = self.folder / "script.py", self.folder / "counts"
        path.write_text(self.script)
        counts.write_text("")
        done = self.call("run", *options, path)
        assert done.code == code, done.err
        return Counter(counts.read_text().splitlines()), done.err

    def change(self, old, new) -> None:
        assert old in self.script
        self.script = self.script.replace(old, new)

    def write(self, number, value) -> None:
        (self.folder / "in").mkdir(exist_ok=True)
        (self.folder / "in" / f"f{number}.txt").write_text(f"1 {number} {value}")

    def constants(self) -> dict[str, object]:
        from caf_core.conditions.local import LocalDatabase

        database = LocalDatabase(self.folder / "out" / "outputdb")
        return {entry.name: database.load(entry) for entry in database.entries()}


@pytest.fixture
def site(tmp_path, caf) -> Site:
    """Three files, and the calibrations have been run once."""
    found = Site(tmp_path, caf)
    for number in (1, 2, 3):
        found.write(number, number)
    return found


COLLECTED = [f"first collect f{number} {iteration}" for number in (1, 2, 3) for iteration in (0, 1)]
SECOND = ["second collect f1 0", "second fit 0"]
EVERYTHING = Counter([*COLLECTED, "first fit 0", "first fit 1", *SECOND])


def test_nothing_changed_nothing_is_executed(site) -> None:
    assert site.run()[0] == EVERYTHING
    executed, said = site.run()
    assert not executed
    assert "first: it has completed before, and nothing has changed" in said
    assert site.constants() == {"first": 2.0, "second": 20.0}


def test_comments_docstrings_and_other_definitions_change_nothing(site) -> None:
    site.run()
    site.change(
        "SHIFT = 0\n", "SHIFT = 0  # mm\n\n\n# As agreed.\nUNUSED = 7\n\ndef unused():\n    return 1\n"
    )
    site.change("def fit(context):\n", 'def fit(context):\n    """Takes the mean."""\n')
    assert not site.run()[0]


def test_a_changed_algorithm_executes_algorithms_on_the_collected_output(site) -> None:
    site.run()
    site.change("return sum(values) / len(values)", "return max(values)")
    executed, said = site.run()
    # The collectors of iteration 1 depend on the constants of iteration 0, which are others now.
    again = ["first fit 0", "first fit 1", *(f"first collect f{number} 1" for number in (1, 2, 3))]
    assert executed == Counter([*again, *SECOND])
    assert "first: its algorithms have changed" in said
    assert site.constants() == {"first": 3.0, "second": 30.0}


def test_dependents_are_executed_again_only_if_constants_changed(site) -> None:
    site.run()
    site.change("round(mean(context.data().merged()), 3)", "round(mean(context.data().merged()) + 1e-9, 3)")
    executed, _ = site.run()
    assert executed["first fit 0"] == 1
    assert not any(line.startswith("second") for line in executed)
    assert site.constants() == {"first": 2.0, "second": 20.0}


def test_a_changed_algorithm_of_the_last_touches_nothing_before_it(site) -> None:
    site.run()
    site.change('{"second": 10 *', '{"second": 100 *')
    assert site.run()[0] == Counter(["second fit 0"])
    assert site.constants() == {"first": 2.0, "second": 200.0}


def test_a_changed_collector_executes_everything_again(site) -> None:
    site.run()
    site.change("SHIFT = 0", "SHIFT = 1")
    executed, said = site.run()
    assert executed == EVERYTHING
    assert "its collectors, input or constants have changed" in said
    assert site.constants() == {"first": 3.0, "second": 30.0}


def test_a_changed_file_executes_its_own_task_again(site) -> None:
    site.run()
    site.write(2, 52)
    executed, said = site.run()
    collected = Counter(
        line for line in executed if "collect" in line and line.endswith(" 0") and "first" in line
    )
    assert collected == Counter(["first collect f2 0"])
    assert "1 of 3 task(s) are executed again" in said
    assert site.constants() == {"first": round(56 / 3, 3), "second": 10 * round(56 / 3, 3)}


def test_a_new_file_executes_only_its_own_task(site) -> None:
    site.run()
    site.write(0, 6)
    executed, _ = site.run()
    assert [line for line in executed if line.startswith("first collect") and line.endswith(" 0")] == [
        "first collect f0 0"
    ]
    assert site.constants()["first"] == 3.0


def test_the_result_is_that_of_a_run_from_scratch(site, tmp_path_factory, caf) -> None:
    site.run()
    site.write(2, 7)
    site.write(0, 9)
    site.run()
    fresh = Site(tmp_path_factory.mktemp("fresh"), caf)
    for number, value in [(0, 9), (1, 1), (2, 7), (3, 3)]:
        fresh.write(number, value)
    fresh.run()
    assert site.constants() == fresh.constants()


def test_after_a_failed_collector_only_what_failed_is_executed_again(site) -> None:
    site.write(2, "bad")
    executed, said = site.run(code=1)
    assert "ValueError: a bad file" in said
    assert executed["first collect f1 0"] == 1
    assert not any("fit" in line for line in executed)
    site.write(2, 2)
    executed, _ = site.run()
    assert executed == EVERYTHING - Counter(["first collect f1 0", "first collect f3 0"])
    assert site.constants() == {"first": 2.0, "second": 20.0}


def test_after_a_failed_algorithm_only_algorithms_are_executed_again(site) -> None:
    site.change("    known =", "    assert context.iteration == 0, 'too early'\n    known =")
    executed, said = site.run(code=1)
    assert "AssertionError: too early" in said
    assert executed["first fit 1"] == 1
    site.change("    assert context.iteration == 0, 'too early'\n", "")
    executed, _ = site.run()
    assert not any(
        "collect" in line and line.endswith(" 0") and line.startswith("first") for line in executed
    )
    assert site.constants() == {"first": 2.0, "second": 20.0}


def test_trying_again_without_a_change_executes_what_failed_once_more(site) -> None:
    site.change("    known =", "    assert not (HERE / 'stop').exists(), 'not now'\n    known =")
    (site.folder / "stop").touch()
    site.run(code=1)
    executed, said = site.run(code=1)
    assert executed == Counter(["first fit 0"])
    assert "it failed before: it goes on from collector_completed" in said
    (site.folder / "stop").unlink()
    executed, _ = site.run()
    assert executed == EVERYTHING - Counter(f"first collect f{number} 0" for number in (1, 2, 3))


def test_the_user_may_say_where_to_start(site) -> None:
    site.change(
        "    caf.add_calibration(calibration)",
        "    if calibration is first: caf.add_calibration(calibration)",
    )
    site.run()
    executed, said = site.run("--from", "init", "--iteration", "1")
    assert {line for line in executed if line.startswith("first")} == {
        *(f"first collect f{number} 1" for number in (1, 2, 3)),
        "first fit 1",
    }
    assert "as you asked" in said
    executed, _ = site.run("--from", "init", "--iteration", "0")
    assert executed == EVERYTHING - Counter(SECOND)


def test_more_iterations_go_on_from_the_last(site) -> None:
    site.change("context.iteration < 1", "context.iteration < 9")
    site.change("caf.run()", "first.max_iterations = 0\ncaf.run()")
    site.run()
    site.change("first.max_iterations = 0", "first.max_iterations = 1")
    executed, _ = site.run()
    assert executed["first fit 0"] == 0
    assert executed["first fit 1"] == 1
    assert not any(
        "collect" in line and line.endswith(" 0") and line.startswith("first") for line in executed
    )
