"""Fits of a resonance to a histogram: the position of the Z peak, for one."""

from collections.abc import Callable
from math import nan

import numpy as np
from attrs import evolve, frozen

from caf_core.errors import ConfigurationError
from caf_root.counts import Counts
from caf_root.lineshape import Floats, bin_probabilities
from caf_root.statistics import chi2_probability, goodness_of_fit

Z_MASS = 91.1876
"""Mass of the Z boson [GeV], world average (Particle Data Group, https://pdg.lbl.gov)."""
Z_WIDTH = 2.4952
"""Width of the Z boson [GeV], from the measurements at LEP (https://doi.org/10.1016/j.physrep.2005.12.006)."""


@frozen(kw_only=True)
class PeakFit:
    """What came of a fit.

    Args:
        position: The fitted mass of the resonance [GeV].
        error: Its statistical error, from the second derivatives of the likelihood [GeV].
        resolution: The standard deviation of the fitted Gaussian [GeV].
        resolution_error: Its statistical error [GeV].
        background: The fraction of the events in the window that is flat background; 0 if none is fitted.
        background_error: Its statistical error.
        entries: Events in the window.
        chi2: -2 ln of the likelihood ratio to a perfect description, after putting bins together until 10
            events are expected in each.
        ndf: The bins that are left minus fitted parameters, at least 0.
        valid: Whether the minimum was found and its errors can be trusted.
        message: What is wrong, if it is not valid.
    """

    position: float = nan
    error: float = nan
    resolution: float = nan
    resolution_error: float = nan
    background: float = 0.0
    background_error: float = 0.0
    entries: int
    chi2: float = nan
    ndf: int = 0
    valid: bool
    message: str = ""

    @property
    def probability(self) -> float:
        """The probability of a worse description, as far as chi2 is distributed like one."""
        return chi2_probability(self.chi2, self.ndf)


@frozen(kw_only=True)
class PeakFitter:
    """Fits a Breit-Wigner convolved with a Gaussian by a binned Poisson likelihood.

    Free are the position and the resolution, and the fraction of a flat background if wanted; the width is
    fixed. There is no tail of final-state radiation in it: with real data the position is an effective one
    that belongs to the window, so keep the window narrow.

    Args:
        mass: Where to begin [GeV]; the position must come out within 5 widths of it.
        width: The fixed width of the resonance [GeV].
        window: The masses that are used [GeV]; both ends are edges of bins.
        resolution: The lowest and highest standard deviation to be tried [GeV]. The convolution is exact to
            1e-4 up to 1.5 widths.
        background: Whether a flat background is fitted too.
    """

    mass: float = Z_MASS
    width: float = Z_WIDTH
    window: tuple[float, float] = (86.0, 96.0)
    resolution: tuple[float, float] = (0.05, 3.7)
    background: bool = False

    def fit(self, spectrum: Counts) -> PeakFit:
        """Fit one spectrum.

        Args:
            spectrum: The counts over one axis, in GeV.
        Returns:
            The fit; the same counts always give the same, bit by bit, on one machine.
        Raises:
            ConfigurationError: If the spectrum has not one axis, or the window does not fit its bins.
        """
        edges, counts = self._in_window(spectrum)
        entries = int(counts.sum())
        if entries <= 2:
            return PeakFit(entries=entries, valid=False, message=f"there are {entries} entries in the window")
        from iminuit import Minuit

        minuit = Minuit(
            self._deviance(edges, counts), self.mass, 0.5 * self.width, 0.02 if self.background else 0.0
        )
        minuit.errordef = Minuit.LEAST_SQUARES  # a deviance grows by 1 within one standard deviation
        minuit.limits = ((self.mass - 5 * self.width, self.mass + 5 * self.width), self.resolution, (0, 1))
        minuit.errors = (0.05 * self.width, 0.05 * self.width, 0.01)
        minuit.fixed = (False, False, not self.background)
        minuit.migrad()
        if minuit.valid:
            minuit.hesse()
        if not minuit.valid or not minuit.accurate:
            message = "the fit did not converge to a minimum with errors"
            return PeakFit(entries=entries, valid=False, message=message)
        (position, resolution, background), errors = minuit.values, minuit.errors
        fit = PeakFit(
            position=position,
            error=errors[0],
            resolution=resolution,
            resolution_error=errors[1],
            background=background,
            background_error=errors[2] if self.background else 0.0,
            entries=entries,
            valid=True,
        )
        chi2, bins = goodness_of_fit(counts, self.expected(fit, edges))
        return evolve(fit, chi2=chi2, ndf=max(0, bins - 2 - int(self.background)))

    def expected(self, fit: PeakFit, edges: Floats) -> Floats:
        """The fitted number of events in every bin, such as for a drawing.

        Args:
            fit: The fit.
            edges: Bin edges within the window [GeV], shape (n_bins + 1,); the bins together hold all of the
                fit's events.
        """
        signal = bin_probabilities(edges, fit.position, self.width, fit.resolution)
        flat = np.diff(edges) / (edges[-1] - edges[0])
        expected: Floats = fit.entries * ((1 - fit.background) * signal + fit.background * flat)
        return expected

    def _in_window(self, spectrum: Counts) -> tuple[Floats, Floats]:
        """Edges and counts of the bins in the window."""
        if len(spectrum.axes) != 1:
            raise ConfigurationError(
                f"a peak is fitted to a histogram with one axis, and this one has {len(spectrum.axes)}."
            )
        axis = spectrum.axes[0]
        edges = np.asarray(axis.edges, dtype=float)
        low, high = self.window
        first, last = (int(np.argmin(np.abs(edges - end))) for end in self.window)
        if not np.allclose(edges[[first, last]], (low, high), rtol=0, atol=1e-9 * high) or last - first < 4:
            raise ConfigurationError(
                f"the fit window {low:g}..{high:g} does not fit the bins from {edges[0]:g} to {edges[-1]:g}:"
                " let it begin and end at edges of bins, with at least 4 bins between."
            )
        skipped = int(axis.traits.underflow)
        counts = spectrum.values[first + skipped : last + skipped].astype(float)
        return edges[first : last + 1], counts

    def _deviance(self, edges: Floats, counts: Floats) -> Callable[[float, float, float], float]:
        """-2 ln of the likelihood ratio; the number of events is that of the data, so only the shape counts.

        Bins may be as narrow as one likes: empty ones do no harm to a likelihood.
        """
        total = counts.sum()
        flat = np.diff(edges) / (edges[-1] - edges[0])
        filled = counts > 0
        seen = counts[filled]

        def deviance(position: float, resolution: float, background: float) -> float:
            shape = bin_probabilities(edges, position, self.width, resolution)
            expected = total * ((1 - background) * shape + background * flat)
            return float(2 * (seen * np.log(seen / expected[filled])).sum())

        return deviance
