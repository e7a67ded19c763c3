"""Whole runs: algorithms, strategies, iterations, convergence, gaps, boundaries."""

import json
import sys

import cloudpickle
import pytest
from attrs import define

from caf_core import (
    CAF,
    Algorithm,
    AlgorithmsRunner,
    AlgorithmStrategy,
    Calibration,
    Commit,
    ExpRun,
    IoV,
    Metric,
    Outcome,
    Verdict,
)
from caf_core.calibration.asking import execute
from caf_core.conditions.local import LocalDatabase
from caf_core.control.report import CalibrationFailedError
from caf_core.errors import ConfigurationError

cloudpickle.register_pickle_by_value(sys.modules[__name__])

RUNS = [(1, 1, 9), (1, 2, 1), (1, 4, 9), (2, 1, 9), (2, 2, 9)]
"""Experiment, run, entries."""


class Runs:
    """Collects as many numbers a run as the table says; needs no input files."""

    def collect(self, context):
        for exp, run, entries in RUNS:
            context.put((exp, run), [float(run)] * entries, entries=entries)


def calibration(*algorithms, **settings) -> Calibration:
    return Calibration("cal", Runs(), list(algorithms), **settings)


def run(cal, out, backend="local", **options):
    caf = CAF(out, backend=backend)
    caf.add_calibration(cal)
    return caf.run(**options)


def constants(out, name=None) -> dict[str, object]:
    """IoV -> content of the payloads of that name (of the only one)."""
    database = LocalDatabase(out / "cal" / "outputdb")
    return {
        str(entry.iov): database.load(entry)
        for entry in sorted(database.entries(), key=lambda entry: entry.iov)
        if name in (None, entry.name)
    }


def enough(minimum, name="entries"):
    """An algorithm that needs so many entries, and stores their number."""

    def fit(context):
        entries = context.data().entries
        return Outcome("ok" if entries >= minimum else "not_enough_data", {name: entries})

    return fit


def test_algorithms_have_strategies_of_their_own_and_see_those_before_them(tmp_path) -> None:
    def second(context):
        return Outcome("ok", {"sum": sum(context.conditions.get("entries", run) for run in context.runs)})

    cal = calibration(Algorithm(enough(5), "first"), Algorithm(second, "second"))
    cal.strategies = ["SequentialRunByRun", "SingleIOV"]
    run(cal, tmp_path / "out")
    assert constants(tmp_path / "out", "entries") == {
        "1,1,1,1": 9,
        "1,2,1,-1": 10,
        "2,0,2,1": 9,
        "2,2,2,2": 9,
    }
    assert constants(tmp_path / "out", "sum") == {"1,1,2,2": 9 + 10 + 10 + 9 + 9}


def test_the_strategy_of_an_algorithm_and_its_parameters_win(tmp_path) -> None:
    def shows(context):
        return Outcome("ok", {"params": dict(context.params), "runs": len(context.runs)})

    wide = Algorithm(shows, params={"apply_iov": (0, 0, -1, -1), "cut": 3}, strategy="SingleIOV")
    run(calibration(wide, strategies="SimpleRunByRun"), tmp_path / "out")
    assert constants(tmp_path / "out", "params") == {"0,0,-1,-1": {"cut": 3}}
    assert constants(tmp_path / "out", "runs") == {"0,0,-1,-1": 5}


@pytest.mark.parametrize(("isolate", "experiments"), [(True, [2]), (False, [1, 1, 1, 2])])
def test_data_input_and_pre_algorithm_are_called(tmp_path, isolate, experiments) -> None:
    """One process executes all, and attributes of the algorithm stay; or each has a process of its own."""

    class Fit:
        geometry = None
        experiments = ()

        def apply_experiment_settings(self, experiment):
            self.experiments = (*self.experiments, experiment)

        def calibrate(self, context):
            return Outcome("ok", {"seen": [context.data(), self.geometry, list(self.experiments)]})

    def pre(algorithm, context):
        algorithm.geometry = f"for {context.iov}"

    fit = Algorithm(Fit(), data_input=lambda collected: collected.entries, pre_algorithm=pre, isolate=isolate)
    run(calibration(fit, strategies="SimpleRunByRun"), tmp_path / "out")
    assert constants(tmp_path / "out")["2,1,2,1"] == [9, "for 2,1,2,1", experiments]


def test_runs_without_payload_are_listed_as_gaps(tmp_path) -> None:
    run(calibration(Algorithm(enough(5), "fit"), strategies="SimpleRunByRun"), tmp_path / "out")
    gaps = json.loads((tmp_path / "out/cal/0/algorithm_output/fit_iov_gaps.json").read_text())
    assert [gap["iov"] for gap in gaps] == ["1,2,1,2", "1,3,1,3"]
    assert [gap["reason"] for gap in gaps] == ["not enough data", "no data"]


class Asks:
    """Wants boundaries; says so one by one, or all at once."""

    def calibrate(self, context):
        return Outcome("ok", {"n": len(context.runs)})


class AsksOneByOne(Asks):
    def is_boundary_required(self, context, run):
        return run == ExpRun(1, 4) or context.data([run]).entries < 5


class AsksAtOnce(Asks):
    def find_payload_boundaries(self, context, runs):
        return [run for run in runs if run.run == 4]


@pytest.mark.parametrize(
    ("algorithm", "params", "expected"),
    [
        (AsksOneByOne(), {}, ["1,1,1,1", "1,2,1,3", "1,4,1,-1", "2,0,2,2"]),
        (AsksAtOnce(), {}, ["1,1,1,3", "1,4,1,-1", "2,0,2,2"]),
        (Asks(), {"payload_boundaries": [(1, 4), (2, 2)]}, ["1,1,1,3", "1,4,1,-1", "2,0,2,1", "2,2,2,2"]),
    ],
    ids=["one by one", "at once", "given"],
)
def test_boundaries_come_from_the_algorithm_or_the_user(tmp_path, algorithm, params, expected) -> None:
    fit = Algorithm(algorithm, params=params)
    run(calibration(fit, strategies="SequentialBoundaries"), tmp_path / "out")
    assert list(constants(tmp_path / "out")) == expected


def test_an_algorithm_that_knows_no_boundaries_is_told_what_to_write(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="neither find_payload_boundaries nor is_boundary_required"):
        run(calibration(Algorithm(Asks()), strategies="SequentialBoundaries"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


MERGED = """
from caf_core import CAF, Algorithm, Calibration, Outcome

def collect(context):
    for run, entries in ((1, 9), (2, 1), (4, 9)):
        context.put((1, run), entries=entries)

def fit(context):
    enough = context.data().entries >= 5
    return Outcome("ok" if enough else "not_enough_data", {"x": 1} if enough else {})

algorithm = Algorithm(fit, params={"payload_boundaries": [(1, 2), (1, 4)]})
caf = CAF("OUT")
caf.add_calibration(Calibration("cal", collect, [algorithm], strategies="SequentialBoundaries"))
caf.run()
"""


def test_a_given_boundary_that_is_merged_away_is_told_and_recorded(tmp_path, caf) -> None:
    script = tmp_path / "script.py"
    script.write_text(MERGED.replace("OUT", str(tmp_path / "out")))
    done = caf("run", script)
    sentence = "algorithm 'fit': no payload begins at the given boundary 1,4: too few data in run 1,2"
    assert sentence in done.out + done.err
    assert f"  {sentence}" in caf("why", "-p", tmp_path / "out").out
    (note,) = json.loads(caf("why", "--json", "-p", tmp_path / "out").out)["notes"]
    assert note.startswith(sentence)
    database = LocalDatabase(tmp_path / "out/cal/outputdb")
    reasons = [database.provenance(entry).notes["reason"] for entry in database.entries()]
    assert sorted(reasons) == [
        "boundary given; run 1,2 merged forward: 1 entry, not enough data",
        "enough data",
    ]


@define(kw_only=True)
class WithoutReasons(AlgorithmStrategy):
    """As one could be written for caf 0.1.0."""

    def plan(self, runs, past):
        executed = yield from execute(tuple(runs), IoV(1, 1, 2, 2))
        yield Commit(executed.key, tuple(runs), IoV(1, 1, 2, 2))
        return Verdict(executed.result)


def test_a_strategy_that_gives_no_reasons_is_told_what_to_write(tmp_path) -> None:
    for _ in range(2):  # the second time from what is recorded
        with pytest.raises(CalibrationFailedError) as failed:
            run(calibration(enough(1), strategies=WithoutReasons), tmp_path / "out")
        (reason,) = failed.value.report.failures.values()
        assert reason.startswith(
            "algorithm 'fit', WithoutReasons: the strategy commits payloads for 1,1,2,2 "
        )
        assert 'write Commit(key, runs, iov, "enough data")' in reason


def test_a_strategy_that_does_not_fit_the_granularity_is_refused(tmp_path) -> None:
    cal = calibration(enough(1), strategies="SequentialRunByRun", granularity="all")
    with pytest.raises(
        ConfigurationError, match="SequentialRunByRun of algorithm 'fit' needs granularity 'run'"
    ):
        run(cal, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_collections_have_to_agree_on_the_granularity(tmp_path) -> None:
    from caf_core import Collection

    cal = calibration(enough(1), strategies="SingleIOV")
    cal.add_collection("other", Collection(Runs(), granularity="all"))
    with pytest.raises(ConfigurationError, match="differ in granularity"):
        run(cal, tmp_path / "out")


def distances(*values):
    """An algorithm whose metric has these values, iteration by iteration."""

    def fit(context):
        value = values[min(context.iteration, len(values) - 1)]
        result = "iterate" if abs(value) > 1 else "ok"
        return Outcome(result, {"x": context.iteration}, {"shift": Metric(value, 1.0)})

    return fit


@pytest.mark.parametrize(
    ("values", "label", "last"),
    [
        ((5, 3, 0.5), "converged", 2),
        ((5, 4, 3, 2), "max_iterations", 3),
        ((2, 3, 4, 5), "diverging", 3),
        ((3, -3, 3, -3), "oscillating", 3),
    ],
)
def test_the_end_of_the_iterations_has_a_label(tmp_path, values, label, last) -> None:
    out = tmp_path / "out"
    report = run(calibration(Algorithm(distances(*values), "fit"), max_iterations=3), out)
    one = report.calibrations["cal"]
    assert (one.convergence, one.iteration, str(one.state)) == (label, last, "completed")
    database = LocalDatabase(out / "cal" / "outputdb")
    (entry,) = database.entries()
    assert database.load(entry) == last
    assert (database.provenance(entry).convergence, database.provenance(entry).iteration) == (label, last)


def test_convergence_can_be_required(tmp_path) -> None:
    cal = calibration(Algorithm(distances(5, 4), "fit"), max_iterations=1, require_convergence=True)
    with pytest.raises(CalibrationFailedError, match=r"did not converge in 2 iterations \(max_iterations\)"):
        run(cal, tmp_path / "out")


def test_no_further_iteration_is_allowed_with_zero(tmp_path) -> None:
    report = run(calibration(Algorithm(distances(5, 0), "fit"), max_iterations=0), tmp_path / "out")
    assert (report.calibrations["cal"].iteration, report.calibrations["cal"].convergence) == (
        0,
        "max_iterations",
    )


def test_collectors_and_algorithms_see_the_previous_iteration(tmp_path) -> None:
    class Corrected:
        def collect(self, context):
            context.put((1, 1), [10 - context.conditions.get("shift", ExpRun(1, 1), 0)], entries=1)

    def fit(context):
        (rest,) = context.data().merged()
        known = context.conditions.get("shift", ExpRun(1, 1), 0)
        return Outcome("iterate" if rest > 3 else "ok", {"shift": known + rest / 2})

    run(Calibration("cal", Corrected(), [fit]), tmp_path / "out")
    assert constants(tmp_path / "out") == {"1,1,1,1": 8.75}


def test_two_payloads_of_one_name_must_not_overlap(tmp_path) -> None:
    from caf_core import IoV
    from caf_core.conditions.payload import Payload

    def wide(context):
        return Outcome("ok", [Payload("x", context.runs[0].run, IoV(1, 0, -1, -1))])

    cal = calibration(Algorithm(wide, "wide"), strategies="SimpleRunByRun")
    with pytest.raises(
        CalibrationFailedError, match=r"two payloads called 'x' would both be valid in part of"
    ):
        run(cal, tmp_path / "out")


def test_a_failure_of_one_algorithm_stops_those_after_it(tmp_path) -> None:
    def fails(context):
        return Outcome("failure", message="the peak is not there")

    cal = calibration(Algorithm(enough(1), "a"), Algorithm(fails, "b"), Algorithm(enough(1), "c"))
    with pytest.raises(CalibrationFailedError, match=r"algorithm 'b': .*the peak is not there"):
        run(cal, tmp_path / "out")
    output = tmp_path / "out" / "cal" / "0" / "algorithm_output"
    assert (output / "a").exists()
    assert not (output / "c").exists()
    assert not (tmp_path / "out" / "cal" / "outputdb").exists()


@pytest.mark.parametrize(("number", "words"), [(0, "has 0 parts at once"), ("many", "ValueError: invalid")])
def test_a_runner_that_breaks_is_named(tmp_path, number, words) -> None:
    class Strange(AlgorithmsRunner):
        def parts_at_once(self, parts):
            return 0 if number == 0 else int(number)

    with pytest.raises(CalibrationFailedError, match=f"the runner Strange .*{words}"):
        run(
            calibration(lambda context: Outcome("ok"), strategies="SimpleRunByRun", runner=Strange()),
            tmp_path / "out",
        )


def test_a_runner_instance_may_serve_several_calibrations(tmp_path) -> None:
    from caf_core import ParallelRunner

    caf = CAF(
        tmp_path / "out", calibration_defaults={"runner": ParallelRunner(), "strategies": "SimpleRunByRun"}
    )
    for name in ("a", "b"):
        caf.add_calibration(Calibration(name, Runs(), [Algorithm(enough(1, name), "fit")]))
    caf.run()
    for name in ("a", "b"):
        assert len(LocalDatabase(tmp_path / "out" / name / "outputdb").entries()) == 5
