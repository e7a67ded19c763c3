"""Fits of a resonance to a histogram: the position of the Z peak, for one."""

from math import isfinite, nan, sqrt
from typing import Any

import numpy as np
from attrs import evolve, field, frozen

from caf_core.errors import ConfigurationError
from caf_root.counts import Counts
from caf_root.lineshape import BinnedPeak, Floats
from caf_root.statistics import chi2_probability, goodness_of_fit

Z_MASS = 91.1876
"""Mass of the Z boson [GeV], world average (Particle Data Group, https://pdg.lbl.gov)."""
Z_WIDTH = 2.4952
"""Width of the Z boson [GeV], from the measurements at LEP (https://doi.org/10.1016/j.physrep.2005.12.006)."""

_SEEN = 9.0
"""How much better than a straight line a peak must describe the data, in -2 ln of the likelihood ratio."""
_AT_LIMIT = 0.01
"""A parameter for which its limit is as likely as this (-2 ln of the likelihood ratio) is at its limit."""
_DEPARTURE = 0.3
"""The relative departure of the data from the shape, over all bins, from which on the shape is wrong ..."""
_SIGNIFICANT = 1e-6
"""... if it is no chance, either, by this probability. It is this small because one calibration judges some
fifty spectra in each of a few iterations, and each iteration moves the entries against the bins: with 1e-4
one calibration in fifty would fail for nothing."""
_FEW = 200
"""With fewer entries than these, what is wrong with a fit may be chance."""


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
        valid: Whether the minimum was found, away from the limits of the parameters and with errors that can
            be trusted, at a peak that is there, within the window, and described by the shape.
        few: Whether it is not valid and more entries may cure that: there are fewer than 200 in the window,
            and the shape describes them.
        message: What is wrong, if it is not valid; or what to know of one that is.
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
    few: bool = False
    message: str = ""

    @property
    def probability(self) -> float:
        """The probability of a worse description, as far as chi2 is distributed like one."""
        return chi2_probability(self.chi2, self.ndf)

    @property
    def departure(self) -> float:
        """How far the entries are from the shape, relative to it, over all bins and beyond chance."""
        return sqrt(max(self.chi2 - self.ndf, 0.0) / self.entries) if self.entries else 0.0


def _window(fitter: "PeakFitter", _attribute: object, window: tuple[float, float]) -> None:
    if not 0 < window[0] < fitter.mass < window[1] or not isfinite(window[1]):
        raise ConfigurationError(
            f"the fit window {window[0]:g}..{window[1]:g} GeV must hold the mass {fitter.mass:g} GeV where "
            "the fit begins; correct one of them."
        )


def _width(_fitter: "PeakFitter", _attribute: object, width: float) -> None:
    if not width > 0 or not isfinite(width):
        raise ConfigurationError(f"the width of a peak is {width:g} GeV; give one above 0.")


def _resolution(_fitter: "PeakFitter", _attribute: object, resolution: tuple[float, float]) -> None:
    if not 0 < resolution[0] < resolution[1] or not isfinite(resolution[1]):
        raise ConfigurationError(
            f"the resolution of a peak cannot be tried from {resolution[0]:g} to {resolution[1]:g} GeV; give "
            "a lowest one above 0 and a highest one above it."
        )


@frozen(kw_only=True)
class PeakFitter:
    """Fits a Breit-Wigner convolved with a Gaussian by a binned Poisson likelihood.

    Free are the position and the resolution, and the fraction of a flat background if wanted; the width is
    fixed. There is no tail of final-state radiation in it: with real data the position is an effective one
    that belongs to the window, so keep the window narrow.

    Args:
        mass: Where to begin [GeV], within the window.
        width: The fixed width of the resonance [GeV].
        window: The masses that are used [GeV]; both ends are edges of bins.
        resolution: The lowest and highest standard deviation to be tried [GeV].
        background: Whether a flat background is fitted too.
    Raises:
        ConfigurationError: If one of them is impossible.
    """

    mass: float = Z_MASS
    width: float = field(default=Z_WIDTH, validator=_width)
    window: tuple[float, float] = field(default=(86.0, 96.0), validator=_window)
    resolution: tuple[float, float] = field(default=(0.05, 3.7), validator=_resolution)
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
        if (counts < 0).any():
            return PeakFit(entries=entries, valid=False, message="there are bins with less than no entries")
        if entries <= 2:
            return PeakFit(
                entries=entries, valid=False, few=True, message=f"there are {entries} entries in the window"
            )
        deviance = _Deviance(edges, counts, BinnedPeak(edges, self.width, self.resolution[0]))
        minuit = self._minimum(deviance, counts, self.background)
        message = ""
        if self.background and deviance(minuit.values[0], minuit.values[1], 0.0) <= minuit.fval + _AT_LIMIT:
            # The likelihood is cut off at a fraction of 0, so nothing is left to fit.
            minuit = self._minimum(deviance, counts, False)
            message = "the best fraction of background is 0, its lowest"
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
            message=message,
        )
        chi2, bins = goodness_of_fit(counts, self.expected(fit, edges))
        fit = evolve(fit, chi2=chi2, ndf=max(0, bins - 2 - int(self.background)))
        problems = self._problems(fit, minuit, deviance)
        if not problems:
            return evolve(fit, message="; ".join(filter(None, (message, self._remark(fit)))))
        few = entries < _FEW and fit.probability >= _SIGNIFICANT
        return evolve(fit, valid=False, few=few, message="; ".join(problems))

    def _minimum(self, deviance: "_Deviance", counts: Floats, background: bool) -> Any:
        """Minimise; position, resolution and background are the parameters."""
        from iminuit import Minuit

        low, high = self.window
        spread = deviance.spread(counts)
        minuit = Minuit(
            deviance,
            self.mass,
            min(max(spread / 2, 1.5 * self.resolution[0]), 0.5 * sum(self.resolution)),
            0.02 if background else 0.0,
        )
        minuit.errordef = Minuit.LEAST_SQUARES  # a deviance grows by 1 within one standard deviation
        # Beyond the window, too, so that a peak that is there is not taken for one within.
        reach = (high - low) / 2
        minuit.limits = ((max(low - reach, low / 2), high + reach), self.resolution, (0, 1))
        minuit.errors = (0.05 * spread, 0.05 * spread, 0.01)
        minuit.fixed = (False, False, not background)
        minuit.strategy = 0  # the errors come from hesse
        minuit.migrad()
        minuit.hesse()
        return minuit

    def _problems(self, fit: PeakFit, minuit: Any, deviance: "_Deviance") -> list[str]:
        """What is wrong with a fit, in words."""
        problems = []
        if not minuit.valid or not minuit.accurate or not 0 < fit.error < np.inf:
            problems.append("the fit did not converge to a minimum with errors")
        low, high = self.window
        if not low < fit.position < high:
            problems.append(f"the position {fit.position:g} GeV is outside of the window {low:g}..{high:g}")
        elif not low + fit.error <= fit.position <= high - fit.error:
            problems.append(f"the position {fit.position:g} GeV is within its error of an end of the window")
        if deviance.straight_line() - minuit.fval < _SEEN:
            problems.append(f"no peak is seen: a straight line describes the {fit.entries} entries as well")
        for word, limit in zip(("lowest", "highest"), self.resolution, strict=True):
            if deviance(fit.position, limit, fit.background) <= minuit.fval + _AT_LIMIT:
                problems.append(f"the resolution {fit.resolution:.3g} GeV is at its {word}, {limit:g}")
        if fit.departure > _DEPARTURE and fit.probability < _SIGNIFICANT:
            problems.append(f"the shape does not describe the spectrum (chi2/ndf {fit.chi2:.0f}/{fit.ndf})")
        return problems

    def _remark(self, fit: PeakFit) -> str:
        """What to know of the shape, although the fit is valid."""
        if fit.probability >= _SIGNIFICANT:
            return ""
        return (
            f"the spectrum departs from the shape by {100 * fit.departure:.0f} % in the mean "
            f"(chi2/ndf {fit.chi2:.0f}/{fit.ndf}), so the position depends on the window"
        )

    def expected(self, fit: PeakFit, edges: Floats) -> Floats:
        """The fitted number of events in every bin, such as for a drawing.

        Args:
            fit: The fit.
            edges: Bin edges within the window [GeV], shape (n_bins + 1,); the bins together hold all of the
                fit's events.
        """
        signal = BinnedPeak(edges, self.width, fit.resolution)(fit.position, fit.resolution)
        flat = np.diff(edges) / (edges[-1] - edges[0])
        expected: Floats = fit.entries * ((1 - fit.background) * signal + fit.background * flat)
        return expected

    def _in_window(self, spectrum: Counts) -> tuple[Floats, Floats]:
        """Edges and counts of the bins in the window."""
        if not isinstance(spectrum, Counts):
            raise ConfigurationError(
                f"a peak is fitted to Counts, not to a {type(spectrum).__name__}: weighted entries have no "
                "Poisson likelihood. Fill Counts, or RunHistograms."
            )
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


class _Deviance:
    """-2 ln of the likelihood ratio; the number of events is that of the data, so only the shape counts.

    Bins may be as narrow as one likes: empty ones do no harm to a likelihood.
    """

    def __init__(self, edges: Floats, counts: Floats, shape: BinnedPeak) -> None:
        self._shape = shape
        self._flat = np.diff(edges) / (edges[-1] - edges[0])
        self._centres = (edges[1:] + edges[:-1]) / 2
        self._filled = np.flatnonzero(counts)
        self._seen = counts[self._filled]
        self._perfect = float((self._seen * np.log(self._seen / self._seen.sum())).sum())

    def __call__(self, position: float, resolution: float, background: float) -> float:
        shape = self._shape(position, resolution)
        return self._of((1 - background) * shape + background * self._flat if background else shape)

    def straight_line(self) -> float:
        """The deviance of the straight line that describes the entries best."""
        middle = (self._centres[0] + self._centres[-1]) / 2
        x = (self._centres - middle) / (self._centres[-1] - middle)
        filled, slope = x[self._filled], 0.0
        for _ in range(10):  # Newton's method
            ratio = filled / (1 + slope * filled)
            step = float((self._seen * ratio).sum() / (self._seen * ratio * ratio).sum())
            slope = min(max(slope + step, -0.99), 0.99)
        return self._of(self._flat * (1 + slope * x))

    def spread(self, counts: Floats) -> float:
        """The standard deviation of the entries [GeV], at least a bin."""
        mean = float((counts * self._centres).sum() / counts.sum())
        variance = float((counts * np.square(self._centres - mean)).sum() / counts.sum())
        return max(sqrt(variance), float(self._centres[1] - self._centres[0]))

    def _of(self, probabilities: Floats) -> float:
        return 2 * (self._perfect - float((self._seen * np.log(probabilities[self._filled])).sum()))
