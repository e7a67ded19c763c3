"""Finding out what an iteration has come to, from what its algorithms answered and what was committed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from caf_core.calibration.convergence import Convergence, Metric, MetricKey, Metrics, classify, worst
from caf_core.calibration.plans import Commit, Result, Verdict
from caf_core.conditions.validity import Validity
from caf_core.control.account import (
    FAILURE,
    FILE,
    IGNORED,
    NO_DATA,
    NOT_COMMITTED,
    NOT_ENOUGH_DATA,
    NOT_EXECUTED,
    NOT_GIVEN,
    Account,
    Gap,
    Interval,
)
from caf_core.control.calibrating import AlgorithmsStep
from caf_core.control.resolved import Resolved, ResolvedAlgorithm
from caf_core.control.store.store import CheckpointStore, StoredExecution
from caf_core.iov import ExpRun, IoV
from caf_core.text import counted


def path_of(one: Resolved, iteration: int) -> Path:
    """Where the account of an iteration lies."""
    return one.iteration_dir(iteration) / "algorithm_output" / FILE


def account_of(store: CheckpointStore, step: AlgorithmsStep) -> Account:
    """What an iteration whose algorithms have ended has come to."""
    parts = step.one.algorithms[: step.committed]
    verdicts = step.verdicts
    iterate = any(verdict.result is Result.ITERATE for verdict in verdicts)
    last = step.iteration >= step.one.settings["max_iterations"]
    over = all(verdict.result.success for verdict in verdicts) and (last or not iterate)
    intervals = list(_intervals(store, step, iterate=iterate)) if over else []
    labels = [Convergence(interval.convergence) for interval in intervals]
    if over and iterate and worst(labels) is Convergence.CONVERGED:
        # The strategy asked for more, and none of the algorithms did.
        labels.append(Convergence.MAX_ITERATIONS)
    gaps = tuple(gap for part in parts for gap in _gaps(step, part))
    if over and any(gap.kind == FAILURE for gap in gaps):
        labels.append(Convergence.FAILURE)
    committed = [
        (part.name, str(one.iov), step.recorded[one.key])
        for part in parts
        for one in step.commits_of(part.index)
    ]
    return Account(
        convergence=str(worst(labels)) if over else "",
        intervals=len(committed),
        unconverged=tuple(one for one in intervals if one.convergence != Convergence.CONVERGED),
        channels=tuple(
            (name, iov, text)
            for name, iov, execution in committed
            for text, channels in _found(execution)
            if channels
        ),
        runs=step.runs,
        ignored=tuple(sorted(step.one.selection.ignored)),
        gaps=gaps,
        notes=tuple(
            f"algorithm {part.name!r}: {note}"
            for part, verdict in zip(step.one.algorithms, verdicts, strict=False)
            for note in verdict.notes
        ),
    )


def iteration_metrics(
    executions: Mapping[str, StoredExecution], commits: Mapping[int, Sequence[Commit]]
) -> dict[MetricKey, Metric]:
    """The metrics of an iteration by algorithm, name and run."""
    found: dict[MetricKey, Metric] = {}
    for index, ones in commits.items():
        for one in ones:
            execution = executions.get(one.key)
            metrics = execution.answer.get("metrics", {}) if execution else {}
            for name, (value, tolerance) in metrics.items():
                found.update({(index, name, run): Metric(value, tolerance) for run in one.runs})
    return found


def _intervals(store: CheckpointStore, step: AlgorithmsStep, *, iterate: bool) -> Iterator[Interval]:
    """Every interval with constants, and how it stands."""
    history: list[Metrics] = [
        iteration_metrics(store.executions(step.one.name, number), store.commits(step.one.name, number))
        for number in (range(step.iteration) if iterate else ())
    ]
    history.append(iteration_metrics(step.recorded, step.commits))
    for part, verdict in zip(step.one.algorithms, step.verdicts, strict=False):
        for commit in step.commits_of(part.index):
            execution = step.recorded[commit.key]
            more = verdict.result is Result.ITERATE and execution.result == Result.ITERATE
            keys = {
                (part.index, name, run) for name in execution.answer.get("metrics", {}) for run in commit.runs
            }
            own = [{key: metrics[key] for key in keys if key in metrics} for metrics in history]
            bad = tuple(text for text, channels in _found(execution) if not channels)
            label = classify(own, iterate=more, finite=not bad)
            if commit.kept:
                label = worst([label, Convergence.FAILURE])
            yield Interval(
                part.name,
                str(commit.iov),
                tuple((row[0], row[4] or str(commit.iov)) for row in execution.answer["payloads"]),
                str(label),
                {} if label is Convergence.CONVERGED else _by_iteration(own),
                bad,
            )


def _found(execution: StoredExecution) -> Iterator[tuple[str, bool]]:
    """What is not finite in the payloads of an execution, and whether that is channels of an array."""
    for name, found in execution.answer.get("not_finite", {}).items():
        for text, channels in found:
            yield f"{name}: {text}", channels


def _by_iteration(history: Sequence[Metrics]) -> dict[str, tuple[tuple[float, float] | None, ...]]:
    """By name, the worst metric of each iteration."""
    names = sorted({key[1] for key in history[-1]})
    return {name: tuple(_worst(metrics, name) for metrics in history) for name in names}


def _worst(metrics: Metrics, name: str) -> tuple[float, float] | None:
    mine = [metric for key, metric in metrics.items() if key[1] == name]
    if not mine:
        return None
    metric = max(mine, key=lambda metric: (not metric.finite, abs(metric.ratio) if metric.finite else 0.0))
    return metric.value, metric.tolerance


def _gaps(step: AlgorithmsStep, part: ResolvedAlgorithm) -> Iterator[Gap]:
    """The runs for which an algorithm's constants are missing."""
    commits = step.commits_of(part.index)
    items = [
        (str(row[0]), IoV.parse(row[4]) if row[4] else commit.iov, commit.key)
        for commit in commits
        for row in step.recorded[commit.key].answer["payloads"]
    ]
    held = Validity(items)
    known = set(step.runs)
    first, last = min(known), max(known)
    within = {run for run in step.one.selection.ignored if first < run < last} - known
    for name in dict.fromkeys(item[0] for item in items) or ("",):
        without = [run for run in sorted(known | within) if held.at(name, run) is None]
        reasons = _reasons(step, part, [run for run in without if run in known])
        for run in without:
            kind, reason = (IGNORED, "it is among ignored_runs") if run in within else reasons[run]
            yield Gap(name, part.name, str(IoV(*run, *run)), kind, reason)
        for hole, reason in _holes(step, part, known | within):
            yield Gap(name, part.name, str(hole), NO_DATA, reason)


def _reasons(
    step: AlgorithmsStep, part: ResolvedAlgorithm, runs: Sequence[ExpRun]
) -> dict[ExpRun, tuple[str, str]]:
    """Why each of these runs has no constant: what the last execution with it said."""
    found: dict[ExpRun, tuple[str, str]] = {}
    wanted = set(runs)
    committed = {commit.key for commit in step.commits_of(part.index)}
    for execution in reversed(step.recorded.values()):
        if not wanted:
            break
        if execution.algorithm != part.name or execution.ask not in step.asked:
            continue
        for run in wanted.intersection(execution.runs):
            found[run] = _reason(execution, committed=execution.ask in committed)
            wanted.remove(run)
    for run in wanted:
        said = next((gap.reason for gap in _verdict(step, part).gaps if gap.iov.contains(run)), "")
        found[run] = NOT_EXECUTED, said or "the algorithm was not executed on it"
    return found


def _reason(execution: StoredExecution, *, committed: bool) -> tuple[str, str]:
    said = f": {execution.message}" if execution.message else ""
    if execution.result == Result.NOT_ENOUGH_DATA:
        many = "" if len(execution.runs) == 1 else f" in {len(execution.runs)} runs"
        return NOT_ENOUGH_DATA, f"{NOT_ENOUGH_DATA}: {counted(execution.answer.get('entries'))}{many}{said}"
    if execution.result == Result.FAILURE:
        return FAILURE, f"{FAILURE}{said}"
    if not committed:
        return NOT_COMMITTED, f"{NOT_COMMITTED}, as the algorithm failed on other runs"
    return NOT_GIVEN, f"{NOT_GIVEN}, whose result was {execution.result}{said}"


def _verdict(step: AlgorithmsStep, part: ResolvedAlgorithm) -> Verdict:
    """How an algorithm that has ended did so."""
    pairs = zip(step.one.algorithms, step.verdicts, strict=False)
    return next(verdict for other, verdict in pairs if other.index == part.index)


def _holes(
    step: AlgorithmsStep, part: ResolvedAlgorithm, known: Iterable[ExpRun]
) -> Iterator[tuple[IoV, str]]:
    """Run numbers that a strategy tells of and for which nobody has data."""
    runs = sorted(known)
    for gap in _verdict(step, part).gaps:
        inside = [run for run in runs if gap.iov.contains(run)]
        if not inside:
            yield gap.iov, gap.reason
