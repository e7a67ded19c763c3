"""The muon momentum scale, run by run, from Z -> mu mu.

The collector fills the dimuon mass spectrum of every run, with the momenta scaled by the constants of the
previous iteration. The algorithm fits the Z peak and gives the scale that moves it to its known place. Run by
run the data are often too few; the strategy then merges runs, and the merged groups of the first iteration
are kept in the later ones.

What defines the constant: pairs of opposite charge, masses between 86 and 96 GeV after scaling, and a
Breit-Wigner of the Z's width convolved with a Gaussian of free width. There is no tail of photon radiation in
this shape, so with real data the scale is an effective one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hist import axis

from caf_core import (
    Algorithm,
    AlgorithmContext,
    Calibration,
    CollectorContext,
    ExpRun,
    Metric,
    Outcome,
    Result,
)
from caf_root import PeakFitter, RunHistograms, pair_mass, read_chunks, split_runs

Z_MASS = 91.1876  # GeV, Particle Data Group
CONSTANT = "muon_scale"
UNCALIBRATED = {"scale": 1.0}
MASS = axis.Regular(1200, 60, 120, name="mass", label=r"$m_{\mu\mu}$ [GeV]")
MUONS = ("pt1", "eta1", "phi1", "pt2", "eta2", "phi2")
BRANCHES = ("experiment", "run", "q1", "q2", *MUONS)


class DimuonSpectra:
    """Fills the dimuon mass spectrum of every run."""

    preload = ("uproot", "hist", "caf_root.histograms", "caf_root.reading", "caf_root.kinematics")

    def collect(self, context: CollectorContext) -> None:
        """Read the files of one task."""
        spectra = RunHistograms(MASS)
        for chunk in read_chunks(context.input_files, "events", BRANCHES):
            for run, pairs in split_runs(chunk):
                scale = context.conditions.get(CONSTANT, run, UNCALIBRATED)["scale"]
                mass = scale * pair_mass(*(pairs[name] for name in MUONS))
                spectra.fill(run, mass[pairs["q1"] != pairs["q2"]])
        for run, spectrum in spectra.items():
            if context.wants(run):
                context.put(run, spectrum, entries=spectrum.entries)


class FitZPeak:
    """Fits the Z peak and gives the scale that moves it to the Z mass."""

    preload = ("hist", "iminuit", "caf_root.histograms", "caf_root.peaks")

    def calibrate(self, context: AlgorithmContext) -> Outcome:
        """Determine the scale for some runs."""
        spectrum = context.data().merged()
        # All pairs count, whatever their mass: unlike those in the fit window, their number stays the same.
        if spectrum.entries < context.params["min_events"]:
            return Outcome(Result.NOT_ENOUGH_DATA, message=f"{spectrum.entries} events")
        fit = PeakFitter(mass=Z_MASS, window=(86.0, 96.0)).fit(spectrum)
        if not fit.valid:
            # More entries may cure a fit of few; whatever is wrong with many, somebody has to look at it.
            return Outcome(Result.NOT_ENOUGH_DATA if fit.few else Result.FAILURE, message=fit.message)
        correction = Z_MASS / fit.position
        scale = correction * context.conditions.get(CONSTANT, context.runs[0], UNCALIBRATED)["scale"]
        error = scale * fit.error / fit.position
        constant = {
            "scale": scale,
            "error": error,
            "events": spectrum.entries,
            "fitted": fit.entries,
            "resolution": fit.resolution,
            "chi2": fit.chi2,
            "ndf": fit.ndf,
        }
        change = Metric(correction - 1, tolerance=0.1 * fit.error / fit.position)
        result = Result.OK if abs(change.value) < change.tolerance else Result.ITERATE
        message = "; ".join(filter(None, (f"Z peak at {fit.position:.3f} GeV", fit.message)))
        return Outcome(result, {CONSTANT: constant}, {"correction": change}, message)


def muon_scale(
    files: Sequence[str | Path], ignored_runs: Sequence[ExpRun] = (), min_events: int = 150, **settings: Any
) -> Calibration:
    """The calibration.

    Args:
        files: ROOT files with a tree ``events``, one entry a pair of muons.
        ignored_runs: Runs that are left out.
        min_events: How many pairs a constant needs at least.
        settings: Anything else that a calibration can be told, such as ``max_files_per_collector_job``.
    """
    calibration = Calibration(CONSTANT, collector=DimuonSpectra(), input_files=files, **settings)
    calibration.algorithms = [
        Algorithm(FitZPeak(), name="z_peak", params={"min_events": min_events, "keep_boundaries": True})
    ]
    calibration.strategies = "SequentialRunByRun"
    calibration.ignored_runs = ignored_runs
    calibration.max_iterations = 5
    return calibration
