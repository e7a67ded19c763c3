"""The shape of a resonance as a detector sees it: a Breit-Wigner convolved with a Gaussian, in closed form.

The relativistic Breit-Wigner has two pairs of poles in m. In partial fractions it is a sum of simple poles,
and each of them, convolved with a Gaussian, is a Faddeeva function: there is no sum over the resolution, and
any ratio of resolution and width costs the same.
"""

from math import ceil, hypot, pi, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from caf_core.errors import ConfigurationError

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

_POINTS, _POINT_WEIGHTS = np.polynomial.legendre.leggauss(2)
_POINT_WEIGHTS = _POINT_WEIGHTS / 2
_PIECES = 2.0
"""Pieces of a bin that is as wide as the shape (half its width and its resolution, added in quadrature)."""
_MOST_PIECES = 200
_FAR = 30.0


def _weideman(terms: int) -> tuple[float, Floats]:
    """The scale and the coefficients of Weideman's series, the highest power first."""
    scale = sqrt(terms / sqrt(2))
    angles = np.arange(1 - 2 * terms, 2 * terms) * pi / (2 * terms)
    t = scale * np.tan(angles / 2)
    values = np.concatenate(([0.0], np.exp(-t * t) * (scale * scale + t * t)))
    series = np.fft.fft(np.fft.fftshift(values)).real / (4 * terms)
    return scale, series[1 : terms + 1][::-1].copy()


_SCALE, _COEFFICIENTS = _weideman(24)


def faddeeva(z: Complexes) -> Complexes:
    """The Faddeeva function w(z) = exp(-z^2) erfc(-iz), to 1e-9 or better.

    It is here, and not taken from scipy, because to import that takes longer than a hundred fits.

    Args:
        z: In the upper half-plane, Im z >= 0.
    Source:
        J. A. C. Weideman, https://doi.org/10.1137/0731077; far from 0 the continued fraction of W. Gautschi,
        https://doi.org/10.1137/0707012.
    """
    if np.abs(z.real).min() > _FAR:
        far: Complexes = (1j / sqrt(pi)) / (z - 0.5 / (z - 1 / (z - 1.5 / z)))
        return far
    below = 1 / (_SCALE - 1j * z)
    ratio = (_SCALE + 1j * z) * below
    series = np.full_like(ratio, _COEFFICIENTS[0])
    for coefficient in _COEFFICIENTS[1:]:
        series *= ratio
        series += coefficient
    near: Complexes = below * (2 * series * below + 1 / sqrt(pi))
    return near


def breit_wigner(m: ArrayLike, mass: float, width: float) -> Floats:
    """The relativistic Breit-Wigner shape with a width that grows with m^2, not normalised.

    In this convention the world averages of the Z's mass and width are quoted.

    Args:
        m: Masses [GeV].
        mass: Mass of the resonance [GeV].
        width: Its width [GeV].
    Source:
        Particle Data Group, https://pdg.lbl.gov, "Resonances"; the density in m of a resonance in s.
    """
    square = np.square(np.asarray(m, dtype=float))
    shape: Floats = square / (np.square(square - mass * mass) + np.square(square * width / mass))
    return shape


def smeared(m: ArrayLike, mass: float, width: float, resolution: float) -> Floats:
    """A Breit-Wigner shape convolved with a Gaussian, in the units of ``breit_wigner``.

    With g = width / mass the denominator vanishes at m = +-p and +-p*, p^2 = mass^2 / (1 - ig), and

        breit_wigner(m) = Im[p / (m - p) - p / (m + p)] / (2 (1 + g^2) Im p^2).

    A simple pole 1 / (m - q) with Im q < 0, convolved, is -i sqrt(pi) w(z) / (sqrt(2) resolution) with
    z = (m - q) / (sqrt(2) resolution).

    Args:
        m: Masses [GeV], of any shape.
        mass: Mass of the resonance [GeV].
        width: Its width [GeV].
        resolution: Standard deviation of the Gaussian [GeV]; with 0 the shape itself.
    """
    if resolution == 0:
        return breit_wigner(m, mass, width)
    masses, slope = np.asarray(m, dtype=float), width / mass
    square = mass * mass / (1 - 1j * slope)
    pole, scale = square**0.5, sqrt(2) * resolution
    near = pole.conjugate() * faddeeva((masses - pole.conjugate()) / scale)
    mirrored = pole * faddeeva((masses + pole) / scale)
    norm = sqrt(pi) / (2 * scale * (1 + slope * slope) * square.imag)
    density: Floats = norm * (near.real + mirrored.real)
    return density


class BinnedPeak:
    """The shape integrated over bins, for many positions and resolutions.

    Args:
        edges: Bin edges [GeV], shape (n_bins + 1,).
        width: Width of the resonance [GeV].
        resolution: The lowest resolution that will be asked for [GeV]; it decides how finely bins are cut.
    Raises:
        ConfigurationError: If the bins are much too wide for a shape as narrow as this.
    """

    def __init__(self, edges: ArrayLike, width: float, resolution: float) -> None:
        limits = np.asarray(edges, dtype=float)
        widest = float(np.diff(limits).max())
        pieces = max(1, ceil(_PIECES * widest / hypot(width / 2, resolution)))
        if pieces > _MOST_PIECES:
            raise ConfigurationError(
                f"bins of {widest:g} GeV are too wide for a peak with the width {width:g} GeV and the "
                f"resolution {resolution:g} GeV; give narrower bins, or a larger lowest resolution."
            )
        half = np.diff(limits)[:, np.newaxis] / 2
        centres = (np.arange(pieces)[:, np.newaxis] * 2 + 1 + _POINTS).ravel() / pieces - 1
        self._width = width
        self._points = limits[:-1, np.newaxis] + half + half * centres
        self._weights = half * np.tile(_POINT_WEIGHTS, pieces) / pieces

    def __call__(self, mass: float, resolution: float) -> Floats:
        """The probability of every bin, for events within the range of the bins.

        Args:
            mass: Mass of the resonance [GeV].
            resolution: Standard deviation of the Gaussian [GeV].
        Returns:
            Shape (n_bins,); they add up to 1.
        """
        # Not a matrix product: the result must not depend on the threads of a BLAS library.
        contents = (smeared(self._points, mass, self._width, resolution) * self._weights).sum(axis=1)
        probabilities: Floats = contents / contents.sum()
        return probabilities
