"""What is told of constants that are not as one would like: runs without any, intervals that did not
converge, numbers that are not finite; and where a start begins that a user chose."""

import json
import math
import sys
from itertools import groupby

import cloudpickle
import numpy as np
import pytest

from caf_core import CAF, Algorithm, Calibration, Metric, Outcome
from caf_core.cli.run import report_as_json
from caf_core.conditions.local import LocalDatabase
from caf_core.control.account_words import account_texts
from caf_core.control.reading.overview import reading
from caf_core.control.report import CalibrationFailedError
from caf_core.json_text import json_text

cloudpickle.register_pickle_by_value(sys.modules[__name__])

ENTRIES = {(1, 1): 9, (1, 2): 1, (1, 4): 9, (1, 5): 2, (1, 6): 3, (1, 9): 9}


class Runs:
    """Collects as many numbers a run as the table says; needs no input files."""

    def collect(self, context):
        for run, entries in ENTRIES.items():
            context.put(run, [1.0] * entries, entries=entries)


def calibrate(out, fit, strategy="SimpleRunByRun", **settings):
    cal = Calibration("cal", Runs(), [Algorithm(fit, "fit")], strategies=strategy, **settings)
    caf = CAF(out)
    caf.add_calibration(cal)
    return caf.run(check=False)


def told(report) -> list[str]:
    return account_texts(report.calibrations["cal"].account)


def origin(out, iov: str):
    database = LocalDatabase(out / "cal" / "outputdb")
    (entry,) = (entry for entry in database.entries() if str(entry.iov) == iov)
    return database.provenance(entry)


def picky(context):
    """Needs five entries; gives a second constant for run 1 only; says why on run 6."""
    run, entries = context.runs[0].run, context.data().entries
    if run == 6:
        return Outcome("not_enough_data", message="no peak")
    constants = {"p": entries, **({"q": 1} if run == 1 else {})}
    return Outcome("ok" if entries >= 5 else "not_enough_data", constants)


def test_runs_without_a_constant_are_told_wherever_one_looks(tmp_path, caf) -> None:
    out = tmp_path / "out"
    report = calibrate(out, picky, ignored_runs=[(1, 5)])
    p = "3 of 6 runs have no constant p: not enough data: 1,2, 1,6; ignored: 1,5"
    assert told(report) == [
        f"{p}; there is no data for 1,3, 1,7 to 1,8",
        "5 of 6 runs have no constant q: not enough data: 1,2, 1,6; not given by the algorithm: 1,4, 1,9; "
        "ignored: 1,5; there is no data for 1,3, 1,7 to 1,8",
    ]
    for words in (("status", "-p", out), ("why", "cal", "-p", out), ("payloads", out)):
        assert p in caf(*words).out
    assert "of 6 runs have no constant q" not in caf("payloads", out, "--name", "p").out
    assert "1,6: no constant p: not enough data: 3 entries: no peak" in caf("why", "cal", "-p", out).out


WHY = {
    "1,2": "run 1,2 has no constant p: not enough data: 1 entry",
    "1,4": "run 1,4 has no constant q: not given by the algorithm",
    "1,5": "run 1,5 has no constant p: it is among ignored_runs",
    "1,7": "run 1,7 has no constant p: no data",
    "3,1": "run 3,1 has no constant p: no data of it was collected",
}


def test_one_asks_why_a_run_has_no_constant(tmp_path, caf) -> None:
    out = tmp_path / "out"
    calibrate(out, picky, ignored_runs=[(1, 5)])
    for run, why in WHY.items():
        for database in (out, out / "cal" / "outputdb"):
            called = caf("payloads", database, "--run", run)
            assert (called.code, why in called.out) == (0, True), called.out
        rows = json.loads(caf("payloads", out, "--run", run, "--json").out)
        reasons = [row["gap"]["reason"] for row in rows if row["revision"] is None]
        assert why.split(": ", 1)[1] in " ".join(reasons)


def drifting(context):
    """Run 2 never converges, run 4 swings; the others are good at once."""
    metric = {2: 7.0 + context.iteration, 4: 3.0 * (-1) ** context.iteration}.get(context.runs[0].run, 0.0)
    return Outcome("iterate" if metric else "ok", {"p": 1}, {"shift": Metric(metric, 1.0)})


def test_only_the_intervals_that_do_not_converge_are_labelled_and_named(tmp_path, caf) -> None:
    out = tmp_path / "out"
    report = calibrate(out, drifting, "SequentialRunByRun", max_iterations=3)
    assert report.calibrations["cal"].convergence == "diverging"
    assert told(report) == [
        "2 of 6 intervals have not converged: fit 1,2,1,3 (diverging; shift 7, 8, 9, 10, tolerance 1); fit "
        "1,4,1,4 (oscillating; shift 3, -3, 3, -3, tolerance 1)"
    ]
    labels = {iov: origin(out, iov).convergence for iov in ("1,1,1,1", "1,2,1,3", "1,4,1,4", "1,9,1,9")}
    assert list(labels.values()) == ["converged", "diverging", "oscillating", "converged"]
    assert origin(out, "1,4,1,4").notes["metrics_by_iteration"]["shift"][1] == [-3.0, 1.0]
    for words in (("status", "-p", out), ("why", "cal", "-p", out), ("payloads", out)):
        assert "2 of 6 intervals have not converged: fit 1,2,1,3" in caf(*words).out
    (row,) = json.loads(caf("status", "-p", out, "--json").out)["calibrations"]
    assert [one["iov"] for one in row["unconverged"]] == ["1,2,1,3", "1,4,1,4"]


def test_a_required_convergence_names_what_did_not_converge(tmp_path) -> None:
    report = calibrate(
        tmp_path / "out", drifting, "SequentialRunByRun", max_iterations=1, require_convergence=True
    )
    reason = report.calibrations["cal"].reason
    assert "did not converge in 2 iterations (max_iterations): 2 of 6 intervals have not converged" in reason
    assert "fit 1,2,1,3 (max_iterations; shift 7, 8, tolerance 1)" in reason
    with pytest.raises(CalibrationFailedError):
        raise CalibrationFailedError(report)


def broken(context):
    """Run 1 is no number; of run 4 one channel has failed; of run 9 the metric is infinite."""
    run = context.runs[0].run
    content = {"value": np.float32(math.nan if run == 1 else 1.0), "error": 0.1}
    channels = np.array([1.0, math.nan if run == 4 else 2.0])
    metric = Metric(np.float64(math.inf if run == 9 else 0.0), 1)
    return Outcome("ok", {"p": content, "channels": channels}, {"change": metric})


def test_numbers_that_are_not_finite_are_told_and_do_not_count_as_converged(tmp_path, caf) -> None:
    out = tmp_path / "out"
    report = calibrate(out, broken, "SequentialRunByRun")
    assert report.calibrations["cal"].convergence == "not_finite"
    assert told(report) == [
        "2 of 6 intervals have not converged: fit 1,1,1,1 (not_finite; p: value is nan; change 0, tolerance "
        "1); fit 1,9,1,9 (not_finite; change inf, tolerance 1)",
        "some channels are not finite: fit 1,4,1,4 (channels: 1 of 2 values are not finite)",
    ]
    assert "p: value is nan" in caf("why", "cal", "-p", out).out
    for words in (("payloads", out, "--show"), ("status", "-p", out), ("why", "cal", "-p", out)):
        text = caf(*words, "--json").out
        json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    json.loads(json_text(report_as_json(report)), parse_constant=lambda word: pytest.fail(word))
    assert caf("payloads", out, "--diff", out).out == "no difference.\n"


def test_a_constant_that_is_not_finite_fails_where_convergence_is_required(tmp_path) -> None:
    report = calibrate(tmp_path / "out", broken, "SequentialRunByRun", require_convergence=True)
    assert "(not_finite): 2 of 6 intervals" in report.calibrations["cal"].reason
    assert "mend the algorithm" in report.calibrations["cal"].reason


def twice(context):
    """Wants two iterations."""
    return Outcome("iterate" if context.iteration < 1 else "ok", {"p": context.iteration})


def moves(out) -> list[str]:
    """All that a calibration went through: state and iteration."""
    with reading(out) as store:
        return [
            f"{new} {iteration}" for new, iteration in store.rows("SELECT new, iteration FROM transition")
        ]


LAST = ("running_algorithms 1", "algorithms_completed 1", "completed 1")
WHOLE = ("init 1", "running_collector 1", "collector_completed 1", *LAST)
FIRST = ("collector_completed 0", "running_algorithms 0", "algorithms_completed 0")


def test_the_next_start_begins_where_it_was_told_to(tmp_path, caf) -> None:
    out = tmp_path / "out"
    calibrate(out, twice)
    for column, value, begins, expected in (
        ("state", "init", "init, iteration 1", WHOLE),
        (
            "state",
            "collector_completed",
            "collector_completed, iteration 1",
            ("collector_completed 1", *LAST),
        ),
        ("state", "completed", "completed, iteration 1", ()),
        ("state", "failed", "completed, iteration 1", ("failed 1", "completed 1")),
        ("checkpoint", "init", "init, iteration 1", WHOLE),
        ("checkpoint", "collector_completed", "collector_completed, iteration 1", (WHOLE[2], *LAST)),
        ("checkpoint", "completed", "completed, iteration 1", ()),
        ("iteration", "1", "collector_completed, iteration 1", ("collector_completed 1", *LAST)),
        ("iteration", "0", "collector_completed, iteration 0", (*FIRST, *WHOLE)),
    ):
        before = len(moves(out))
        called = caf("status", "update", "cal", column, value, "-p", out)
        assert f"the next caf run begins at {begins}." in called.out
        calibrate(out, twice)
        again = [move for move, _ in groupby(moves(out)[before:])]
        # A row of history without a move comes first where only the checkpoint was set.
        assert again[again[:1] == ["completed 1"] :] == [*expected], column
    assert {origin(out, iov).iteration for iov in ("1,1,1,1", "1,9,1,9")} == {1}


def test_an_interrupted_iteration_can_be_set_back_and_forth(tmp_path, caf) -> None:
    out = tmp_path / "out"
    report = calibrate(out, twice, max_iterations=0, require_convergence=True)
    assert str(report.calibrations["cal"].state) == "failed"
    assert caf("status", "update", "cal", "state", "completed", "-p", out).code == 2
    assert "it has come to 0" in caf("status", "update", "cal", "iteration", "1", "-p", out).err
    assert caf("status", "update", "cal", "iteration", "0", "-p", out).code == 0
    assert str(calibrate(out, twice).calibrations["cal"].state) == "completed"
    assert caf("status", "update", "cal", "iteration", "0", "-p", out).code == 0
    assert (
        "begins at completed, iteration 1."
        in caf("status", "update", "cal", "state", "completed", "-p", out).out
    )
    assert calibrate(out, twice).calibrations["cal"].iteration == 1
