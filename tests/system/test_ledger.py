"""What is told of constants: which hold for a run, from what they were made, and why there are none."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter

import cloudpickle
import pytest
from attrs import define, evolve

from caf_core import (
    CAF,
    Algorithm,
    AlgorithmStrategy,
    Calibration,
    Commit,
    Gap,
    IoV,
    LocalDatabase,
    Outcome,
    Verdict,
)
from caf_core.calibration.asking import carry_out_parts, combined, execute, statistics
from caf_core.control.report import CalibrationFailedError

cloudpickle.register_pickle_by_value(sys.modules[__name__])

RUNS = [(1, 1, 9), (1, 2, 1), (1, 4, 9), (1, 7, 2), (2, 1, 9), (2, 2, 9)]
"""Experiment, run, entries; too few in run 2, which is merged forward, and in run 7, at the end."""


def collect(context):
    for exp, run, entries in RUNS:
        context.put((exp, run), list(range(entries)), entries=entries)


def fit(context):
    entries = context.data().entries
    return Outcome("ok" if entries >= 5 else "not_enough_data", {"x": entries}, message=f"{entries} hits")


def calibrate(out, algorithm=fit, **settings):
    caf = CAF(out, backend="local")
    settings.setdefault("strategies", "SequentialRunByRun")
    caf.add_calibration(Calibration("cal", collect, [algorithm], **settings))
    return caf.run()


def told(caf, out, *words) -> list[str]:
    """The sentences, without the names of revisions."""
    called = caf("why", "cal", "-p", out, *words)
    assert called.code == 0, called.err
    return [line.strip() for line in called.out.splitlines()]


def test_a_run_is_told_with_what_was_merged_and_tried(tmp_path, caf) -> None:
    calibrate(tmp_path)
    head, algorithm, holds, *lines = told(caf, tmp_path, "--run", "1,5")
    assert (head, algorithm) == ("cal, iteration 0", "algorithm fit, SequentialRunByRun")
    assert holds.startswith("x ")
    assert holds.endswith(" holds for 1,2,1,-1.")
    assert lines == [
        "Made from the 3 runs from 1,2 to 1,7, 12 entries, by fit/0_0.0_4; converged.",
        "Reason of the commit: run 1,2 merged forward: 1 entry, not enough data: 1 hits; "
        "run 1,7 merged backward at the end of experiment 1: 2 entries, not enough data: 2 hits.",
        "It begins at 1,2, its first run with data.",
        "It has no end in experiment 1, of which it is the last.",
        "No data of run 1,5 were collected.",
    ]
    assert told(caf, tmp_path, "--run", "1,2")[-3:] == [
        "fit/0_0.0_1: run 1,2, 1 entry: not enough data: 1 hits.",
        "fit/0_0.0_2: the 2 runs from 1,2 to 1,4, 10 entries: ok: 10 hits; executed again together with "
        "other runs.",
        "fit/0_0.0_4: the 3 runs from 1,2 to 1,7, 12 entries: ok: 12 hits; committed.",
    ]
    first = told(caf, tmp_path, "--run", "1,1")
    assert (
        "It ends at 1,1, just before the next one begins at 1,2: run 1,2 merged forward: 1 entry, not "
        in (first[6])
    )
    second = told(caf, tmp_path, "--iov", "2,0,2,9")
    assert "It begins at 2,0, as it is the first of experiment 2; its first run with data is 2,1." in second
    assert second.count("Reason of the commit: enough data.") == 2
    assert "It ends at 2,2, its last run with data." in second
    assert caf("tidy", "--final", "-p", tmp_path).code == 0
    assert told(caf, tmp_path, "--run", "1,1")[2:] == first[2:]


def test_a_run_without_a_constant_is_told_with_the_reason(tmp_path, caf) -> None:
    calibrate(tmp_path, strategies="SimpleRunByRun", ignored_runs=[(2, 1)])
    assert told(caf, tmp_path, "--run", "1,2")[2:] == [
        "1,2: no constant x: not enough data: 1 entry: 1 hits.",
        "fit/0_0.1_0: run 1,2, 1 entry: not enough data: 1 hits.",
    ]
    assert told(caf, tmp_path, "--run", "2,1")[2:] == [
        "2,1: no constant x: it is among ignored_runs.",
        "Run 2,1 is among ignored_runs.",
    ]
    assert told(caf, tmp_path, "--run", "9,9")[2] == (
        "No payload holds for run 9,9: what was committed begins with 1,1,1,1 and ends with 2,2,2,2."
    )
    assert "It ends at 1,1, as there is no constant at 1,2,1,2: not enough data: 1 entry: 1 hits." in (
        told(caf, tmp_path, "--run", "1,1")
    )


def test_machines_are_told_the_same(tmp_path, caf) -> None:
    calibrate(tmp_path)
    found = json.loads(caf("why", "--json", "-p", tmp_path, "--run", "1,4").out)
    assert (found["calibration"], found["iteration"]) == ("cal", 0)
    (algorithm,) = found["algorithms"]
    (payload,) = algorithm["payloads"]
    assert (payload["name"], payload["iov"], payload["runs"]) == ("x", "1,2,1,-1", [[1, 2], [1, 4], [1, 7]])
    assert payload["begins"] == "It begins at 1,2, its first run with data."
    assert [one["result"] for one in algorithm["executions"]] == ["ok", "ok"]
    assert algorithm["gaps"] == []


def test_a_former_strategy_is_not_told_of(tmp_path, caf) -> None:
    calibrate(tmp_path)
    calibrate(tmp_path, strategies="SimpleRunByRun")
    assert [line.partition(":")[0] for line in told(caf, tmp_path, "--run", "1,2")[-2:]] == [
        "1,2",
        "fit/0_0.1_0",
    ]
    status = json.loads(caf("status", "--json", "-p", tmp_path).out)
    (row,) = status["calibrations"]
    assert row["executions"] == {"ok": 4, "not_enough_data": 2}


def test_it_is_told_while_the_plan_goes_on_and_after_it_failed(tmp_path, caf) -> None:
    def asks(context):
        if context.runs[-1] == (2, 1):
            command = [sys.executable, "-m", "caf_core.cli", "why", "-p", str(tmp_path), "--run"]
            for run in ("1,1", "2,1"):
                done = subprocess.run([*command, run], capture_output=True, text=True, check=True)
                (tmp_path / f"said-{run}").write_text(done.stdout)
            raise ValueError("no tracks")
        return fit(context)

    with pytest.raises(CalibrationFailedError):
        calibrate(tmp_path, asks)
    first = (tmp_path / "said-1,1").read_text()
    assert first.startswith("cal, iteration 0, which goes on or was interrupted\n  algorithm asks\n    x ")
    assert "Made from run 1,1, 9 entries, by asks/0_0.0_0.\n" in first
    second = (tmp_path / "said-2,1").read_text()
    assert "No payload holds for run 2,1: what was committed so far begins with 1,1,1,1" in second
    assert "asks/0_0.1_0: run 2,1: it goes on, or did not end." in second
    after = told(caf, tmp_path, "--run", "2,1")
    assert after[0] == "cal, iteration 0"
    assert "asks/0_0.1_0: run 2,1: failure: ValueError: no tracks." in after
    assert any(line.endswith("holds for 1,1,1,1.") for line in told(caf, tmp_path, "--run", "1,1"))


@define(kw_only=True)
class ByEntries(AlgorithmStrategy):
    """Executes the algorithm on all runs with enough entries, each for itself, in parts."""

    def plan(self, runs, past):
        counts = yield from statistics(runs)
        verdicts = yield from carry_out_parts(self.one(run) for run in runs if counts[run] >= 5)
        gaps = [Gap(IoV(*run, *run), f"{counts[run]} entries") for run in runs if counts[run] < 5]
        return evolve(combined(verdicts), gaps=tuple(gaps))

    def one(self, run):
        counts = yield from statistics([run], "default")
        executed = yield from execute((run,), IoV(*run, *run))
        if executed.result.success:
            yield Commit(executed.key, (run,), IoV(*run, *run), f"{counts[run]} entries")
        return Verdict(executed.result, executed.message)


def test_a_strategy_may_know_the_entries_before_anything_is_executed(tmp_path, caf) -> None:
    calls = tmp_path / "calls"

    def counts(context):
        with calls.open("a") as file:
            file.write(f"{context.runs[0]}\n")
        if context.runs[0] == (2, 2) and calls.read_text().count("\n") == 4:
            os.kill(os.getppid(), signal.SIGKILL)  # the task is tried again, and replays its journal
        return fit(context)

    for _ in range(2):
        calibrate(tmp_path / "out", counts, strategies=ByEntries)
    # What was answered just before the kill may not have been written down.
    assert Counter(calls.read_text().split()) - Counter(["2,1"]) in (
        Counter({"1,1": 1, "1,4": 1, "2,2": 2}),
        Counter({"1,1": 1, "1,4": 1, "2,1": 1, "2,2": 2}),
    )
    database = LocalDatabase(tmp_path / "out/outputdb")
    reasons = {str(entry.iov): database.provenance(entry).notes["reason"] for entry in database.entries()}
    assert reasons == dict.fromkeys(("1,1,1,1", "1,4,1,4", "2,1,2,1", "2,2,2,2"), "9 entries")
    assert "1,2: no constant x: 1 entries." in told(caf, tmp_path / "out", "--run", "1,2")


def fails_on_4(context):
    if (1, 4) in context.runs:
        raise ValueError("no tracks")
    return fit(context)


def test_what_is_kept_for_runs_on_which_the_algorithm_failed_is_flagged(tmp_path, caf) -> None:
    parameters = Algorithm(fails_on_4, "fit", params={"on_failure": "keep_previous"})
    report = calibrate(tmp_path, parameters)
    assert (report.success, report.calibrations["cal"].convergence) == (True, "failure")
    database = LocalDatabase(tmp_path / "cal/outputdb")
    origins = {str(entry.iov): database.provenance(entry) for entry in database.entries()}
    found = {iov: (one.convergence, one.notes.get("kept_for")) for iov, one in origins.items()}
    assert found == {
        "1,1,1,-1": ("failure", [[1, 2], [1, 4]]),
        "2,0,2,1": ("converged", None),
        "2,2,2,2": ("converged", None),
    }
    assert origins["1,1,1,-1"].inputs["runs"] == [[1, 1], [1, 7]]
    lines = told(caf, tmp_path, "--run", "1,4")
    assert (
        "Made from the 2 runs from 1,1 to 1,7, 11 entries, by fit/0_0.0_4; not converged (failure)." in lines
    )
    assert (
        "Kept for the 2 runs from 1,2 to 1,4, on which the algorithm failed: it was not made from these data."
    ) in lines
    assert lines[-1] == ("fit/0_0.0_2: the 2 runs from 1,2 to 1,4: failure: ValueError: no tracks.")
    assert any(
        "kept for the 2 runs from 1,2 to 1,4: failure: ValueError: no tracks" in line for line in lines
    )
    why = told(caf, tmp_path)
    assert "1 of 3 intervals has not converged: fit 1,1,1,-1 (failure)" in why
    assert any(
        line.startswith("algorithm 'fit': the algorithm failed on the 2 runs from 1,2") for line in why
    )
    with pytest.raises(
        CalibrationFailedError, match=r"did not converge in 1 iterations \(failure\).*mend the"
    ):
        calibrate(tmp_path, parameters, require_convergence=True)


@pytest.mark.parametrize("strategy", ["SequentialRunByRun", "SimpleRunByRun"])
def test_a_gap_where_the_algorithm_failed_is_told(tmp_path, caf, strategy) -> None:
    algorithm = Algorithm(fails_on_4, "fit", params={"on_failure": "gap"})
    report = calibrate(tmp_path, algorithm, strategies=strategy)
    assert (report.success, report.calibrations["cal"].convergence) == (True, "failure")
    assert "1,4: no constant x: failure: ValueError: no tracks." in told(caf, tmp_path, "--run", "1,4")
    database = LocalDatabase(tmp_path / "cal/outputdb")
    assert {database.provenance(entry).convergence for entry in database.entries()} == {"converged"}
    assert sorted(str(entry.iov) for entry in database.entries())[0] == "1,1,1,1"


def test_an_execution_is_not_told_what_its_whole_task_did(tmp_path, caf) -> None:
    calibrate(tmp_path)
    lines = told(caf, tmp_path, "fit/0_0.0_1")
    assert lines[1].startswith("result: not_enough_data; IoV 1,2,1,3; runs 1,2; 1 entry; in 0.")
    assert any(
        line.startswith("all executions of its task, attempt 1: completed: exit code 0") for line in lines
    )
    assert not any(line.startswith("attempt 1") for line in lines)


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("0_0.0_2", "caf: it ended: ok: 10 hits; 10 entries; payloads: x\n"),
        ("0_0.0_1", "caf: it ended: not_enough_data: 1 hits; 1 entry; payloads: none\n"),
    ],
)
def test_an_execution_that_is_debugged_tells_how_it_ended(tmp_path, name, last) -> None:
    calibrate(tmp_path / "out")
    command = [sys.executable, "-m", "caf_core.cli", "debug", "-p", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--scratch", str(tmp_path), f"fit/{name}"], capture_output=True, text=True, check=True
    )
    assert done.stderr.endswith(last)


def test_what_cannot_be_asked_is_refused(tmp_path, caf) -> None:
    calibrate(tmp_path)
    for words, said in (
        (("--run", "seven"), "such as --run 1,42"),
        (("--iov", "1,5"), "has 2 numbers instead of 4"),
        (("--run", "1,1", "--iov", "1,1,1,1"), "leave one out"),
        (("fit/0_0.0_1", "--run", "1,1"), "cannot be used with a task"),
    ):
        called = caf("why", "cal", *words, "-p", tmp_path)
        assert (called.code, said in called.err) == (2, True), called.err
    assert told(caf, tmp_path, "--run", "1,1", "--iteration", "7") == [
        "cal: no algorithm has been executed in iteration 7 (the last one with an execution is 0)"
    ]
