"""Random numbers that belong to an event: the same in every worker, step and order."""

from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from caf_pandora.histogram import Floats

Events = NDArray[np.uint64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Dice:
    """Random numbers by event and purpose, from a hash instead of a generator with a state.

    Args:
        sample: What the events are; other samples have other numbers.
        events: The number of every event, shape (n,).
    """

    def __init__(self, sample: str, events: NDArray[np.int64]) -> None:
        self._keys = _mixed(events.astype(np.uint64) + np.uint64(crc32(sample.encode()) << 32))

    def uniform(self, purpose: str) -> Floats:
        """One number an event, between 0 and 1, shape (n,)."""
        return self.uniforms(purpose, 1)[:, 0]

    def uniforms(self, purpose: str, number: int) -> Floats:
        """Several numbers an event, between 0 and 1 but neither of them, shape (n, number)."""
        draws = np.arange(number, dtype=np.uint64) + np.uint64(crc32(purpose.encode()) << 16)
        hashed = _mixed(self._keys[:, None] + draws[None, :] * _GOLDEN)
        uniforms: Floats = ((hashed >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
        return uniforms

    def normal(self, purpose: str) -> Floats:
        """One number an event, of a standard Gaussian, shape (n,)."""
        return self.normals(purpose, 1)[:, 0]

    def normals(self, purpose: str, number: int) -> Floats:
        """Several numbers an event, of a standard Gaussian, shape (n, number)."""
        radius = np.sqrt(-2 * np.log(self.uniforms(purpose + "/radius", number)))
        normals: Floats = radius * np.cos(2 * np.pi * self.uniforms(purpose + "/angle", number))
        return normals


def _mixed(keys: Events) -> Events:
    """A bijective hash of 64 bits (the finaliser of splitmix64, https://doi.org/10.1145/2660193.2660195)."""
    keys = keys + _GOLDEN
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Events = keys ^ (keys >> np.uint64(31))
    return mixed
