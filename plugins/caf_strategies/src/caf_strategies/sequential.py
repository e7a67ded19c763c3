"""What the sequential strategies have in common: experiments, coverage, kept boundaries."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

from attrs import define, evolve, field

from caf_core.calibration.asking import Asking, carry_out_parts, combined
from caf_core.calibration.plans import Commit, Past, Plan, Result, Verdict
from caf_core.calibration.strategy import AlgorithmStrategy, Known
from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun, IoV, iov_of_runs, merged, split_by_experiment
from caf_strategies import parameters
from caf_strategies.units import Rules, Runs, Unit, cut, execute_units
from caf_strategies.words import NO_RUNS


@define(kw_only=True)
class Sequential(AlgorithmStrategy):
    """Executes the algorithm on one unit of runs after the other, experiment by experiment.

    Args:
        iov_coverage: What the payloads together cover, from the first to the last run with data if it is not
            given. It must contain the data, and may reach past their first and last experiment: the first
            payload begins at its low end, the last ends at its high end, which may be open.
        keep_boundaries: In later iterations, let payloads begin where those of the previous iteration began.
        on_failure: What becomes of runs on which the algorithm fails: ``stop`` fails; ``keep_previous`` lets
            the payload just before hold there too, and leaves a gap if there is none in the experiment;
            ``gap`` leaves a gap.
    """

    usable_granularities: ClassVar[frozenset[str]] = frozenset({"run"})

    iov_coverage: IoV | None = field(default=None, converter=parameters.iov_coverage)
    keep_boundaries: bool = field(default=False, converter=parameters.keep_boundaries)
    on_failure: str = field(default="stop", converter=parameters.on_failure)

    @abstractmethod
    def units(self, runs: Runs) -> Asking[Sequence[Unit]]:
        """The groups of one experiment's runs that are never torn apart; this may ask the algorithm."""

    def execute(self, units: Sequence[Unit], span: IoV) -> Plan:
        """Execute the units of one experiment, so that the span is covered."""
        return execute_units(units, span, self.rules)

    @property
    def rules(self) -> Rules:
        """What becomes of units on which the algorithm has no success."""
        return Rules(on_failure=self.on_failure)

    @property
    def given(self) -> frozenset[ExpRun]:
        """The boundaries that the user gave."""
        return frozenset()

    def conclude(self, runs: Runs, verdict: Verdict) -> Verdict:
        """The verdict on all runs, from that on their experiments: nothing but gaps is too little."""
        gaps = merged(gap.iov for gap in verdict.gaps)
        if not verdict.result.success or not all(any(gap.contains(run) for gap in gaps) for run in runs):
            return verdict
        failed = next((gap for gap in verdict.gaps if gap.failed), None)
        if failed is None:
            message = "there are too few data between all boundaries"
            return evolve(verdict, result=Result.NOT_ENOUGH_DATA, message=message)
        message = f"the algorithm failed wherever the data were enough: {failed.reason}"
        return evolve(verdict, result=Result.FAILURE, message=message)

    def check(self, known: Known) -> None:
        """Refuse a coverage that cannot contain the data.

        Raises:
            ConfigurationError: If it does not.
        """
        coverage = self.iov_coverage
        if coverage is None:
            return
        if known.requested is not None and not coverage.overlaps(known.requested):
            raise ConfigurationError(
                f"iov_coverage is {coverage}, but only runs in {known.requested} are requested; correct "
                "one of them."
            )
        for run, where in known.runs:
            if run not in coverage:
                raise ConfigurationError(
                    f"iov_coverage is {coverage}, but {where} has data of run {run}; widen it, or ignore "
                    "that run."
                )

    def plan(self, runs: Sequence[ExpRun], past: Past) -> Plan:
        """One part an experiment; an experiment that fails stops those after it.

        Raises:
            ConfigurationError: If ``iov_coverage`` does not contain the runs.
        """
        return self._plan(tuple(runs), _coverage(iov_of_runs(runs), self.iov_coverage), past)

    def _plan(self, runs: Runs, coverage: IoV, past: Past) -> Plan:
        if not runs:
            return NO_RUNS
        kept = self._kept(runs, past)
        verdicts = yield from carry_out_parts(
            self._experiment(mine, _span(exp, runs, coverage), kept.get(exp, ()), past)
            for exp, mine in split_by_experiment(runs).items()
        )
        return self.conclude(runs, combined(verdicts))

    def _experiment(self, runs: Runs, span: IoV, kept: Runs, past: Past) -> Plan:
        if kept:
            units: Sequence[Unit] = cut(
                runs, kept[1:], f"boundary kept from iteration {past.iteration - 1}", self.given
            )
        else:
            units = yield from self.units(runs)
        return (yield from self.execute(units, span))

    def _kept(self, runs: Runs, past: Past) -> dict[int, Runs]:
        """Where the payloads of each experiment began in the previous iteration, if that is to be kept."""
        kept: dict[int, list[ExpRun]] = {}
        commits = past.commits if self.keep_boundaries and past.iteration else ()
        for commit in commits:
            kept.setdefault(commit.runs[0].exp, []).append(commit.iov.first)
        if self.on_failure != "stop":
            for run in _borders(runs, commits):
                if run.exp in kept:
                    kept[run.exp].append(run)
        return {exp: tuple(sorted(boundaries)) for exp, boundaries in kept.items()}


def _borders(runs: Runs, commits: Sequence[Commit]) -> Iterator[ExpRun]:
    """Where runs begin and end that had no success of their own in the previous iteration: they are tried
    again, and not together with those that had.
    """
    own = {run for commit in commits for run in commit.runs}
    starts = {commit.runs[0] for commit in commits}
    for mine in split_by_experiment(runs).values():
        had = True  # so that an experiment may begin with runs that had none
        for run in mine:
            if run not in own if had else run in own and run not in starts:
                yield run
            had = run in own


def _coverage(data: IoV, wanted: IoV | None) -> IoV:
    """What the payloads together must cover.

    Raises:
        ConfigurationError: If it does not hold all data.
    """
    if wanted is None or wanted.contains(data):
        return data if wanted is None else wanted
    raise ConfigurationError(
        f"iov_coverage is {wanted}, but there are data in {data}; widen it, or ask for less data."
    )


def _span(exp: int, runs: Runs, coverage: IoV) -> IoV:
    """What the payloads of one experiment must cover; the coverage's ends may lie in other experiments."""
    begin = coverage.first if exp == runs[0].exp else ExpRun(exp, 0)
    end = (coverage.exp_high, coverage.run_high) if exp == runs[-1].exp else (exp, -1)
    return IoV(*begin, *end)
