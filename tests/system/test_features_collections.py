"""Whole runs: collections, files, runs that are wanted, command collectors, retries."""

import functools
import json
import operator
import sys
from pathlib import Path

import cloudpickle
import pytest

from caf_core import CAF, Algorithm, Calibration, Collection, ExpRun, IoV, Outcome
from caf_core.calibration.collector import CommandCollector
from caf_core.conditions.local import LocalDatabase
from caf_core.control.report import CalibrationFailedError
from caf_core.errors import ConfigurationError
from caf_core.jobs.ledger import FailureKind
from caf_core.jobs.retry import Remedy, RetryPolicy, Rule

cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Numbers:
    """Collects the numbers of a text file with lines ``experiment run number``; some files may fail."""

    def __init__(self, *, fails=(), until=10**9):
        self.fails, self.until = set(fails), until

    def collect(self, context):
        attempt = int(context.output_dir.name.partition("-")[2])
        for name in context.input_files:
            if Path(name).stem in self.fails and attempt <= self.until:
                raise ValueError(f"{Path(name).stem} is bad")
            for line in Path(name).read_text().splitlines():
                exp, run, number = line.split()
                context.put((int(exp), int(run)), [float(number)], entries=1)


def everything(context):
    """A payload that shows what the algorithm was given."""
    data = context.data()
    return Outcome("ok", {"seen": {"values": data.merged(), "runs": [list(run) for run in context.runs]}})


def seen(out: Path, name: str = "cal", payload: str = "seen"):
    """The only payload of that name."""
    database = LocalDatabase(out / name / "outputdb")
    entries = [entry for entry in database.entries() if entry.name == payload]
    assert len(entries) == 1
    return database.load(entries[0])


def run(cal, out, **options):
    """One calibration, alone."""
    caf = CAF(out, backend="local")
    cal.strategies = cal.strategies or "SingleIOV"
    caf.add_calibration(cal)
    return caf.run(**options)


def files(folder: Path) -> list[str]:
    return sorted(map(str, folder.glob("*.txt")))


def test_several_collections_come_in_their_order(run_numbers, tmp_path) -> None:
    def by_collection(context):
        parts = {name: context.data(collection=name).merged() for name in ("muons", "cosmics")}
        return Outcome("ok", {"parts": parts, "all": context.data().merged()})

    cal = Calibration("cal", algorithms=[Algorithm(by_collection, "fit")])
    cal.add_collection("muons", Collection(Numbers(), files(run_numbers)[:1]))
    cal.add_collection("cosmics", Collection(Numbers(), files(run_numbers)[1:2], max_collector_jobs=1))
    run(cal, tmp_path / "out")
    parts = seen(tmp_path / "out", payload="parts")
    assert len(parts["muons"]) == 10
    assert sorted(seen(tmp_path / "out", payload="all")) == sorted(parts["muons"] + parts["cosmics"])


def test_ignored_runs_and_a_requested_interval_leave_out_runs_and_files(run_numbers, tmp_path) -> None:
    iovs = {
        name: IoV(*ExpRun(*map(int, Path(name).read_text().split()[:2])) * 2) for name in files(run_numbers)
    }
    cal = Calibration("cal", Numbers(), [everything], files(run_numbers), files_to_iovs=iovs)
    cal.ignored_runs = [(1, 3)]
    cal.collections["default"].max_files_per_collector_job = 1
    run(cal, tmp_path / "out", iov=IoV(1, 2, 1, -1))
    assert seen(tmp_path / "out")["runs"] == [[1, 2], [1, 4]]
    tasks = tmp_path / "out" / "cal" / "0" / "collector_output" / "default"
    assert sorted(path.name for path in tasks.iterdir() if path.name.isdigit()) == ["0", "1"]


def test_without_knowledge_of_files_the_runs_are_left_out_all_the_same(run_numbers, tmp_path) -> None:
    cal = Calibration("cal", Numbers(), [everything], files(run_numbers), ignored_runs=[(1, 1), (1, 2)])
    run(cal, tmp_path / "out", iov=[1, 0, 1, -1])
    assert seen(tmp_path / "out")["runs"] == [[1, 3], [1, 4]]


def test_if_no_file_holds_a_wanted_run_nothing_starts(run_numbers, tmp_path) -> None:
    iovs = dict.fromkeys(files(run_numbers), IoV(1, 1, 1, 1))
    cal = Calibration("cal", Numbers(), [everything], files(run_numbers), files_to_iovs=iovs)
    with pytest.raises(ConfigurationError, match="none of its input files holds a run that is wanted"):
        run(cal, tmp_path / "out", iov=IoV(7, 0, 7, -1))
    assert not (tmp_path / "out").exists()


def test_if_no_run_is_wanted_that_is_said(run_numbers, tmp_path) -> None:
    cal = Calibration("cal", Numbers(), [everything], files(run_numbers))
    with pytest.raises(CalibrationFailedError, match=r"found no run that is wanted in 6 task\(s\)"):
        run(cal, tmp_path / "out", iov=IoV(7, 0, 7, -1))


def test_what_is_missing_within_min_fraction_stands_in_the_provenance(run_numbers, tmp_path) -> None:
    cal = Calibration(
        "cal", Numbers(fails={"run3"}), [everything], [*files(run_numbers), tmp_path / "gone.txt"]
    )
    collection = cal.collections["default"]
    collection.on_missing, collection.min_fraction = "skip", 0.8
    collection.max_files_per_collector_job = 1
    run(cal, tmp_path / "out")
    assert [1, 2] not in seen(tmp_path / "out")["runs"]  # that is what run3.txt holds
    database = LocalDatabase(tmp_path / "out" / "cal" / "outputdb")
    missing = database.provenance(database.entries()[0]).missing
    assert len(missing) == 2
    assert any("gone.txt" in text for text in missing)
    assert any("run3 is bad" in text or "task " in text for text in missing)


def test_below_min_fraction_it_fails_with_the_collectors_words(run_numbers, tmp_path) -> None:
    cal = Calibration(
        "cal", Numbers(fails={"run3"}), [everything], files(run_numbers), max_files_per_collector_job=1
    )
    with pytest.raises(CalibrationFailedError, match=r"1 of 6 task\(s\) failed; .*ValueError: run3 is bad"):
        run(cal, tmp_path / "out")


def test_what_failed_is_tried_again_as_the_policy_says(run_numbers, tmp_path) -> None:
    cal = Calibration("cal", Numbers(fails={"run3"}, until=1), [everything], files(run_numbers))
    cal.collections["default"].max_files_per_collector_job = 1
    cal.collections["default"].retry = RetryPolicy({FailureKind.EXIT_CODE: Rule(Remedy.AGAIN, attempts=2)})
    run(cal, tmp_path / "out")
    assert len(seen(tmp_path / "out")["runs"]) == 6
    tasks = tmp_path / "out" / "cal" / "0" / "collector_output" / "default"
    assert len(list(tasks.glob("*/attempt-*"))) == 7


@pytest.mark.parametrize(("keep", "kept"), [("all", [0, 1]), ("last", [1]), ("failed", [])])
def test_collector_output_is_kept_as_asked(run_numbers, tmp_path, keep, kept) -> None:
    def twice(context):
        return Outcome("iterate" if context.iteration == 0 else "ok", {"x": context.data().entries})

    cal = Calibration("cal", Numbers(), [twice], files(run_numbers)[:1], keep_collector_output=keep)
    run(cal, tmp_path / "out")
    found = [n for n in (0, 1) if (tmp_path / f"out/cal/{n}/collector_output/default").exists()]
    assert found == kept


COMMAND = """
import json, sys
wanted = json.load(open("wanted_runs.json"))
conditions = json.load(open("conditions.json"))
files = json.load(open("input_files.json"))
parameters = json.load(open("parameters.json"))
runs = []
for name in files:
    for line in open(name):
        exp, run, number = line.split()
        if [int(exp), int(run)] not in wanted["ignored"]:
            runs.append([int(exp), int(run), 1])
known = {entry["name"]: json.load(open(entry["file"])) for entry in conditions["payloads"]}
json.dump({"files": files, "known": known, "parameters": parameters, "words": sys.argv[1:],
           "iteration": conditions["iteration"], "wanted": wanted}, open("found.json", "w"))
if "silent" not in parameters:
    json.dump(runs, open("runs.json", "w"))
"""


def of_files(context):
    """What the commands found, and one more iteration."""
    found = [json.loads(path.read_text()) for path in context.data().files]
    result = "iterate" if context.iteration == 0 else "ok"
    return Outcome(
        result, {"offset": 5 + context.iteration, "found": found, "entries": context.data().entries}
    )


def command(tmp_path, inputs, **settings) -> Calibration:
    script = tmp_path / "collect me.py"
    script.write_text(COMMAND)
    collector = CommandCollector([sys.executable, script, "word with space", "$HOME"])
    return Calibration("cal", collector, [of_files], inputs, output_patterns=["found.json"], **settings)


def test_a_command_finds_its_files_runs_and_conditions(run_numbers, tmp_path) -> None:
    cal = command(tmp_path, files(run_numbers), ignored_runs=[(1, 3)], params={"cut": 2.5})
    cal.collections["default"].max_files_per_collector_job = 3
    run(cal, tmp_path / "out")
    out = tmp_path / "out"
    assert seen(out, payload="entries") == 41
    found = seen(out, payload="found")
    assert functools.reduce(operator.iadd, (part["files"] for part in found), []) == files(run_numbers)
    assert found[0]["words"] == ["word with space", "$HOME"]
    assert found[0]["parameters"] == {"cut": 2.5}
    assert found[0]["iteration"] == 1
    assert found[0]["known"]["offset"] == 5
    assert found[0]["wanted"] == {"ignored": [[1, 3]], "requested": None}


def test_a_command_without_a_run_list_is_told_what_to_write(run_numbers, tmp_path) -> None:
    cal = command(tmp_path, files(run_numbers)[:1], params={"silent": True})
    with pytest.raises(
        CalibrationFailedError, match=r"left no runs\.json, and no plugin can tell .*\[\[experiment, run"
    ):
        run(cal, tmp_path / "out")


def test_plugins_may_know_the_runs_of_a_commands_output(run_numbers, tmp_path, monkeypatch) -> None:
    from caf_core.plugins.registry import Registry

    monkeypatch.setattr(Registry, "iov_of_file", lambda self, path: IoV(3, 7, 3, 7))
    cal = command(tmp_path, files(run_numbers)[:1], params={"silent": True}, strategies="SequentialRunByRun")
    run(cal, tmp_path / "out")
    database = LocalDatabase(tmp_path / "out" / "cal" / "outputdb")
    assert {str(entry.iov) for entry in database.entries()} == {"3,7,3,7"}


def payload_files(out: Path) -> dict[str, bytes]:
    folder = out / "cal" / "outputdb"
    return {path.name: path.read_bytes() for path in folder.iterdir() if "provenance" not in path.name}


def mean(context):
    values = context.data().merged()
    return Outcome("ok" if len(values) > 3 else "not_enough_data", {"mean": sum(values) / len(values)})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The payloads of a run in one piece and one process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return split_run(folder / "out", inputs(folder), processes=1, jobs=1, runner="sequential")


def inputs(folder: Path) -> list[str]:
    for run_number in range(1, 9):
        lines = "".join(f"1 {run_number} {run_number + n * 0.1}\n" for n in range(2 + run_number % 3 * 3))
        (folder / f"f{run_number}.txt").write_text(lines)
    return files(folder)


def split_run(out: Path, names, *, processes, jobs, runner) -> dict[str, bytes]:
    from caf_local import Local

    cal = Calibration("cal", Numbers(), [mean], names, strategies="SequentialRunByRun", runner=runner)
    cal.collections["default"].max_collector_jobs = jobs
    caf = CAF(out, backend=Local(max_processes=processes))
    caf.add_calibration(cal)
    caf.run()
    return payload_files(out)


@pytest.mark.parametrize(
    ("processes", "jobs", "runner"), [(2, 8, "sequential"), (1, 3, "parallel"), (4, 5, "parallel")]
)
def test_processes_splitting_and_runner_do_not_change_a_byte(
    tmp_path, undisturbed, processes, jobs, runner
) -> None:
    assert (
        split_run(tmp_path / "out", inputs(tmp_path), processes=processes, jobs=jobs, runner=runner)
        == undisturbed
    )


class Noted(Numbers):
    """The same, and each file that a task begins with is noted."""

    def __init__(self, notes, **fails):
        super().__init__(**fails)
        self.notes = notes

    def collect(self, context):
        with open(self.notes, "a") as notes:  # noqa: PTH123 - appended by many processes
            notes.write(f"{context.iteration} {' '.join(Path(name).stem for name in context.input_files)}\n")
        super().collect(context)


def twice(context):
    """Iterates once."""
    return Outcome("iterate" if context.iteration == 0 else "ok", {"seen": context.data().merged()})


def test_a_file_that_keeps_failing_is_set_aside_and_not_tried_in_the_next_iteration(
    run_numbers, tmp_path
) -> None:
    names = files(run_numbers)
    bad = Path(names[3]).stem
    cal = Calibration("cal", Noted(tmp_path / "notes", fails=[bad]), [Algorithm(twice, "fit")], names)
    collection = cal.collections["default"]
    collection.max_collector_jobs = 2
    collection.retry = RetryPolicy.isolating(1)
    report = run(cal, tmp_path / "out")
    assert report.success
    begun = [line.split() for line in (tmp_path / "notes").read_text().splitlines()]
    alone = [line for line in begun if line[1:] == [bad]]
    assert len(alone) == 2  # it had its second attempt
    assert not [line for line in begun if line[0] == "1" and bad in line]
    assert sorted(stem for line in begun if line[0] == "1" for stem in line[1:]) == sorted(
        Path(name).stem for name in names if Path(name).stem != bad
    )
    database = LocalDatabase(tmp_path / "out" / "cal" / "outputdb")
    (entry,) = database.entries()
    missing = json.loads(next((tmp_path / "out" / "cal").glob("1/**/missing.json")).read_text())
    assert len(missing) == 1
    assert names[3] in missing[0]
    assert "set aside in an earlier iteration" in missing[0]
    assert len(database.load(entry)) == 33


def test_more_bad_files_than_may_be_set_aside_fail(run_numbers, tmp_path) -> None:
    names = files(run_numbers)
    cal = Calibration(
        "cal", Numbers(fails=[Path(name).stem for name in names[:2]]), [Algorithm(everything, "fit")], names
    )
    cal.collections["default"].retry = RetryPolicy.isolating(1, attempts=1)
    with pytest.raises(CalibrationFailedError, match=r"2 of 6 task\(s\) failed"):
        run(cal, tmp_path / "out")


LEAVES = """
import json, sys
from pathlib import Path
for name in sys.argv[1:]:
    Path(name).write_text("1 1 1")
"""


@pytest.mark.parametrize(
    ("left", "patterns", "answer"),
    [
        (["CollectorOutput.root", "histos.root"], [], ["CollectorOutput.root"]),
        ([], [], []),
        (["histos.root"], ["histos.root"], ["histos.root"]),
        (["histos.root"], ["runs.json"], []),
        (
            ["histos.root", "x.log"],
            [],
            r"left 'histos.root', 'x.log', and nobody said which .* output_patterns",
        ),
        (
            ["histos.root"],
            ["CollectorOutput.root"],
            r"no output matches 'CollectorOutput.root'; there is 'histos",
        ),
    ],
    ids=str,
)
def test_what_a_command_leaves_is_output_or_told(run_numbers, tmp_path, left, patterns, answer) -> None:
    program = f"{LEAVES}Path('runs.json').write_text('[[1, 1, 1]]')"
    collector = CommandCollector([sys.executable, "-c", program, *left])

    def files_of(context):
        return Outcome("ok", {"seen": sorted(path.name for path in context.data().files)})

    cal = Calibration("cal", collector, [files_of], files(run_numbers)[:1], output_patterns=patterns)
    if isinstance(answer, str):
        with pytest.raises(CalibrationFailedError, match=answer):
            run(cal, tmp_path / "out")
    else:
        run(cal, tmp_path / "out")
        assert seen(tmp_path / "out") == answer


def test_a_command_that_leaves_nothing_fails(run_numbers, tmp_path) -> None:
    cal = Calibration("cal", CommandCollector(["true"]), [everything], files(run_numbers)[:1])
    with pytest.raises(CalibrationFailedError, match=r"no output matches '\*'; there is nothing"):
        run(cal, tmp_path / "out")
