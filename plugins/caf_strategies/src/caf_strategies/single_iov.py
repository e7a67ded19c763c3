"""One execution on all runs."""

from collections.abc import Sequence

from attrs import define, field

from caf_core.calibration.asking import execute
from caf_core.calibration.plans import Commit, Past, Plan
from caf_core.calibration.strategy import AlgorithmStrategy
from caf_core.iov import ExpRun, IoV, iov_of_runs
from caf_strategies import parameters
from caf_strategies.words import ENOUGH, NO_RUNS, ending


@define(kw_only=True)
class SingleIOV(AlgorithmStrategy):
    """Executes the algorithm once, on all runs; the payloads may span experiments.

    Args:
        apply_iov: The interval of the payloads; from the first to the last run with data if it is not given.
    """

    apply_iov: IoV | None = field(default=None, converter=parameters.apply_iov)

    def plan(self, runs: Sequence[ExpRun], past: Past) -> Plan:  # noqa: ARG002 - every iteration is the same
        """One execution, and its commit if it succeeds."""
        return self._plan(tuple(runs))

    def _plan(self, runs: tuple[ExpRun, ...]) -> Plan:
        if not runs:
            return NO_RUNS
        iov = iov_of_runs(runs) if self.apply_iov is None else self.apply_iov
        executed = yield from execute(runs, iov)
        if executed.result.success:
            yield Commit(executed.key, runs, iov, ENOUGH)
        return ending(executed, runs)
