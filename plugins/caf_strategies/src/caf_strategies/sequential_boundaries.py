"""A new payload where the algorithm, or the user, says that something changed."""

from collections.abc import Sequence

from attrs import define, field

from caf_core.calibration.asking import Asking, find_boundaries
from caf_core.iov import ExpRun
from caf_strategies.parameters import boundaries
from caf_strategies.sequential import Sequential, cut
from caf_strategies.units import Runs


@define(kw_only=True)
class SequentialBoundaries(Sequential):
    """Executes the algorithm between boundaries, and merges what lies between until the data are enough.

    Run 0 of each experiment is always a boundary.

    Args:
        payload_boundaries: Runs at which a new payload begins; the algorithm is asked for them if they are
            not given.
        iov_coverage: What the payloads together cover; from the first to the last run with data if it is
            not given.
        keep_boundaries: In later iterations, take the groups of runs that the previous iteration committed
            as units.
    """

    payload_boundaries: tuple[ExpRun, ...] | None = field(default=None, converter=boundaries)

    def units(self, runs: Runs) -> Asking[Sequence[Runs]]:
        """The runs between boundaries."""
        found = self.payload_boundaries
        if found is None:
            found = yield from find_boundaries(runs)
        return cut(runs, found)
