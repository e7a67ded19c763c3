"""A new payload where the algorithm, or the user, says that something changed."""

from collections.abc import Iterator, Sequence
from itertools import chain

from attrs import define, evolve, field

from caf_core.calibration.asking import Asking, find_boundaries
from caf_core.calibration.plans import Verdict
from caf_core.calibration.strategy import Known
from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun, split_by_experiment
from caf_strategies import parameters
from caf_strategies.sequential import Sequential
from caf_strategies.units import Rules, Runs, Unit, cut
from caf_strategies.words import listed


@define(kw_only=True)
class SequentialBoundaries(Sequential):
    """Executes the algorithm between boundaries.

    A payload begins at its boundary, whether that run has data or not. Run 0 of each experiment is always a
    boundary; the first payload of all begins at the first run with data, or at ``iov_coverage``. A boundary
    with no data until the next one is merged into the payload before it, or into the first of its experiment.

    Args:
        payload_boundaries: Runs at which a new payload begins, in order; the algorithm is asked for them if
            they are not given.
        on_short: What becomes of the runs from one boundary to the next if they have too few data: ``merge``
            merges them with those after them, or before them at the end of an experiment; ``gap`` leaves them
            without payload; ``fail`` fails.
        iov_coverage: What the payloads together cover, from the first to the last run with data if it is not
            given. It must contain the data, and may reach past their first and last experiment: the first
            payload begins at its low end, the last ends at its high end, which may be open.
        keep_boundaries: In later iterations, let payloads begin where those of the previous iteration began.
        on_failure: What becomes of runs on which the algorithm fails: ``stop`` fails; ``keep_previous`` lets
            the payload just before hold there too, and leaves a gap if there is none in the experiment;
            ``gap`` leaves a gap.
    """

    payload_boundaries: tuple[ExpRun, ...] | None = field(
        default=None, converter=parameters.payload_boundaries
    )
    on_short: str = field(default="merge", converter=parameters.on_short)

    def __attrs_post_init__(self) -> None:
        """Refuse boundaries that the payloads cannot have.

        Raises:
            ConfigurationError: If one lies outside of the coverage, or parameters exclude each other.
        """
        coverage = self.iov_coverage
        for boundary in self.payload_boundaries or ():
            if coverage is not None and boundary not in coverage:
                raise ConfigurationError(
                    f"payload_boundaries has {boundary}, which is outside of iov_coverage, {coverage}; widen "
                    "that, or leave the boundary out."
                )
        if self.keep_boundaries and self.on_short != "merge":
            raise ConfigurationError(
                f'on_short="{self.on_short}" and keep_boundaries=True exclude each other: what is not merged '
                "keeps its boundaries anyway; leave one of them out."
            )

    @property
    def given(self) -> frozenset[ExpRun]:
        """The boundaries that the user gave."""
        return frozenset(self.payload_boundaries or ())

    def check(self, known: Known) -> None:
        """Refuse to begin without boundaries, and a coverage that cannot contain the data.

        Raises:
            ConfigurationError: If the algorithm knows no boundaries and none are given.
        """
        Sequential.check(self, known)
        if self.payload_boundaries is None and not known.finds_boundaries:
            raise ConfigurationError(
                "there are no boundaries: the algorithm has neither find_payload_boundaries nor "
                "is_boundary_required; write one of them, or give payload_boundaries."
            )

    def units(self, runs: Runs) -> Asking[Sequence[Unit]]:
        """The runs between boundaries."""
        if self.payload_boundaries is not None:
            return cut(runs, self.payload_boundaries, "boundary given", self.given)
        found = yield from find_boundaries(runs)
        return cut(runs, found, "boundary asked for by the algorithm", ())

    @property
    def rules(self) -> Rules:
        """What becomes of units on which the algorithm has no success."""
        return Rules(self.on_short, self.on_failure)

    def conclude(self, runs: Runs, verdict: Verdict) -> Verdict:
        """Tell of given boundaries where no data are, too."""
        verdict = evolve(verdict, notes=(*self._without_data(runs), *verdict.notes))
        return Sequential.conclude(self, runs, verdict)

    def _without_data(self, runs: Runs) -> Iterator[str]:
        units = (cut(mine, self.given, "", ()) for mine in split_by_experiment(runs).values())
        idle = sorted(self.given.difference(unit.start for unit in chain.from_iterable(units)))
        if idle:
            yield (
                f"no payload begins at the given {listed('boundary', idle)}: no run from there to the next "
                "boundary has data"
            )
