"""The muon momentum scale with resident workers: the calibration of ``muon_scale`` as a plan of caf-service.

Every worker keeps its share of the files. In each step it fills the dimuon mass spectra of its runs with the
present constants and reports them; the update adds them up run by run, lets the same strategy and the same
algorithm as in a CAF determine the constants, and says whether another step is wanted. With a quorum of 1 the
constants are those that a CAF finds.

python muon_scale_service.py --workers 4       makes its own data, and compares the constants with the truth
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from muon_scale import BRANCHES, CONSTANT, MASS, MUONS, UNCALIBRATED, FitZPeak

from caf_core import CAF, CafError, ExpRun, IoV, Outcome, Payload
from caf_core.calibration.carry_out import carry_out
from caf_core.calibration.plans import Commit, Execute, Executed, Past
from caf_root import RunHistograms, pair_mass, read_chunks, split_runs
from caf_root.counts import Counts
from caf_service import Phase, Plan, Results, ServiceCalibration, Setting, Slice, Stage, Update, Work
from caf_strategies.sequential_run_by_run import SequentialRunByRun

SAMPLE = "dimuon"
Groups = Sequence[Mapping[str, Any]]
"""Constants as parameters: ``{"iov", "runs", "constant"}``, one a group of runs."""


@frozen
class Known:
    """The constants of the step before, asked for by run as those of a CAF are."""

    groups: tuple[tuple[IoV, Mapping[str, float]], ...]

    @classmethod
    def of(cls, groups: Groups) -> "Known":
        """Take them out of the parameters."""
        return cls(tuple((IoV.parse(group["iov"]), group["constant"]) for group in groups))

    def get(self, name: str, run: ExpRun, default: Mapping[str, float]) -> Mapping[str, float]:
        """The constant of a run."""
        return next((constant for iov, constant in self.groups if run in iov), default)


@frozen
class Fit:
    """What ``FitZPeak`` is given in place of the context of a CAF."""

    runs: tuple[ExpRun, ...]
    spectra: RunHistograms
    conditions: Known
    params: Mapping[str, Any]

    def data(self) -> "Fit":
        """The collected data are these."""
        return self

    def merged(self) -> Counts:
        """The spectrum of all runs."""
        return self.spectra.of(self.runs)


def begin(settings: Mapping[str, Any], inputs: Mapping[str, Path]) -> dict[str, Any]:
    """Nothing is calibrated yet."""
    return {"groups": []}


def collect(work: Work) -> Path:
    """A worker's step: the spectra of its runs, as whole numbers."""
    known, ignored = Known.of(work.parameters["groups"]), as_runs(work.settings["ignored_runs"])
    spectra = RunHistograms(MASS)
    for chunk in read_chunks([one.file for one in work.slices], "events", BRANCHES):
        for run, pairs in split_runs(chunk):
            if run not in ignored:
                scale = known.get(CONSTANT, run, UNCALIBRATED)["scale"]
                mass = scale * pair_mass(*(pairs[name] for name in MUONS))
                spectra.fill(run, mass[pairs["q1"] != pairs["q2"]])
    file = work.directory / "spectra.npz"
    counts = [spectra[run].values for run in spectra.runs]
    with file.open("wb") as stream:
        np.savez_compressed(
            stream, runs=np.array(spectra.runs, np.int64).reshape(-1, 2), counts=np.array(counts)
        )
    return file


def add_up(files: Iterable[Path]) -> RunHistograms:
    """The spectra of all workers, run by run."""
    spectra = RunHistograms(MASS)
    for file in files:
        with np.load(file, allow_pickle=False) as found:
            for run, counts in zip(found["runs"].tolist(), found["counts"], strict=True):
                spectra.add(ExpRun(*run), Counts(spectra.axes, counts))
    return spectra


def calibrate(results: Results, parameters: Mapping[str, Any]) -> Update:
    """One iteration: what a CAF does with its collected data."""
    spectra, known = add_up(results.files.values()), Known.of(parameters["groups"])
    params = {"min_events": results.settings["min_events"]}
    past = [
        Commit(f"{number}", as_runs(group["runs"]), IoV.parse(group["iov"]))
        for number, group in enumerate(parameters["groups"])
    ]
    outcomes: dict[str, Outcome] = {}

    def execute(request: Execute) -> Executed:
        key = str(len(outcomes))
        outcomes[key] = outcome = FitZPeak().calibrate(Fit(request.runs, spectra, known, params))
        return Executed(key, outcome.result, outcome.message)

    plan = SequentialRunByRun(keep_boundaries=True).plan(
        spectra.runs, Past(results.position.step, tuple(past))
    )
    done = carry_out(plan, execute)
    if not done.verdict.result.success:
        raise CafError(f"{done.verdict.result}: {done.verdict.message}")
    commits = done.commits
    groups = [
        {
            "iov": str(one.iov),
            "runs": [list(run) for run in one.runs],
            "constant": outcomes[one.key].payloads[0].content,
        }
        for one in commits
    ]
    corrections = [abs(outcomes[one.key].metrics["correction"].value) for one in commits]
    converged = done.verdict.result != "iterate"
    metrics = {"correction": max(corrections), "groups": len(groups)}
    return Update({"groups": groups}, metrics, converged, done.verdict.message)


def as_runs(pairs: Iterable[Sequence[int]]) -> tuple[ExpRun, ...]:
    """Runs out of JSON."""
    return tuple(ExpRun(*pair) for pair in pairs)


def share(
    files: Mapping[str, Sequence[str]], settings: Mapping[str, Any], workers: int
) -> list[dict[str, list[Slice]]]:
    """Files in turn, each as a whole."""
    return [{SAMPLE: [Slice(file) for file in files[SAMPLE][worker::workers]]} for worker in range(workers)]


def payloads(parameters: Mapping[str, Any], result: Path) -> list[Payload]:
    """The constants with their intervals."""
    return [Payload(CONSTANT, group["constant"], IoV.parse(group["iov"])) for group in parameters["groups"]]


PLAN = Plan(
    name="muon_scale",
    version="1",
    stages=(Stage("scale", (Phase("z_peak", SAMPLE, calibrate, max_steps=6, fails_at_maximum=False),)),),
    begin=begin,
    work="muon_scale_service:collect",
    share=share,
    settings={
        "min_events": Setting(
            (int,), "how many pairs a constant needs at least", 150, lambda value: value > 0
        ),
        "ignored_runs": Setting((list,), "runs that are left out, as [experiment, run]", []),
    },
    samples=(SAMPLE,),
    quorum=1.0,
    suffix=".npz",
)


def muon_scale_service(
    files: Sequence[str | Path], ignored_runs: Sequence[ExpRun] = (), workers: int = 2, **settings: Any
) -> ServiceCalibration:
    """The calibration for a CAF; its service is started with it.

    Args:
        files: ROOT files with a tree ``events``, one entry a pair of muons.
        ignored_runs: Runs that are left out.
        workers: How many workers share the files.
        settings: Anything else that a ``ServiceCalibration`` can be told.
    """
    return ServiceCalibration(
        CONSTANT,
        plan="muon_scale_service:PLAN",
        workers=workers,
        inputs={SAMPLE: files},
        settings={"ignored_runs": [list(run) for run in ignored_runs]},
        payloads=payloads,
        **settings,
    )


def main() -> None:
    """Make data, calibrate, compare with the truth."""
    from toy_data import Truth, make_toy

    from caf_core import LocalDatabase
    from caf_root import constants, mean_over_runs

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("demo"), help="where everything goes (demo)")
    parser.add_argument("--workers", type=int, default=2, help="how many workers share the files (2)")
    options = parser.parse_args()
    data = make_toy(options.output.absolute() / "toy")
    truth = Truth.read(data)
    calibration = muon_scale_service(sorted(data.glob("*.root")), truth.ignored, options.workers)
    caf = CAF(output_dir=options.output / "calibration_service")
    caf.add_calibration(calibration)
    outcome = caf.run().calibrations[CONSTANT]
    for one in constants(LocalDatabase(outcome.database), CONSTANT):
        expected = mean_over_runs(one.runs, truth.scales, truth.events) if one.runs else float("nan")
        print(f"{one.iov}: {one.content['scale']:.5f} +- {one.content['error']:.5f}, truth {expected:.5f}")


if __name__ == "__main__":
    main()
