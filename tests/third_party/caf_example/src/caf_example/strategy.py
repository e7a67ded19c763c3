"""A payload for every few runs of an experiment."""

from attrs import define

from caf_core.calibration.asking import carry_out_parts, combined, execute
from caf_core.calibration.plans import Commit, Verdict
from caf_core.calibration.strategy import AlgorithmStrategy
from caf_core.iov import iov_of_runs, split_by_experiment


@define(kw_only=True)
class EveryFewRuns(AlgorithmStrategy):
    """Cuts the runs of each experiment into groups of a fixed size; every group has to succeed.

    Args:
        runs_per_payload: Size of the groups; the last one of an experiment may be smaller.
    """

    runs_per_payload: int = 3

    def plan(self, runs, past):
        """See ``AlgorithmStrategy``."""
        groups = [
            own[start : start + self.runs_per_payload]
            for own in split_by_experiment(runs).values()
            for start in range(0, len(own), self.runs_per_payload)
        ]
        verdicts = yield from carry_out_parts(map(_group, groups))
        return combined(verdicts)


def _group(runs):
    executed = yield from execute(runs, iov_of_runs(runs))
    if not executed.result.success:
        return Verdict(executed.result, f"runs {runs[0]} to {runs[-1]}: {executed.message}")
    yield Commit(executed.key, runs, iov_of_runs(runs), "enough data")
    return Verdict(executed.result)
