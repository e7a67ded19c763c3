"""What the sequential strategies have in common: experiments, coverage, kept boundaries."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar

from attrs import define, field

from caf_core.calibration.asking import Asking, carry_out_parts, combined
from caf_core.calibration.plans import Past, Plan
from caf_core.calibration.strategy import AlgorithmStrategy
from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun, IoV, iov_of_runs, runs_by_boundaries, split_by_experiment
from caf_strategies.parameters import interval, switch
from caf_strategies.units import Runs, execute_units
from caf_strategies.words import NO_RUNS


@define(kw_only=True)
class Sequential(AlgorithmStrategy):
    """Executes the algorithm on one unit of runs after the other, experiment by experiment.

    Args:
        iov_coverage: What the payloads together cover; from the first to the last run with data if it is
            not given.
        keep_boundaries: In later iterations, take the groups of runs that the previous iteration committed
            as units.
    """

    usable_granularities: ClassVar[frozenset[str]] = frozenset({"run"})

    iov_coverage: IoV | None = field(default=None, converter=interval)
    keep_boundaries: bool = field(default=False, converter=switch)

    @abstractmethod
    def units(self, runs: Runs) -> Asking[Sequence[Runs]]:
        """The groups of one experiment's runs that are never torn apart; this may ask the algorithm."""

    def plan(self, runs: Sequence[ExpRun], past: Past) -> Plan:
        """One part an experiment; an experiment that fails stops those after it.

        Raises:
            ConfigurationError: If ``iov_coverage`` does not fit the runs.
        """
        experiments = split_by_experiment(runs)
        coverage = _coverage(iov_of_runs(runs), self.iov_coverage)
        keep = self.keep_boundaries and past.iteration > 0
        kept = [commit.runs[0] for commit in past.commits] if keep else []
        return self._plan(experiments, coverage, split_by_experiment(kept))

    def _plan(self, experiments: dict[int, Runs], coverage: IoV, kept: dict[int, Runs]) -> Plan:
        if not experiments:
            return NO_RUNS
        verdicts = yield from carry_out_parts(
            self._experiment(runs, _span(exp, coverage), kept.get(exp)) for exp, runs in experiments.items()
        )
        return combined(verdicts)

    def _experiment(self, runs: Runs, span: IoV, kept: Runs | None) -> Plan:
        if kept:
            units: Sequence[Runs] = cut(runs, kept[1:])
        else:
            units = yield from self.units(runs)
        return (yield from execute_units(units, span))


def cut(runs: Runs, boundaries: Iterable[ExpRun]) -> tuple[Runs, ...]:
    """Cut the runs of one experiment at boundaries.

    Run 0 is always one. A boundary without runs disappears, so its interval goes to the runs before it, or
    to the first ones after it if there are none before. Boundaries in other experiments are no concern of
    these runs.
    """
    exp = runs[0].exp
    starts = [ExpRun(exp, 0), *(boundary for boundary in boundaries if boundary.exp == exp)]
    return tuple(group for group in runs_by_boundaries(starts, runs).values() if group)


def _coverage(data: IoV, wanted: IoV | None) -> IoV:
    """What the payloads together must cover.

    Raises:
        ConfigurationError: If it does not hold all data, or reaches into experiments without any.
    """
    if wanted is None or data.empty:
        return data
    if not wanted.contains(data):
        raise ConfigurationError(
            f"iov_coverage is {wanted}, but there are data in {data}; widen it, or ask for less data."
        )
    if wanted.exp_low < data.exp_low or wanted.exp_high != data.exp_high:
        raise ConfigurationError(
            f"iov_coverage is {wanted}, which reaches past the experiments of the data, {data}; let it begin "
            f"in experiment {data.exp_low} and end in experiment {data.exp_high} (run -1: open there)."
        )
    return wanted


def _span(exp: int, coverage: IoV) -> IoV:
    """What the payloads of one experiment must cover."""
    return IoV(exp, 0, exp, -1).intersection(coverage)
