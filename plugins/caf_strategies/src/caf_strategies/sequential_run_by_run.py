"""A new payload as soon as there are enough data for one."""

from collections.abc import Sequence

from attrs import define, field

from caf_core.calibration.asking import Asking
from caf_strategies.parameters import number_of_runs
from caf_strategies.sequential import Sequential
from caf_strategies.units import Runs


@define(kw_only=True)
class SequentialRunByRun(Sequential):
    """Executes the algorithm run after run, and merges runs until their data are enough.

    Args:
        step_size: How many runs are taken, and added, at a time.
        iov_coverage: What the payloads together cover; from the first to the last run with data if it is
            not given.
        keep_boundaries: In later iterations, take the groups of runs that the previous iteration committed
            as units.
    """

    step_size: int = field(default=1, converter=number_of_runs)

    def units(self, runs: Runs) -> Asking[Sequence[Runs]]:
        """Groups of ``step_size`` runs; the last may be smaller."""
        yield from ()  # There is nothing to ask.
        return [runs[begin : begin + self.step_size] for begin in range(0, len(runs), self.step_size)]
