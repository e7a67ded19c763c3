"""Fix the problem and run again: only what is affected is executed again.

Every execution leaves a line in a file.
"""

import os
import shutil
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

    def everything(self) -> dict[str, bytes]:
        """The lines and payloads of all final databases."""
        found = [*self.folder.glob("out/outputdb/*"), *self.folder.glob("out/*/outputdb/*")]
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in found
            if "provenance" not in path.name
        }


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


GROUPED = """
import os
import struct
from pathlib import Path
from caf_core import CAF, Calibration, MaxFilesSplitter, MaxSubjobsSplitter, Outcome, SubjobSplitter

HERE = Path(__file__).parent

class ByFirst(SubjobSplitter):
    "Files whose numbers begin alike belong together."
    def create_subjobs(self, job):
        groups = {}
        for file in job.input_files:
            groups.setdefault(Path(file).stem[1], []).append(file)
        for number, files in enumerate(groups.values()):
            job.create_subjob(number, input_files=files)

def collect(context):
    descriptor = os.open(HERE / "counts", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for name in context.input_files:
        os.write(descriptor, f"{Path(name).stem}\\n".encode())
        for line in Path(name).read_text().splitlines():
            exp, run, value = line.split()
            context.put((int(exp), int(run)), [value], entries=1)
    os.close(descriptor)

def fit(context):
    return Outcome("ok", {"order": context.data().merged(), "runs": [list(run) for run in context.runs]})

cal = Calibration("x", collect, [fit], sorted(map(str, (HERE / "in").glob("*.txt"))))
cal.collections["default"].splitter = MaxFilesSplitter(3)
caf = CAF(HERE / "out")
caf.add_calibration(cal)
caf.run()
"""
"""Nine files; every file holds a run of its own, and a part of run 100."""


@pytest.fixture
def grouped(tmp_path, caf) -> Site:
    found = Site(tmp_path, caf, GROUPED)
    for number in range(1, 10):
        found.write(number, f"{number}\n1 100 f{number}")
        (tmp_path / "in" / f"f{number}.txt").write_text(f"1 {number} own\n1 100 f{number}\n")
    return found


def is_as_from_scratch(site, tmp_path_factory, caf) -> bool:
    fresh = Site(tmp_path_factory.mktemp("fresh"), caf, site.script)
    (fresh.folder / "in").mkdir()
    for path in (site.folder / "in").iterdir():
        (fresh.folder / "in" / path.name).write_bytes(path.read_bytes())
    fresh.run()
    lines = [(one.folder / "out" / "outputdb" / "database.txt").read_text() for one in (site, fresh)]
    return lines[0] == lines[1]


def remove(*names):
    def change(site):
        for name in names:
            (site.folder / "in" / f"{name}.txt").unlink()

    return change


def put(*names):
    def change(site):
        for name in names:
            (site.folder / "in" / f"{name}.txt").write_text(f"1 {50 + len(name)} new\n1 100 {name}\n")

    return change


@pytest.mark.parametrize(
    ("change", "again", "words"),
    [
        (remove("f1"), {"f2", "f3"}, "f1.txt removed"),
        (remove("f5"), {"f4", "f6"}, "f5.txt removed"),
        (remove("f9"), {"f7", "f8"}, "f9.txt removed"),
        (remove("f1", "f2", "f3", "f9"), {"f7", "f8"}, "4 input files removed ("),
        (put("f0"), {"f0"}, "f0.txt added"),
        (put("f91", "f92"), {"f91", "f92"}, "2 input files added ("),
        (put("f45"), {"f4", "f45", "f5", "f6"}, "f45.txt added"),
        (put("f5"), {"f4", "f5", "f6"}, "f5.txt changed"),
    ],
)
def test_groups_of_unchanged_files_are_kept(grouped, change, again, words, tmp_path_factory, caf) -> None:
    """Whatever is kept, the payloads are those of a run from scratch, also where a run lies in many files."""
    grouped.run()
    change(grouped)
    executed, said = grouped.run()
    assert set(executed) == again
    assert words in said
    assert not grouped.run()[0], "and then nothing has changed"
    assert is_as_from_scratch(grouped, tmp_path_factory, caf)


def test_groups_that_change_places_are_kept(grouped, tmp_path_factory, caf) -> None:
    grouped.run()
    files = 'sorted(map(str, (HERE / "in").glob("*.txt")))'
    grouped.change(files, f"{files}[3:] + {files}[:3]")
    executed, said = grouped.run()
    assert not executed
    assert "(order of the input files)" in said
    assert is_as_from_scratch(grouped, tmp_path_factory, caf)
    grouped.change(f"{files}[3:] + {files}[:3]", f"{files}[::-1]")
    assert len(grouped.run()[0]) == 9


@pytest.mark.parametrize("splitter", ["MaxSubjobsSplitter(3)", "ByFirst()"])
def test_other_splitters_keep_what_is_unchanged_too(grouped, splitter, tmp_path_factory, caf) -> None:
    grouped.change("MaxFilesSplitter(3)", splitter)
    grouped.run()
    put("f31")(grouped)
    remove("f8")(grouped)
    executed, _ = grouped.run()
    kept = {"f1", "f2", "f3", "f4", "f5", "f6"} - ({"f3"} if "By" in splitter else set())
    assert kept.isdisjoint(executed)
    assert "f31" in executed
    assert is_as_from_scratch(grouped, tmp_path_factory, caf)


def test_what_was_taken_away_and_comes_back_is_still_there(grouped) -> None:
    grouped.run()
    remove("f1")(grouped)
    grouped.run()
    aside = grouped.folder / "in" / "f2.txt"
    stays = aside.rename(grouped.folder / "f2.txt")
    assert set(grouped.run()[0]) == {"f3"}
    stays.rename(aside)
    assert not grouped.run()[0]


def test_runs_that_are_no_longer_wanted_cost_the_tasks_that_have_them(grouped, tmp_path_factory, caf) -> None:
    for number in range(1, 10):
        (grouped.folder / "in" / f"f{number}.txt").write_text(f"1 {number} own\n")
    grouped.run()
    grouped.change("caf = CAF", "cal.ignored_runs = [(1, 5)]\ncaf = CAF")
    executed, said = grouped.run()
    assert set(executed) == {"f4", "f5", "f6"}
    assert "ignored run 1,5 added" in said
    grouped.change("caf.run()", "caf.run(iov=(1, 1, 1, 8))")
    assert set(grouped.run()[0]) == {"f7", "f8", "f9"}
    assert is_as_from_scratch(grouped, tmp_path_factory, caf)
    grouped.change("cal.ignored_runs = [(1, 5)]", "")
    assert set(grouped.run()[0]) == {"f7", "f8", "f9"}, "they were collected without a run that is wanted now"


def test_what_has_changed_is_said(site) -> None:
    site.run()
    site.change("caf.run()", "first.collections['default'].params = {'cut': 3}\ncaf.run()")
    assert "first: its collectors, input or constants have changed (parameter cut added)" in site.run()[1]
    site.change("SHIFT = 0", "SHIFT = 1")
    said = site.run()[1]
    assert "first: its collectors, input or constants have changed (collector)" in said
    assert (
        "second: its collectors, input or constants have changed (constant first changed; collector)" in said
    )
    site.change("sum(values) / len(values)", "max(values)")
    assert "first: its algorithms have changed (code of algorithm 'fit')" in site.run()[1]


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


def tidied(site, *options) -> str:
    done = site.call("tidy", "-p", site.folder / "out", *options)
    assert done.code == 0, done.err
    return done.out


def test_what_tidy_leaves_is_enough_to_start_again(site) -> None:
    site.run()
    before = site.everything()
    would = tidied(site, "--dry-run")
    assert "first: would remove " in would
    assert tidied(site) == would.replace("would remove", "removed")
    assert "first: there is nothing to remove" in tidied(site)
    assert not site.run()[0]
    site.change("return sum(values) / len(values)", "return max(values)")
    executed, _ = site.run()
    again = ["first fit 0", "first fit 1", *(f"first collect f{number} 1" for number in (1, 2, 3))]
    assert executed == Counter([*again, *SECOND])
    assert site.constants() == {"first": 3.0, "second": 30.0}

    site.change("return max(values)", "return sum(values) / len(values)")
    site.run()
    assert site.everything() == before
    tidied(site, "--final")
    files = [path for path in (site.folder / "out").rglob("*") if path.is_file() and ".caf" not in path.parts]
    assert {path.name for path in files} - {Path(name).name for name in before} == {
        "caf_state.db",
        "provenance.jsonl",
        "account.json",
    }
    executed, said = site.run()
    assert not executed
    assert "first: it has completed before, and nothing has changed" in said
    assert site.everything() == before
    told = site.call("debug", "-p", site.folder / "out", "first", "default/0")
    assert told.code == 2
    assert "caf tidy" in told.err
    site.change("return sum(values) / len(values)", "return max(values)")
    executed, said = site.run()
    assert executed == EVERYTHING
    assert "the output of iteration 0 was not kept" in said
    assert site.constants() == {"first": 3.0, "second": 30.0}


def test_tidy_leaves_what_has_not_completed(site) -> None:
    site.change("values) / len(values)", "values) / 0")
    site.run(code=1)
    out = site.folder / "out"
    before = {path: path.read_bytes() for path in (out / "first").rglob("*") if path.is_file()}
    assert "first: kept as it is, since it has not completed (failed)" in tidied(site, "--final")
    assert {path: path.read_bytes() for path in (out / "first").rglob("*") if path.is_file()} == before
    assert site.call("tidy", "-p", site.folder / "elsewhere").code == 3


def changed_byte(path: Path) -> None:
    """As a disk may do it: size and time stay."""
    status, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def without_line(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))


def payload(folder: Path) -> Path:
    return next(path for path in folder.glob("*_rev_*.json") if "provenance" not in path.name)


SECOND_ITERATION = [*(line for line in COLLECTED if line.endswith(" 1")), "first fit 1"]
FIRST_AGAIN = Counter([*COLLECTED, "first fit 0", "first fit 1"])


@pytest.mark.parametrize(
    ("damage", "said_then", "executed_then"),
    [
        (lambda out: shutil.rmtree(out / "first/outputdb"), "are gone; the constants are copied", Counter()),
        (lambda out: without_line(out / "first/outputdb/database.txt"), "the line 'first ", Counter()),
        (
            lambda out: changed_byte(payload(out / "first/outputdb")),
            "was changed; the constants are copied",
            Counter(),
        ),
        (
            lambda out: payload(out / "first/outputdb").unlink(),
            "is gone or damaged; the constants are copied",
            Counter(),
        ),
        (
            lambda out: [shutil.rmtree(path) for path in out.glob("first/**/outputdb")],
            "it starts again from collector_completed, iteration 0",
            Counter(SECOND_ITERATION),
        ),
        (lambda out: shutil.rmtree(out / "first"), "it starts again from init, iteration 0", FIRST_AGAIN),
        (
            lambda out: [shutil.rmtree(out / "first/outputdb"), shutil.rmtree(out / "second")],
            "second: its constants in",
            Counter(SECOND),
        ),
        (lambda out: shutil.rmtree(out / "outputdb"), "nothing has changed", Counter()),
        (lambda out: changed_byte(payload(out / "outputdb")), "nothing has changed", Counter()),
    ],
)
def test_lost_constants_of_what_has_completed_are_made_again(site, damage, said_then, executed_then) -> None:
    site.run()
    before = site.everything()
    damage(site.folder / "out")
    executed, said = site.run()
    assert said_then in said
    assert executed == executed_then
    assert site.everything() == before


STOPPED = (
    "def fit(context):\n",
    'def fit(context):\n    if context.iteration and (HERE / "stop").exists(): 1 / 0\n',
)


@pytest.mark.parametrize(
    ("damage", "said_then", "executed_then"),
    [
        (
            lambda one: (one / "1/collector_output/default/1/attempt-1/collected.caf").unlink(),
            "collected.caf are gone; iteration 1 starts again",
            ["first collect f2 1", "first fit 1"],
        ),
        (
            lambda one: os.truncate(one / "1/collector_output/default/1/attempt-1/collected.caf", 3),
            "collected.caf were changed; iteration 1 starts again",
            ["first collect f2 1", "first fit 1"],
        ),
        (
            lambda one: changed_byte(one / "0/algorithm_output/outputdb/payloads.zip"),
            "is gone or damaged; it starts again from collector_completed, iteration 0",
            SECOND_ITERATION,
        ),
        (
            lambda one: [changed_byte(kit) for kit in (one / "kits").iterdir()],
            "it goes on from collector_completed, iteration 1",
            ["first fit 1"],
        ),
        (
            lambda one: shutil.rmtree(one / "0/algorithm_output"),
            "that fit left in",
            ["first fit 0", *SECOND_ITERATION],
        ),
    ],
)
def test_what_is_lost_in_the_middle_is_made_again(site, damage, said_then, executed_then) -> None:
    site.change(*STOPPED)
    (site.folder / "stop").touch()
    site.run(code=1)
    (site.folder / "stop").unlink()
    damage(site.folder / "out/first")
    executed, said = site.run()
    assert said_then in said
    assert executed == Counter([*executed_then, *SECOND])
    assert site.constants() == {"first": 2.0, "second": 20.0}


def test_data_that_only_their_checksum_tells_from_the_collected_ones_are_collected_anew(site) -> None:
    site.change(*STOPPED)
    (site.folder / "stop").touch()
    site.run(code=1)
    (site.folder / "stop").unlink()
    changed_byte(site.folder / "out/first/1/collector_output/default/1/attempt-1/collected.caf")
    _, said = site.run(code=1)
    assert "collected.caf are damaged: their checksum is another one" in said
    assert site.run()[0]["first collect f2 1"] == 1
    assert site.constants() == {"first": 2.0, "second": 20.0}


def test_output_that_a_stopped_process_had_collected_and_that_is_gone_is_collected_again(site) -> None:
    site.write(3, "bad")
    site.run(code=1)
    shutil.rmtree(site.folder / "out/first/0/collector_output/default/0")
    executed, said = site.run(code=1)
    assert "output of 1 task(s) of collection 'default' is gone; 2 of 3 task(s) are" in said
    assert executed == Counter(["first collect f1 0", "first collect f3 0"])


def test_output_that_caf_removed_on_purpose_is_not_missed(site) -> None:
    site.change("caf.add_calibration", 'calibration.keep_collector_output = "failed"; caf.add_calibration')
    site.run()
    assert not list((site.folder / "out").glob("*/*/collector_output/default"))
    executed, said = site.run()
    assert not executed
    assert "first: it has completed before, and nothing has changed" in said


@pytest.mark.parametrize("original", ["gone", "changed"])
def test_a_stopped_process_goes_on_where_it_was_moved_or_copied_to(site, original) -> None:
    site.change(*STOPPED)
    (site.folder / "stop").touch()
    site.run(code=1)
    (site.folder / "stop").unlink()
    shutil.copytree(site.folder / "out", site.folder / "elsewhere" / "moved")
    if original == "gone":
        shutil.rmtree(site.folder / "out")
    else:
        for path in site.folder.glob("out/first/*/collector_output/default/*/*/collected.caf"):
            path.write_bytes(b"")
    site.change('CAF(HERE / "out")', 'CAF(HERE / "elsewhere" / "moved")')
    executed, _ = site.run()
    assert executed == Counter(["first fit 1", *SECOND])
    place = site.folder / "elsewhere" / "moved"
    assert (place / "outputdb" / "database.txt").read_text().startswith("first ")
    assert not site.run()[0]
