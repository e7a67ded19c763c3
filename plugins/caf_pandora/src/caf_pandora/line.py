"""Hadronic energy: the line on which ECal and HCal energy of one kinetic energy add up to it.

A hadron of kinetic energy T leaves e in the ECal and h in the HCal. With the right constants the points
(h, e) scatter around the line from (T, 0) to (0, T), with the standard deviation 0.55 sqrt(energy) on each
axis. The line that fits the points has the intercepts (H, 0) and (0, E).

The deviations are taken from where the fitted line is nearest to a point, not from the measured energies: a
downward fluctuation would otherwise count more, and the intercepts come out some 0.5 % low. While the line
moves, the deviations of the line before are kept; else a larger line would be preferred for its larger
deviations.
"""

from collections.abc import Callable
from math import inf

import numpy as np
from attrs import field, frozen

from caf_pandora.errors import PandoraError, TooFewEventsError
from caf_pandora.histogram import Floats

RESOLUTION = 0.55
"""Standard deviation over the square root of the energy [sqrt(GeV)]."""
WIDTHS = (3.0, 6.0, 12.0, inf)
"""Cuts on the distance from the ideal line, in standard deviations; the first that keeps enough is taken."""
ENOUGH = 0.5
"""Fraction of the candidates that a cut has to keep; with constants far off the narrowest keeps none."""
FEWEST_EVENTS = 50
_FEWEST_SHARING = 5
_TINY = 1e-6


@frozen(kw_only=True, eq=False)
class LineFit:
    """What came of a fit.

    Args:
        hcal: Intercept on the HCal's axis [GeV].
        ecal: Intercept on the ECal's axis [GeV].
        hcal_error: Its statistical error [GeV].
        ecal_error: Its statistical error [GeV].
        width: The cut on the distance from the ideal line [standard deviations].
        candidates: Events before this cut.
        used: Events after it.
        kinetic: The true kinetic energy [GeV].
        points: HCal and ECal energies of the events that were used [GeV], shape (2, used).
    """

    hcal: float
    ecal: float
    hcal_error: float
    ecal_error: float
    width: float
    candidates: int
    used: int
    kinetic: float
    points: Floats = field(repr=False)

    @property
    def narrow(self) -> bool:
        """Whether the cut was the narrowest; with a wider one nothing counts as calibrated."""
        return self.width == WIDTHS[0]


def fit_line(hcal: Floats, ecal: Floats, kinetic: float, what: str) -> LineFit:
    """Cut around the ideal line and fit the intercepts.

    Args:
        hcal: HCal energies [GeV], shape (n,).
        ecal: ECal energies [GeV], shape (n,).
        kinetic: The true kinetic energy [GeV].
        what: What the events are, for errors.
    Raises:
        TooFewEventsError: If fewer than 50 events are left, or fewer than 5 with energy in one calorimeter.
        PandoraError: If the fit does not converge.
    """
    if len(hcal) < FEWEST_EVENTS:
        raise TooFewEventsError(what, len(hcal), FEWEST_EVENTS)
    far = np.abs(_distance(hcal, ecal, kinetic, kinetic))
    width = next(width for width in WIDTHS if np.mean(far < width) >= ENOUGH)
    near = far < width
    points = np.stack([hcal[near], ecal[near]])
    if points.shape[1] < FEWEST_EVENTS:
        raise TooFewEventsError(f"{what} near the line", points.shape[1], FEWEST_EVENTS)
    for axis, name in enumerate(("HCal", "ECal")):
        sharing = int((points[axis] > 0.05 * kinetic).sum())
        if sharing < _FEWEST_SHARING:
            raise TooFewEventsError(f"{what} with energy in the {name}", sharing, _FEWEST_SHARING)
    values, errors = _intercepts(points, kinetic, what)
    return LineFit(
        hcal=values[0],
        ecal=values[1],
        hcal_error=errors[0],
        ecal_error=errors[1],
        width=width,
        candidates=len(hcal),
        used=points.shape[1],
        kinetic=kinetic,
        points=points,
    )


def _variances(h: Floats, e: Floats, hcal: float, ecal: float) -> tuple[Floats, Floats]:
    """Squared deviations on both axes [GeV^2], at the point of the line that is nearest in terms of them."""
    on_h, on_e = h, e
    for _ in range(4):
        variance_h = RESOLUTION**2 * np.maximum(on_h, 0)
        variance_e = RESOLUTION**2 * np.maximum(on_e, 0)
        pull = (1 - h / hcal - e / ecal) / np.maximum(variance_h / hcal**2 + variance_e / ecal**2, _TINY)
        on_h, on_e = h + pull * variance_h / hcal, e + pull * variance_e / ecal
    return RESOLUTION**2 * np.maximum(on_h, 0), RESOLUTION**2 * np.maximum(on_e, 0)


def _distance(h: Floats, e: Floats, hcal: float, ecal: float) -> Floats:
    """Distances from a line in standard deviations, negative beyond it."""
    variance_h, variance_e = _variances(h, e, hcal, ecal)
    spread = np.sqrt(np.maximum(variance_h / hcal**2 + variance_e / ecal**2, _TINY))
    distance: Floats = (1 - h / hcal - e / ecal) / spread
    return distance


def _intercepts(points: Floats, kinetic: float, what: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """The intercepts (H, E) and their errors: fits with fixed deviations, until the line stays in place."""
    from iminuit import Minuit

    h, e = points
    found = (kinetic, kinetic)
    for _ in range(50):
        minuit = Minuit(_chi2(h, e, found, kinetic), *(one / kinetic for one in found))
        minuit.errordef = Minuit.LEAST_SQUARES
        minuit.errors = (0.01, 0.01)
        minuit.limits = ((0.01, 100.0), (0.01, 100.0))
        minuit.migrad()
        if not minuit.valid:
            break
        before, found = found, (kinetic * minuit.values[0], kinetic * minuit.values[1])
        if max(abs(new / old - 1) for new, old in zip(found, before, strict=True)) < 1e-5:
            return found, (kinetic * minuit.errors[0], kinetic * minuit.errors[1])
    raise PandoraError(
        f"the line through {what} could not be fitted to {len(h)} events; take more events, or look whether "
        "the starting constants are far from the truth."
    )


def _chi2(h: Floats, e: Floats, line: tuple[float, float], kinetic: float) -> Callable[[float, float], float]:
    """Sum of the squared distances in standard deviations, which belong to a given line."""
    variance_h, variance_e = (one / kinetic**2 for one in _variances(h, e, *line))
    h, e = h / kinetic, e / kinetic

    def chi2(hcal: float, ecal: float) -> float:
        variance = np.maximum(variance_h / hcal**2 + variance_e / ecal**2, _TINY)
        return float(((1 - h / hcal - e / ecal) ** 2 / variance).sum())

    return chi2
