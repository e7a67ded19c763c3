"""Every run for itself."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import ClassVar

from attrs import define, field

from caf_core.calibration.asking import carry_out_parts, execute
from caf_core.calibration.plans import Commit, Gap, Past, Plan, Result, Verdict
from caf_core.calibration.strategy import AlgorithmStrategy
from caf_core.iov import ExpRun, IoV
from caf_strategies import parameters
from caf_strategies.words import ENOUGH, NO_RUNS, said


@define(kw_only=True)
class SimpleRunByRun(AlgorithmStrategy):
    """Executes the algorithm on every run for itself; the run is the interval of its payloads.

    A run without result is recorded among the gaps, and the others go on. If the algorithm failed on a run,
    the successes are committed all the same, but the verdict is ``failure``, unless ``on_failure`` says
    otherwise.

    Args:
        on_failure: What becomes of the calibration if the algorithm fails on a run, which is a gap in any
            case: ``stop`` fails it; ``gap`` goes on, and so does ``keep_previous``, as payloads hold for
            their own run alone.
    """

    usable_granularities: ClassVar[frozenset[str]] = frozenset({"run"})

    on_failure: str = field(default="stop", converter=parameters.on_failure)

    def plan(self, runs: Sequence[ExpRun], past: Past) -> Plan:  # noqa: ARG002 - every iteration is the same
        """One execution a run, none depending on another."""
        return _all_runs(tuple(runs), goes_on=self.on_failure != "stop")


def _all_runs(runs: tuple[ExpRun, ...], *, goes_on: bool) -> Plan:
    if not runs:
        return NO_RUNS
    verdicts = yield from carry_out_parts((_one_run(run) for run in runs), stop_at_failure=False)
    gaps = sorted([*_between(runs), *_without_result(runs, verdicts)], key=lambda gap: gap.iov)
    result, message = _together(runs, verdicts)
    if goes_on and result is Result.FAILURE and any(one.result.success for one in verdicts):
        iterate = any(one.result is Result.ITERATE for one in verdicts)
        note = f"{message} (on_failure goes on: no payload holds there)"
        return Verdict(Result.ITERATE if iterate else Result.OK, "", tuple(gaps), (note,))
    return Verdict(result, message, tuple(gaps))


def _one_run(run: ExpRun) -> Plan:
    iov = IoV(*run, *run)
    executed = yield from execute((run,), iov)
    if executed.result.success:
        yield Commit(executed.key, (run,), iov, ENOUGH)
    return Verdict(executed.result, executed.message)


def _between(runs: Sequence[ExpRun]) -> Iterator[Gap]:
    """What is missing between the runs, within one experiment only."""
    for before, after in pairwise(runs):
        if before.exp == after.exp and before.run + 1 < after.run:
            yield Gap(IoV(before.exp, before.run + 1, after.exp, after.run - 1), "no data")


def _without_result(runs: Sequence[ExpRun], verdicts: Sequence[Verdict]) -> Iterator[Gap]:
    """The runs for which nothing was committed, and why."""
    for run, verdict in zip(runs, verdicts, strict=True):
        if not verdict.result.success:
            reason = "failure" if verdict.result is Result.FAILURE else "not enough data"
            failed = verdict.result is Result.FAILURE
            yield Gap(IoV(*run, *run), reason + said(verdict.message), failed)


def _together(runs: Sequence[ExpRun], verdicts: Sequence[Verdict]) -> tuple[Result, str]:
    """The result for all runs, and why."""
    results = {verdict.result for verdict in verdicts}
    if Result.FAILURE in results:
        failed = [pair for pair in zip(runs, verdicts, strict=True) if pair[1].result is Result.FAILURE]
        run, first = failed[0]
        message = f"the algorithm failed on {len(failed)} of {len(runs)} runs, first on {run}"
        return Result.FAILURE, message + said(first.message)
    if Result.ITERATE in results:
        return Result.ITERATE, ""
    if Result.OK in results:
        return Result.OK, ""
    return Result.NOT_ENOUGH_DATA, f"the algorithm had too few data on every one of {len(runs)} runs"
