"""The example: the toy is honest, the pieces do what they say, and the whole gives the same bits."""

import importlib
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import boost_histogram as bh
import numpy as np
import pytest

from caf_core import AlgorithmContext, Chain, CollectorContext, ExpRun, IoV, LocalDatabase, Payload, Result
from caf_core.calibration.collected import TaskOutput, read_runs_file
from caf_core.calibration.collector import RunSelection
from caf_core.conditions.provenance import Provenance
from caf_root import (
    Constant,
    Counts,
    PeakFitter,
    chi2_of_pulls,
    constants,
    mean_over_runs,
    pair_mass,
    plot_history,
)

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def toy_data(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("toy_data")


@pytest.fixture
def muon_scale(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("muon_scale")


def test_pair_mass_of_known_pairs():
    # Back to back in the transverse plane, and along the beam as seen by the difference of angles.
    assert pair_mass([45.0], [0.0], [0.0], [45.0], [0.0], [np.pi])[0] == pytest.approx(90)
    assert pair_mass([10.0], [1.0], [0.5], [40.0], [1.0], [0.5])[0] == 0
    assert pair_mass([10.0], [2.0], [0.5], [10.0], [-2.0], [0.5])[0] == pytest.approx(20 * np.sinh(2.0))


def test_the_toy_has_the_peak_where_its_truth_says(toy_data):
    run = ExpRun(8, 27)
    pairs = toy_data.measured_pairs(run, np.random.default_rng(1), 200_000)
    mass = pair_mass(*(pairs[name] for name in ("pt1", "eta1", "phi1", "pt2", "eta2", "phi2")))
    fit = PeakFitter().fit(Counts.of([bh.axis.Regular(1200, 60, 120)], mass * toy_data.true_scale(run)))
    assert fit.valid and abs(fit.position - toy_data.Z_MASS) < 4 * fit.error < 0.03
    assert 0.002 < (pairs["q1"] == pairs["q2"]).mean() < 0.02
    assert np.abs(pairs["eta1"]).max() < 2.4 and pairs["pt1"].min() > 15


def test_the_toy_is_kept_and_its_truth_is_read(toy_data, tmp_path, monkeypatch):
    monkeypatch.setattr(toy_data, "RUNS", {7: (109, 145), 8: (3, 4)})
    folder = toy_data.make_toy(tmp_path / "toy")
    written = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(written) >= 5
    toy_data.make_toy(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == written
    truth = toy_data.Truth.read(folder)
    assert (
        truth.ignored == (ExpRun(7, 145),)
        and set(truth.scales) == set(truth.events)
        and len(truth.scales) == 4
    )
    assert truth.events[ExpRun(7, 109)] < 60 < truth.events[ExpRun(8, 4)]
    assert toy_data.Truth.read(tmp_path) == toy_data.Truth()


def collect(muon_scale, files, output, constants_so_far=(), ignored=()):
    output.mkdir()
    context = CollectorContext(
        tuple(map(str, files)),
        RunSelection(ignored),
        Chain(constants_so_far),
        {},
        0,
        output,
        "muon_scale",
        "default",
    )
    muon_scale.DimuonSpectra().collect(context)
    context.finish()
    found = read_runs_file(output / "runs.json")
    runs, chunks = found.runs, found.chunks
    return TaskOutput("default", output, (), runs, chunks)


def calibrate(muon_scale, outputs, runs, directory, constants_so_far=()):
    iov = IoV(*runs[0], *runs[-1])
    chain, params = Chain(constants_so_far), {"min_events": 150}
    context = AlgorithmContext(tuple(runs), iov, chain, params, 0, directory, "muon_scale", tuple(outputs))
    return muon_scale.FitZPeak().calibrate(context)


def test_collector_and_algorithm(toy_data, muon_scale, tmp_path, monkeypatch):
    short, ignored, good = ExpRun(7, 109), ExpRun(7, 145), ExpRun(8, 4)
    monkeypatch.setattr(toy_data, "RUNS", {7: (109, 145), 8: (4,)})
    files = sorted(toy_data.make_toy(tmp_path / "toy").glob("*.root"))
    once = collect(muon_scale, files, tmp_path / "once", ignored=[ignored])
    assert set(once.runs) == {short, good}
    assert calibrate(muon_scale, [once], [short], tmp_path).result is Result.NOT_ENOUGH_DATA
    first = calibrate(muon_scale, [once], [good], tmp_path)
    content = first.payloads[0].content
    assert first.result is Result.ITERATE and content["events"] == once.runs[good]
    assert abs(content["scale"] - toy_data.true_scale(good)) < 4 * content["error"] < 0.02

    parts = [collect(muon_scale, [path], tmp_path / path.stem) for path in reversed(files)]
    assert calibrate(muon_scale, parts, [good], tmp_path).payloads == first.payloads

    database = LocalDatabase(tmp_path / "constants")
    database.store([(Payload("muon_scale", content, IoV(8, 0, 8, -1)), Provenance())])
    again = collect(muon_scale, files, tmp_path / "again", [database])
    second = calibrate(muon_scale, [again], [good], tmp_path, [database])
    assert second.payloads[0].content["events"] == content["events"]
    assert abs(second.metrics["correction"].ratio) < 0.1 * abs(first.metrics["correction"].ratio)
    assert second.payloads[0].content["scale"] == pytest.approx(content["scale"], abs=0.5 * content["error"])


def test_history_of_a_database(tmp_path):
    database = LocalDatabase(tmp_path / "db")
    runs = [[ExpRun(7, 1), ExpRun(7, 4)], [ExpRun(8, 2)]]
    notes = {"metrics": {"correction": [0.1, 0.2]}}
    database.store(
        (
            Payload("scale", {"scale": 1.0 + i}, IoV(7 + i, 0, 7 + i, -1)),
            Provenance(inputs={"runs": [list(run) for run in some]}, notes=notes),
        )
        for i, some in enumerate(runs)
    )
    found = constants(database, "scale")
    assert [one.runs for one in found] == [tuple(some) for some in runs]
    assert found[0].metrics == {"correction": (0.1, 0.2)} and constants(database, "other") == []
    figure = plot_history(
        [(one, 1.0, 0.1) for one in found], label="scale", truth={ExpRun(8, 2): 1.1}, ignored=[ExpRun(7, 2)]
    )
    assert [panel.get_title() for panel in figure.axes] == ["experiment 7", "experiment 8"]
    figure.savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_the_mean_over_runs_is_weighted():
    runs = [ExpRun(1, 1), ExpRun(1, 2)]
    assert mean_over_runs(runs, {runs[0]: 1.0, runs[1]: 2.0}, {runs[0]: 3, runs[1]: 1}) == 1.25
    assert Constant(IoV(), (), None, {}).runs == ()


def demo(output: Path, *options: str) -> str:
    """What the demo prints."""
    command = [sys.executable, str(EXAMPLES / "demo.py"), "--output", str(output), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def results(output: Path) -> list[tuple[str, str, str]]:
    """Name, revision and interval of every payload; the revision is the hash of the bytes."""
    entries = LocalDatabase(output / "calibration" / "muon_scale" / "outputdb").entries()
    return sorted((entry.name, entry.revision, str(entry.iov)) for entry in entries)


@pytest.mark.slow
def test_the_demo_on_its_toy(toy_data, tmp_path):
    printed = demo(tmp_path / "one", "--processes", "2")
    demo(
        tmp_path / "two",
        "--data",
        str(tmp_path / "one" / "toy"),
        "--processes",
        "1",
        "--max-files-per-subjob",
        "50",
    )
    assert results(tmp_path / "one") == results(tmp_path / "two")
    assert "converged" in printed and (tmp_path / "one" / "muon_scale.png").exists()
    truth = toy_data.Truth.read(tmp_path / "one" / "toy")
    found = constants(
        LocalDatabase(tmp_path / "one" / "calibration" / "muon_scale" / "outputdb"), "muon_scale"
    )
    assert sorted(run for one in found for run in one.runs) == sorted(set(truth.scales) - set(truth.ignored))
    expected = [mean_over_runs(one.runs, truth.scales, truth.events) for one in found]
    pulls = [
        (one.content["scale"] - true) / one.content["error"]
        for one, true in zip(found, expected, strict=True)
    ]
    assert chi2_of_pulls(pulls)[2] > 0.001


@pytest.mark.slow
def test_the_demo_on_real_data(zmumu_files, tmp_path):
    folder = str(Path(zmumu_files[0]).parent)
    printed = demo(tmp_path / "one", "--data", folder, "--max-files-per-subjob", "1")
    demo(tmp_path / "two", "--data", folder, "--max-files-per-subjob", "7", "--processes", "3")
    assert results(tmp_path / "one") == results(tmp_path / "two")
    assert "converged" in printed
    found = constants(
        LocalDatabase(tmp_path / "one" / "calibration" / "muon_scale" / "outputdb"), "muon_scale"
    )
    assert len([run for one in found for run in one.runs]) == 19
    ends = [(one.iov.run_low, one.iov.run_high) for one in found]
    assert all(before[1] + 1 == after[0] for before, after in pairwise(ends))
    assert all(abs(one.metrics["correction"][0]) < one.metrics["correction"][1] for one in found)
    short = {163233, 163340, 172411}
    assert all(len(one.runs) > 1 for one in found if short & {run.run for run in one.runs})


def test_a_folder_without_data_is_told(tmp_path):
    command = [
        sys.executable,
        str(EXAMPLES / "demo.py"),
        "--data",
        str(tmp_path),
        "--output",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (
        done.returncode == 1
        and "there are no ROOT files in" in done.stderr
        and "Traceback" not in done.stderr
    )
    assert json.dumps(done.stderr).count("\\n") == 1
