"""Kinematics of what a detector measures."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pair_mass(
    pt1: ArrayLike, eta1: ArrayLike, phi1: ArrayLike, pt2: ArrayLike, eta2: ArrayLike, phi2: ArrayLike
) -> NDArray[np.float64]:
    """Invariant mass of pairs of particles whose own masses can be neglected.

    Args:
        pt1: Transverse momentum of the first particle of every pair [GeV], shape (n,); the others likewise.
        eta1: Its pseudorapidity.
        phi1: Its azimuth [rad].
        pt2: Transverse momentum of the second particle [GeV].
        eta2: Its pseudorapidity.
        phi2: Its azimuth [rad].
    Returns:
        The masses [GeV], shape (n,); computed in double precision whatever the precision of the branches.
    """
    first = [np.asarray(column, dtype=np.float64) for column in (pt1, eta1, phi1)]
    second = [np.asarray(column, dtype=np.float64) for column in (pt2, eta2, phi2)]
    # cosh a - cos b = 2 (sinh^2 (a/2) + sin^2 (b/2)), which does not lose digits for close pairs.
    angles = np.square(np.sinh((first[1] - second[1]) / 2)) + np.square(np.sin((first[2] - second[2]) / 2))
    masses: NDArray[np.float64] = 2 * np.sqrt(first[0] * second[0] * angles)
    return masses
