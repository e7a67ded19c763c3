"""The sequential way through one experiment: execute unit after unit, and merge those with too few data.

A *unit* is a group of consecutive runs that are never torn apart.
"""

from collections.abc import Sequence

from attrs import frozen

from caf_core.calibration.asking import execute
from caf_core.calibration.plans import Commit, Executed, Plan, Result, Verdict
from caf_core.iov import ExpRun, IoV
from caf_strategies.words import ending, named, said

Runs = tuple[ExpRun, ...]


@frozen
class Success:
    """An execution whose payloads are good, with everything that its commit needs.

    Args:
        executed: What the algorithm said.
        runs: The runs that it was executed on.
        iov: The interval of the payloads; it ends just before the first run of the next unit.
    """

    executed: Executed
    runs: Runs
    iov: IoV

    @property
    def commit(self) -> Commit:
        """What lets its payloads count."""
        return Commit(self.executed.key, self.runs, self.iov)

    @property
    def iterate(self) -> bool:
        """Whether the algorithm wants another iteration."""
        return self.executed.result is Result.ITERATE


def execute_units(units: Sequence[Runs], span: IoV) -> Plan:
    """Execute units in order, so that their payloads cover the span without gap or overlap.

    A unit with too few data is executed again together with the next one. What is left over in the end is
    executed together with the last success, which is held back for that until the next success is known.

    Args:
        units: The units of one experiment, in order; at least one, none of them empty.
        span: What the payloads must cover.
    """
    pending: Success | None = None
    merged: list[ExpRun] = []
    iterate = False
    for position, unit in enumerate(units, 1):
        merged.extend(unit)
        runs = tuple(merged)
        next_run = units[position][0] if position < len(units) else None
        iov = _validity(merged[0] if pending else span.first, next_run, span)
        executed = yield from execute(runs, iov)
        if executed.result is Result.FAILURE:
            return ending(executed, runs)
        if executed.result is Result.NOT_ENOUGH_DATA:
            continue
        if pending:
            yield pending.commit
            iterate = iterate or pending.iterate
        pending = Success(executed, runs, iov)
        merged.clear()
    if pending is None:
        return Verdict(Result.NOT_ENOUGH_DATA, f"there are too few data in all {named(runs)}{said(executed)}")
    if merged:
        runs = (*pending.runs, *merged)
        iov = _validity(pending.iov.first, None, span)
        executed = yield from execute(runs, iov)
        if not executed.result.success:
            return ending(executed, runs)
        pending = Success(executed, runs, iov)
    yield pending.commit
    return Verdict(Result.ITERATE if iterate or pending.iterate else Result.OK)


def _validity(first: ExpRun, next_run: ExpRun | None, span: IoV) -> IoV:
    """The interval from ``first`` to just before the next unit, or to the end of the span without one."""
    if next_run is None:
        return IoV(*first, span.exp_high, span.run_high)
    return IoV(*first, next_run.exp, next_run.run - 1)
