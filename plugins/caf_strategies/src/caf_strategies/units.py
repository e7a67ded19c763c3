"""The sequential way through one experiment, unit after unit: units with too few data are merged with others,
or stay apart."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from attrs import define, evolve, field, frozen

from caf_core.calibration.asking import Asking, execute
from caf_core.calibration.plans import Commit, Executed, Gap, Plan, Result, Verdict
from caf_core.iov import ExpRun, IoV, runs_by_boundaries
from caf_strategies.words import ENOUGH, ending, failure, listed, named, said, too_few

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
class Rules:
    """What becomes of units on which the algorithm has no success.

    Args:
        on_short: Of too few data: ``merge`` merges them with others, ``gap`` leaves a gap, ``fail`` fails.
        on_failure: Of a failure: ``stop`` fails, ``keep_previous`` lets the payload just before hold there
            too, and leaves a gap if there is none, ``gap`` leaves a gap.
    """

    on_short: str = "merge"
    on_failure: str = "stop"

    def ends(self, result: Result) -> bool:
        """Whether a result ends the plan."""
        if result is Result.FAILURE:
            return self.on_failure == "stop"
        return result is Result.NOT_ENOUGH_DATA and self.on_short == "fail"


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
        kept: The units on which the algorithm failed and for which the payloads hold all the same, each with
            what the algorithm said.
    """

    executed: Executed
    units: tuple[Unit, ...]
    iov: IoV
    short: tuple[Executed, ...] = ()
    backward: int = 0
    kept: tuple[tuple[Runs, Executed], ...] = ()

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
        parts = parts or [ENOUGH]
        parts += [f"kept for {named(runs)}: {failure(executed)}" for runs, executed in self.kept]
        kept = tuple(run for runs, _ in self.kept for run in runs)
        return Commit(self.executed.key, self.runs, self.iov, "; ".join(parts), kept)

    def keep(self, units: Sequence[Unit], iov: IoV, executed: Executed) -> "Success":
        """The same, holding also where the algorithm failed just behind it."""
        whole = IoV(*self.iov.first, iov.exp_high, iov.run_high)
        return evolve(self, iov=whole, kept=(*self.kept, (_runs(units), executed)))

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


@define
class Way:
    """What has come of the units of an experiment up to now.

    Args:
        rules: What becomes of units without success.
        done: The successes, in order.
        held: Whether the last of them may still change; its commit is held back then.
        gaps: What no payload covers.
        failures: What the user must be told of failures.
    """

    rules: Rules
    done: list[Success] = field(factory=list)
    held: bool = False
    gaps: list[Gap] = field(factory=list)
    failures: list[str] = field(factory=list)

    def release(self) -> Iterator[Commit]:
        """The commit that is held back, if there is one; it can change no more."""
        if self.held:
            self.held = False
            yield self.done[-1].commit

    def succeed(self, success: Success) -> Iterator[Commit]:
        """Go on to a further success."""
        yield from self.release()
        self.done.append(success)
        self.held = True

    def leave(self, units: Sequence[Unit], iov: IoV, executed: Executed, why: str = "") -> Iterator[Commit]:
        """Go on without a success on these units: keep what holds just before them, or leave a gap."""
        runs, failed = _runs(units), executed.result is Result.FAILURE
        if failed and self.held and self.rules.on_failure == "keep_previous":
            self.done[-1] = self.done[-1].keep(units, iov, executed)
            then = f"the payload of {named(self.done[-1].runs)} is kept there"
        else:
            yield from self.release()
            reason = failure(executed) if failed else too_few(executed)
            self.gaps.append(Gap(iov, f"{named(runs)}: {reason}{why}", failed))
            then = "no payload holds there"
        if failed:
            self.failures.append(
                f"the algorithm failed on {named(runs)}, and {then} "
                f'(on_failure="{self.rules.on_failure}"){said(executed.message)}'
            )

    def end(self, executed: Executed, runs: Runs) -> Plan:
        """End with an execution without success; what is held back counts only where nothing is merged."""
        if self.rules.on_short != "merge":
            yield from self.release()
        counted = self.done[:-1] if self.held else self.done
        return ending(executed, runs, tuple(self.gaps), (*_notes(counted), *self.failures))

    def verdict(self) -> Verdict:
        """The verdict on units that all were gone through."""
        iterate = any(success.executed.result is Result.ITERATE for success in self.done)
        result = Result.ITERATE if iterate else Result.OK
        return Verdict(result, gaps=tuple(self.gaps), notes=(*_notes(self.done), *self.failures))


def execute_units(units: Sequence[Unit], span: IoV, rules: Rules) -> Plan:
    """Execute units in order, so that payloads and gaps cover the span without overlap.

    Where too few data are merged, a unit with too few is executed again together with the next one. What is
    left over in the end is executed together with the last success, which is held back for that until the
    next success is known.

    Args:
        units: The units of one experiment, in order; at least one.
        span: What payloads and gaps must cover.
        rules: What becomes of units without success.
    """
    way = Way(rules)
    group: list[Unit] = []
    short: list[Executed] = []
    for unit, following in zip(units, (*units[1:], None), strict=True):
        group.append(unit)
        iov = _validity(span.first if group[0] is units[0] else group[0].start, following, span)
        executed = yield from execute(_runs(group), iov)
        if rules.ends(executed.result):
            return (yield from way.end(executed, _runs(group)))
        if executed.result is Result.NOT_ENOUGH_DATA and rules.on_short == "merge":
            short.append(executed)
            continue
        if executed.result.success:
            yield from way.succeed(Success(executed, tuple(group), iov, tuple(short)))
        else:
            yield from way.leave(group, iov, executed)
        group.clear()
        short.clear()
    if group and not way.done and not way.gaps:
        words = f"there are too few data in {named(_runs(group))} in all{said(short[-1].message)}"
        return Verdict(Result.NOT_ENOUGH_DATA, words)
    if group:
        ended = yield from _merge_backward(way, group, short, iov)
        if ended is not None:
            return (yield from way.end(ended, (*way.done[-1].runs, *_runs(group))))
    yield from way.release()
    return way.verdict()


def _merge_backward(
    way: Way, left: Sequence[Unit], short: Sequence[Executed], iov: IoV
) -> Asking[Executed | None]:
    """Execute what is left over together with the last success; returns what ends the plan.

    Args:
        way: What has come of the units before.
        left: The units that are left over.
        short: What the algorithm said of them.
        iov: Where their payloads would hold.
    """
    if not way.held:
        yield from way.leave(
            left, iov, short[-1], "; no payload holds just before, with which they could merge"
        )
        return None
    last = way.done[-1]
    units, whole = (*last.units, *left), IoV(*last.iov.first, iov.exp_high, iov.run_high)
    executed = yield from execute(_runs(units), whole)
    if executed.result.success:
        way.done[-1] = Success(executed, units, whole, (*last.short, *short), len(left), last.kept)
    elif executed.result is Result.FAILURE and not way.rules.ends(executed.result):
        yield from way.leave(left, iov, executed)
    else:
        return executed
    return None


def _runs(units: Iterable[Unit]) -> Runs:
    return tuple(chain.from_iterable(unit.runs for unit in units))


def _notes(successes: Iterable[Success]) -> tuple[str, ...]:
    return tuple(note for success in successes for note in success.notes)


def _validity(first: ExpRun, following: Unit | None, span: IoV) -> IoV:
    """The interval from ``first`` to just before the next unit, or to the end of the span without one."""
    if following is None:
        return IoV(*first, span.exp_high, span.run_high)
    return IoV(*first, following.start.exp, following.start.run - 1)
