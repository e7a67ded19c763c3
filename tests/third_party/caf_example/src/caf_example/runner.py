"""A runner between the two of the core."""

from caf_core.calibration.runner import AlgorithmsRunner


class PairsRunner(AlgorithmsRunner):
    """Has two parts of a plan on their way at the same time."""

    def parts_at_once(self, parts):
        """Two, if there are as many."""
        return min(2, len(parts.plans))
