"""Constants against the run: reading them from a database, comparing them with the truth, drawing them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from caf_core.conditions.local import LocalDatabase
from caf_core.errors import CafError
from caf_core.iov import ExpRun, IoV, split_by_experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@frozen
class Constant:
    """One payload with the runs that it was made from.

    Args:
        iov: Its interval of validity.
        runs: The runs with data, as its provenance tells; in order.
        content: What the algorithm stored.
        metrics: Value and tolerance by name, of the iteration that made it.
    """

    iov: IoV
    runs: tuple[ExpRun, ...]
    content: Any
    metrics: Mapping[str, tuple[float, float]]


def constants(database: LocalDatabase, name: str) -> list[Constant]:
    """All payloads of a name, in the order of their intervals."""
    found = []
    for entry in sorted(database.entries(), key=lambda entry: entry.iov):
        if entry.name == name:
            origin = database.provenance(entry)
            runs = origin.inputs.get("runs", ()) if origin else ()
            metrics = origin.notes.get("metrics", {}) if origin else {}
            found.append(
                Constant(
                    entry.iov,
                    tuple(ExpRun(*run) for run in runs),
                    database.load(entry),
                    {key: (float(pair[0]), float(pair[1])) for key, pair in metrics.items()},
                )
            )
    return found


def mean_over_runs(
    runs: Sequence[ExpRun], values: Mapping[ExpRun, float], weights: Mapping[ExpRun, float]
) -> float:
    """What a constant for several runs should be if each run has a value of its own: their weighted mean.

    Args:
        runs: The runs.
        values: The value of each.
        weights: The weight of each, such as its number of events.
    """
    return sum(values[run] * weights[run] for run in runs) / sum(weights[run] for run in runs)


def plot_history(
    steps: Sequence[tuple[Constant, float, float]],
    *,
    label: str,
    truth: Mapping[ExpRun, float] | None = None,
    ignored: Sequence[ExpRun] = (),
) -> "Figure":
    """Draw a constant against the run, as steps over its intervals; experiments stand side by side.

    Args:
        steps: Each constant with its value and error.
        label: What the constant is called, with its unit.
        truth: The true value of every run, where it is known.
        ignored: Runs that were left out; a line marks each.
    Returns:
        The figure; save it with ``savefig``.
    Raises:
        CafError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise CafError(
            "plots need matplotlib, which is not installed: pip install 'caf-root[plot]'."
        ) from missing
    runs = split_by_experiment(run for step, _, _ in steps for run in step.runs)
    widths = [max(len(found), 8) for found in runs.values()]
    figure = Figure(figsize=(max(8.0, min(14.0, 0.2 * sum(widths))), 4.5), layout="constrained")
    panels = figure.subplots(1, len(runs), sharey=True, squeeze=False, width_ratios=widths)[0]
    for (experiment, found), panel in zip(runs.items(), panels, strict=True):
        _draw_steps(panel, [step for step in steps if step[0].iov.exp_low == experiment], found)
        known = [(run.run, truth[run]) for run in found if truth and run in truth]
        if known:
            panel.plot(*zip(*known, strict=True), "k.", markersize=4, label="truth")
            panel.legend()
        for run in ignored:
            if run.exp == experiment:
                panel.axvline(run.run, color="0.7", linestyle=":")
        panel.set_title(f"experiment {experiment}")
        panel.set_xlabel("run")
    panels[0].set_ylabel(label)
    return figure


def _draw_steps(panel: Any, steps: Sequence[tuple[Constant, float, float]], runs: Sequence[ExpRun]) -> None:
    """The intervals of one experiment as steps, as far as there are data, each with a point amid its runs."""
    first, last = runs[0].run, runs[-1].run
    for step, value, error in steps:
        low = max(step.iov.run_low, first) - 0.5
        high = (last if step.iov.run_high == -1 else min(step.iov.run_high, last)) + 0.5
        panel.fill_between([low, high], value - error, value + error, alpha=0.25, color="C0", linewidth=0)
        panel.hlines(value, low, high, color="C0")
        amid = (step.runs[0].run + step.runs[-1].run) / 2
        panel.errorbar(amid, value, error, color="C0", marker="o", markersize=3)
