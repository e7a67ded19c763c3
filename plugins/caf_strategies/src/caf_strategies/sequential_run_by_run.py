"""A new payload as soon as there are enough data for one."""

from collections.abc import Sequence

from attrs import define, field

from caf_core.calibration.asking import Asking
from caf_strategies import parameters
from caf_strategies.sequential import Sequential
from caf_strategies.units import Runs, Unit


@define(kw_only=True)
class SequentialRunByRun(Sequential):
    """Executes the algorithm run after run, and merges runs until their data are enough.

    Args:
        step_size: How many runs are taken, and added, at a time.
        iov_coverage: What the payloads together cover, from the first to the last run with data if it is not
            given. It must contain the data, and may reach past their first and last experiment: the first
            payload begins at its low end, the last ends at its high end, which may be open.
        keep_boundaries: In later iterations, let payloads begin where those of the previous iteration began.
        on_failure: What becomes of runs on which the algorithm fails: ``stop`` fails; ``keep_previous`` lets
            the payload just before hold there too, and leaves a gap if there is none in the experiment;
            ``gap`` leaves a gap.
    """

    step_size: int = field(default=1, converter=parameters.step_size)

    def units(self, runs: Runs) -> Asking[Sequence[Unit]]:
        """Groups of ``step_size`` runs; the last may be smaller."""
        yield from ()  # There is nothing to ask.
        groups = (runs[begin : begin + self.step_size] for begin in range(0, len(runs), self.step_size))
        return [Unit(group, group[0]) for group in groups]
