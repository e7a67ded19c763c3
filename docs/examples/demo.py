"""Calibrate the muon momentum scale on real data or on a toy, and show what came of it.

python demo.py                  makes its own data, whose true scale is known
python demo.py --data FOLDER    takes the ROOT files in a folder
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from muon_scale import CONSTANT, muon_scale
from rich.console import Console
from rich.table import Table
from toy_data import Truth, make_toy

from caf_core import CAF, CafError, ExpRun, LocalDatabase, Report
from caf_local import Local
from caf_root import (
    Constant,
    chi2_of_mean,
    chi2_of_pulls,
    chi2_probability,
    constants,
    mean_over_runs,
    plot_history,
)

COLUMNS = ("from run", "to run", "runs", "events", "scale", "truth", "pull", "chi2/ndf")


def arguments() -> argparse.Namespace:
    """What the user asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with ROOT files; a toy is made if left out")
    parser.add_argument("--output", type=Path, default=Path("demo"), help="where everything goes (demo)")
    parser.add_argument("--processes", type=int, default=2, help="how many processes to use (2)")
    parser.add_argument("--max-files-per-subjob", type=int, help="how the files are split into subjobs")
    return parser.parse_args()


def calibrate(options: argparse.Namespace, data: Path, ignored: Sequence[ExpRun]) -> Report:
    """Execute the calibration, or go on with it if it was begun before."""
    files = sorted(data.glob("*.root"))
    if not files:
        raise CafError(f"there are no ROOT files in {data}; give the folder that holds them with --data.")
    per_subjob = options.max_files_per_subjob or max(1, len(files) // (4 * options.processes))
    calibration = muon_scale(files, ignored, max_files_per_collector_job=per_subjob)
    caf = CAF(output_dir=options.output / "calibration", backend=Local(max_processes=options.processes))
    caf.add_calibration(calibration)
    return caf.run()


def tabulate(found: Sequence[Constant], expected: Sequence[float]) -> Table:
    """The payloads, one a row."""
    table = Table(title="Muon momentum scale")
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for one, true in zip_longest(found, expected):
        scale, error = one.content["scale"], one.content["error"]
        known = ("", "") if true is None else (f"{true:.5f}", f"{(scale - true) / error:+.2f}")
        iov = one.iov
        table.add_row(
            f"{iov.exp_low}, {iov.run_low}",
            f"{iov.exp_high}, open" if iov.run_high == -1 else f"{iov.exp_high}, {iov.run_high}",
            str(len(one.runs)),
            str(one.content["events"]),
            f"{scale:.5f} ± {error:.5f}",
            *known,
            f"{one.content['chi2']:.1f}/{one.content['ndf']}",
        )
    return table


def judge(found: Sequence[Constant], expected: Sequence[float]) -> str:
    """Do the constants agree with one another, and with the truth?"""
    scales, errors = ([one.content[key] for one in found] for key in ("scale", "error"))
    mean, error, chi2, ndf = chi2_of_mean(scales, errors)
    worst = max(abs(value) / tolerance for one in found for value, tolerance in one.metrics.values())
    lines = [
        f"mean scale {mean:.5f} ± {error:.5f}; one scale for all: chi2/ndf = {chi2:.1f}/{ndf}, "
        f"probability {chi2_probability(chi2, ndf):.3g}",
        f"largest correction in the last iteration: {worst:.2f} of its tolerance",
    ]
    if expected:
        pulls = [(a - b) / error for a, b, error in zip(scales, expected, errors, strict=True)]
        chi2, ndf, probability = chi2_of_pulls(pulls)
        lines.append(f"against the truth: chi2/ndf = {chi2:.1f}/{ndf}, probability {probability:.3g}")
    return "\n".join(lines)


def main() -> None:
    """Make data if there are none, calibrate, and show the result."""
    options = arguments()
    data = (options.data or make_toy(options.output / "toy")).absolute()
    truth = Truth.read(data)
    report = calibrate(options, data, truth.ignored)
    outcome = report.calibrations[CONSTANT]
    found = constants(LocalDatabase(outcome.database), CONSTANT)
    expected = [mean_over_runs(one.runs, truth.scales, truth.events) for one in found if truth.scales]
    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    console.print(tabulate(found, expected))
    console.print(judge(found, expected))
    console.print(f"iterations 0 to {outcome.iteration}: {outcome.convergence}")
    plot = options.output / "muon_scale.png"
    steps = [(one, one.content["scale"], one.content["error"]) for one in found]
    figure = plot_history(steps, label="momentum scale", truth=truth.scales, ignored=truth.ignored)
    figure.savefig(plot, dpi=150)
    places = {"data": data, "constants": outcome.database, "plot": plot, "all else": report.output_dir}
    for what, where in places.items():
        console.print(f"{what}: {where.absolute()}", soft_wrap=True, markup=False)


if __name__ == "__main__":
    try:
        main()
    except CafError as error:
        sys.exit(f"demo: {error}")
