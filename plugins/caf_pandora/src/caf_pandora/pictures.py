"""Pictures of the fits of a step; they need matplotlib, the extra ``plot``.

``python -m caf_pandora.pictures FOLDER`` draws what the steps of a result left there as JSON.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from caf_core.errors import CafError
from caf_pandora.gaussian import GaussianFit
from caf_pandora.line import RESOLUTION, LineFit
from caf_pandora.outcome import Fit
from caf_pandora.peaks import Peak
from caf_pandora.sketch import MOST_POINTS, Sketch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(sketch: Sketch) -> "Figure | None":
    """One figure with all fits of a step; ``None`` if it has none.

    Raises:
        CafError: If matplotlib is not installed.
    """
    fits = sketch.fits
    if not fits:
        return None
    try:
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise CafError(
            "pictures need matplotlib, which is not installed: pip install 'caf-pandora[plot]'."
        ) from missing
    columns, rows = min(len(fits), 3), -(-len(fits) // 3)
    width, height = 5.0 * columns, 4.0 * rows
    figure = Figure(figsize=(width, height))
    # Margins in inches: matplotlib would find its own by drawing everything twice.
    figure.subplots_adjust(
        left=0.8 / width,
        right=1 - 0.2 / width,
        bottom=0.6 / height,
        top=1 - 0.8 / height,
        wspace=0.25,
        hspace=0.35,
    )
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, (name, fit) in zip(panels, fits.items(), strict=False):
        _draw(panel, fit)
        panel.set_title(name, fontsize="small")
    for panel in panels[len(fits) :]:
        panel.remove()
    figure.suptitle(f"stage {sketch.stage}, phase {sketch.phase} {sketch.name}, step {sketch.step}")
    return figure


def write_pictures(directory: Path, sketches: Iterable[Sketch]) -> list[Path]:
    """Write a picture of every step that fitted something; the directory is made if need be."""
    directory.mkdir(parents=True, exist_ok=True)
    return list(_written(directory, sketches))


def _written(directory: Path, sketches: Iterable[Sketch]) -> Iterator[Path]:
    for sketch in sketches:
        figure = draw(sketch)
        if figure is not None:
            path = directory / f"{sketch.stem}.png"
            figure.savefig(path, dpi=80)
            yield path


def gather(folder: Path) -> list[Path]:
    """Draw what the steps of a result left, into its folder ``pictures``.

    Raises:
        ResultFileError: If a file in it says something else.
    """
    files = sorted((folder / "steps").glob("*/stage*_phase*_step*.json"))
    return write_pictures(folder / "pictures", map(Sketch.read, files))


def _draw(panel: Any, fit: Fit) -> None:
    if isinstance(fit, GaussianFit):
        _draw_gaussian(panel, fit)
    elif isinstance(fit, LineFit):
        _draw_line(panel, fit)
    else:
        _draw_peak(panel, fit)


def _draw_gaussian(panel: Any, fit: GaussianFit) -> None:
    histogram = fit.histogram
    panel.stairs(histogram.counts, histogram.edges, label=f"{fit.entries} events")
    edges = np.linspace(fit.low, fit.high, 201)
    smooth = fit.expected(edges) * histogram.width / (edges[1] - edges[0])
    label = f"mean {fit.mean:.3f} ± {fit.mean_error:.3f}"
    panel.plot((edges[:-1] + edges[1:]) / 2, smooth, "C1" if fit.valid else "C3--", label=label)
    panel.set_xlabel("energy [GeV]")
    panel.legend(fontsize="x-small")


def _draw_line(panel: Any, fit: LineFit) -> None:
    h, e = fit.points[:, :MOST_POINTS]
    panel.plot(h, e, ".", markersize=1, alpha=0.4, label=f"{fit.used} of {fit.candidates} events")
    panel.plot([0, fit.kinetic], [fit.kinetic, 0], "k:", label=f"ideal, kinetic {fit.kinetic:.2f}")
    label = f"{fit.hcal:.2f} ± {fit.hcal_error:.2f}, {fit.ecal:.2f} ± {fit.ecal_error:.2f}"
    panel.plot([0, fit.hcal], [fit.ecal, 0], "C1", label=label)
    # on the ideal line both variances add up to that of the whole energy, so the cut is parallel to it
    shift = fit.width * RESOLUTION * np.sqrt(fit.kinetic) / 2
    for sign in (-1, 1) if np.isfinite(shift) else ():
        ends = np.array([0, fit.kinetic]) + sign * shift
        panel.plot(ends, ends[::-1], "0.6", linewidth=0.8)
    panel.set_xlabel("HCal energy [GeV]")
    panel.set_ylabel("ECal energy [GeV]")
    panel.legend(fontsize="x-small")


def _draw_peak(panel: Any, fit: Peak) -> None:
    histogram = fit.histogram
    panel.stairs(histogram.counts, histogram.edges, label=f"{fit.entries} hits")
    panel.axvline(fit.position, color="C1", label=f"{fit.position:.4g}")
    panel.set_yscale("log")
    panel.set_xlim(0, min(4 * fit.position, histogram.edges[-1]))
    panel.ticklabel_format(axis="x", scilimits=(-2, 3))
    panel.set_xlabel("energy [GeV]")
    panel.legend(fontsize="x-small")


def main() -> int:
    """Draw the fits of a result's steps."""
    parser = argparse.ArgumentParser(prog="python -m caf_pandora.pictures", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="the folder of a result, with its steps")
    given = parser.parse_args()
    try:
        made = gather(given.folder)
    except CafError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    sys.stdout.write(f"{len(made)} pictures are in {given.folder / 'pictures'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
