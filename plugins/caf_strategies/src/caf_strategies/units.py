"""The sequential way through one experiment, unit after unit: units with too few data are merged with others,
or stay apart."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from attrs import evolve, frozen

from caf_core.calibration.asking import execute
from caf_core.calibration.plans import Commit, Executed, Gap, Plan, Result, Verdict
from caf_core.iov import ExpRun, IoV, runs_by_boundaries
from caf_strategies.words import ENOUGH, ending, listed, named, said, too_few

Runs = tuple[ExpRun, ...]


@frozen
class Unit:
    """Consecutive runs that are never torn apart.

    Args:
        runs: Runs with data, at least one.
        start: Where its payloads begin, if there are others before them: a boundary, or its first run.
        why: Why something new begins there, for people; empty if nobody asked for it.
        given: Whether the user gave this boundary, and so is told if nothing new begins there.
        idle: Boundaries that the user gave and that are merged into this unit, as no run from there to the
            next boundary has data.
    """

    runs: Runs
    start: ExpRun
    why: str = ""
    given: bool = False
    idle: Runs = ()

    @property
    def reason(self) -> str:
        """Why its payloads begin where they do."""
        idle = f"no data from {listed('boundary', self.idle)} to the next boundary" if self.idle else ""
        return "; ".join(part for part in (self.why, idle) if part)


def cut(runs: Runs, boundaries: Iterable[ExpRun], why: str, given: Iterable[ExpRun]) -> tuple[Unit, ...]:
    """Cut the runs of one experiment at boundaries.

    Run 0 is always one. A boundary with no data until the next one is merged into the unit before it, or into
    the first one if there is none before. Boundaries in other experiments are no concern of these runs.

    Args:
        runs: Runs of one experiment, at least one.
        boundaries: Where something new begins, in any order.
        why: Who wants these boundaries, for people.
        given: Those boundaries that the user gave.
    """
    exp = runs[0].exp
    wanted = {boundary for boundary in boundaries if boundary.exp == exp}
    of_user = wanted.intersection(given)
    units: list[Unit] = []
    idle: list[ExpRun] = []
    for start, group in reversed(runs_by_boundaries({ExpRun(exp, 0), *wanted}, runs).items()):
        if group:
            reason = why if start in wanted else ""
            units.append(Unit(group, start, reason, start in of_user, tuple(reversed(idle))))
            idle.clear()
        elif start in of_user:
            idle.append(start)
    if idle:
        units[-1] = evolve(units[-1], idle=(*reversed(idle), *units[-1].idle))
    return tuple(reversed(units))


@frozen
class Success:
    """An execution whose payloads are good, with everything that its commit needs.

    Args:
        executed: What the algorithm said.
        units: What it was executed on.
        iov: The interval of the payloads; it ends just before the start of the next unit.
        short: The executions that had too few data, in order.
        backward: How many of the units, counted from the last, were left over and merged backward; of the
            others the algorithm had enough data with the last one.
    """

    executed: Executed
    units: tuple[Unit, ...]
    iov: IoV
    short: tuple[Executed, ...] = ()
    backward: int = 0

    @property
    def runs(self) -> Runs:
        """The runs that it was executed on."""
        return _runs(self.units)

    @property
    def commit(self) -> Commit:
        """What lets its payloads count."""
        parts = [unit.reason for unit in self.units[:1] if unit.reason]
        own = len(self.units) - self.backward
        if own > 1:
            few = named(_runs(self.units[: own - 1]))
            parts.append(f"{few} merged forward: {too_few(self.short[own - 2])}")
        if self.backward:
            few, exp = named(_runs(self.units[own:])), self.units[0].start.exp
            parts.append(f"{few} merged backward at the end of experiment {exp}: {too_few(self.short[-1])}")
        return Commit(self.executed.key, self.runs, self.iov, "; ".join(parts) or ENOUGH)

    @property
    def notes(self) -> Iterator[str]:
        """What the user must be told: at which given boundaries nothing new begins."""
        own = len(self.units) - self.backward
        for position, unit in enumerate(self.units[1:], 1):
            if not unit.given:
                continue
            if position < own:
                few, words = self.units[:position], self.short[position - 1].message
                what = "merged with the runs after it"
            else:
                few, words = self.units[own:], self.short[-1].message
                what = "merged with the runs before it"
            yield (
                f"no payload begins at the given boundary {unit.start}: too few data in "
                f'{named(_runs(few))}, {what}{said(words)} (on_short="gap" or "fail" does not merge)'
            )


def execute_merging(units: Sequence[Unit], span: IoV) -> Plan:
    """Execute units in order, so that their payloads cover the span without gap or overlap.

    A unit with too few data is executed again together with the next one. What is left over in the end is
    executed together with the last success, which is held back for that until the next success is known.

    Args:
        units: The units of one experiment, in order; at least one.
        span: What the payloads must cover.
    """
    done: list[Success] = []  # The last of them is held back.
    group: list[Unit] = []
    short: list[Executed] = []
    for unit, following in zip(units, (*units[1:], None), strict=True):
        group.append(unit)
        runs, iov = _runs(group), _validity(group[0].start if done else span.first, following, span)
        executed = yield from execute(runs, iov)
        if executed.result is Result.FAILURE:
            return ending(executed, runs, notes=_notes(done[:-1]))
        if executed.result is Result.NOT_ENOUGH_DATA:
            short.append(executed)
            continue
        if done:
            yield done[-1].commit
        done.append(Success(executed, tuple(group), iov, tuple(short)))
        group.clear()
        short.clear()
    if not done:
        return Verdict(
            Result.NOT_ENOUGH_DATA, f"there are too few data in {named(runs)} in all{said(short[-1].message)}"
        )
    if group:
        last = done.pop()
        all_units, iov = (*last.units, *group), _validity(last.iov.first, None, span)
        executed = yield from execute(_runs(all_units), iov)
        if not executed.result.success:
            return ending(executed, _runs(all_units), notes=_notes(done))
        done.append(Success(executed, all_units, iov, (*last.short, *short), len(group)))
    yield done[-1].commit
    iterate = any(success.executed.result is Result.ITERATE for success in done)
    return Verdict(Result.ITERATE if iterate else Result.OK, notes=_notes(done))


def execute_apart(units: Sequence[Unit], span: IoV, *, fail: bool) -> Plan:
    """Execute units in order, and never merge them.

    Args:
        units: The units of one experiment, in order; at least one.
        span: What payloads and gaps must cover.
        fail: Whether a unit with too few data ends the plan; otherwise it becomes a gap.
    """
    gaps: list[Gap] = []
    iterate = False
    for unit, following in zip(units, (*units[1:], None), strict=True):
        iov = _validity(unit.start if unit is not units[0] else span.first, following, span)
        executed = yield from execute(unit.runs, iov)
        if executed.result.success:
            iterate = iterate or executed.result is Result.ITERATE
            yield Commit(executed.key, unit.runs, iov, unit.reason or ENOUGH)
        elif executed.result is Result.FAILURE or fail:
            return ending(executed, unit.runs, tuple(gaps))
        else:
            gaps.append(Gap(iov, f"{named(unit.runs)}: {too_few(executed)}"))
    return Verdict(Result.ITERATE if iterate else Result.OK, gaps=tuple(gaps))


def _runs(units: Iterable[Unit]) -> Runs:
    return tuple(chain.from_iterable(unit.runs for unit in units))


def _notes(successes: Iterable[Success]) -> tuple[str, ...]:
    return tuple(note for success in successes for note in success.notes)


def _validity(first: ExpRun, following: Unit | None, span: IoV) -> IoV:
    """The interval from ``first`` to just before the next unit, or to the end of the span without one."""
    if following is None:
        return IoV(*first, span.exp_high, span.run_high)
    return IoV(*first, following.start.exp, following.start.run - 1)
