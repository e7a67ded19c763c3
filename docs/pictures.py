"""Draws the pictures of the explanation from what the code itself says and does.

python docs/pictures.py FOLDER
"""

import sys
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from caf_core.calibration.carry_out import carry_out
from caf_core.calibration.plans import Commit, Execute, Executed, Past, Result
from caf_core.calibration.states import END_STATES, Machine, State
from caf_core.calibration.strategy import AlgorithmStrategy
from caf_core.iov import ExpRun, IoV
from caf_strategies import SequentialBoundaries, SequentialRunByRun, SimpleRunByRun, SingleIOV

GREEN, ORANGE, RED, BLUE, GREY = "#3a923a", "#e1812c", "#c03d3e", "#3274a1", "#9a9a9a"
COLOURS = {
    Result.OK: GREEN,
    Result.ITERATE: GREEN,
    Result.NOT_ENOUGH_DATA: ORANGE,
    Result.FAILURE: RED,
}

# The example: events in each run; a constant needs NEEDED of them.
EVENTS = {
    ExpRun(exp, run): events
    for exp, events_of_run in {
        1: {2: 90, 3: 20, 4: 60, 5: 80, 7: 70, 8: 75, 9: 15},
        2: {1: 25, 2: 85, 3: 70, 4: 65, 5: 80},
    }.items()
    for run, events in events_of_run.items()
}
NEEDED = 50
STEP = 3.4
"""From one state of the machine to the next, in units of the picture; the name of a move has room between."""
LAST_SHOWN = {1: 11, 2: 7}
STRATEGIES: dict[str, AlgorithmStrategy] = {
    "SingleIOV": SingleIOV(),
    "SequentialRunByRun": SequentialRunByRun(),
    "SequentialBoundaries": SequentialBoundaries(payload_boundaries=[(1, 5), (2, 3)]),
    "SimpleRunByRun": SimpleRunByRun(),
}


def carried_out(strategy: AlgorithmStrategy) -> tuple[list[tuple[Execute, Result]], tuple[Commit, ...]]:
    """What a strategy does with the example: every execution with its result, and the commits."""
    number = count()
    executions: list[tuple[Execute, Result]] = []

    def execute(request: Execute) -> Executed:
        enough = sum(EVENTS[run] for run in request.runs) >= NEEDED
        result = Result.OK if enough else Result.NOT_ENOUGH_DATA
        executions.append((request, result))
        return Executed(str(next(number)), result)

    return executions, carry_out(strategy.plan(sorted(EVENTS), Past()), execute).commits


def place(exp: int, run: float) -> float:
    """Where the left edge of a run is drawn."""
    return run if exp == 1 else run + LAST_SHOWN[1] + 1.5


def bar(axes: Axes, iov: IoV, row: float, colour: str, text: str) -> None:
    """An interval as a bar; an open end is drawn to the last run that is shown, with an arrow's head."""
    open_end = iov.run_high == -1
    last = LAST_SHOWN[iov.exp_high] if open_end else iov.run_high
    left, right = place(iov.exp_low, iov.run_low), place(iov.exp_high, last) + 1
    axes.add_patch(
        Rectangle((left + 0.06, row - 0.34), right - left - 0.12, 0.68, color=colour, alpha=0.85, lw=0)
    )
    if open_end:
        axes.plot([right + 0.05], [row], marker=">", color=colour, clip_on=False)
    axes.text((left + right) / 2, row, text, ha="center", va="center", color="white", fontsize=7)


def draw_strategy(name: str, strategy: AlgorithmStrategy) -> Figure:
    """Runs, executions in their order, and the payloads' intervals."""
    executions, commits = carried_out(strategy)
    rows = len(executions) + 4
    figure = Figure(figsize=(9, 0.9 + 0.27 * rows), layout="constrained")
    axes = figure.subplots()
    for run, events in EVENTS.items():
        axes.add_patch(Rectangle((place(*run) + 0.06, 0.4), 0.88, -events / 60, color=GREY, lw=0))
        axes.text(place(*run) + 0.5, 0.62, str(events), ha="center", va="center", fontsize=7)
    axes.axhline(0.4 - NEEDED / 60, color="black", lw=0.6, ls=":")
    for row, (request, result) in enumerate(executions, 2):
        span = IoV(*request.runs[0], *request.runs[-1])
        bar(axes, span, row, COLOURS[result], "few" if result is Result.NOT_ENOUGH_DATA else "ok")
    for number, commit in enumerate(commits, 1):
        bar(axes, commit.iov, rows - 0.6, BLUE, f"payload {number}" if len(commits) < 8 else str(number))
    ticks = [ExpRun(exp, run) for exp, last in LAST_SHOWN.items() for run in range(last + 1)]
    axes.set_xticks([place(*run) + 0.5 for run in ticks], [str(run.run) for run in ticks], fontsize=7)
    for exp, last in LAST_SHOWN.items():
        axes.text(place(exp, last / 2) + 0.5, rows + 1.35, f"experiment {exp}", ha="center", fontsize=8)
    middle = 1.5 + len(executions) / 2
    axes.set_yticks([0, middle, rows - 0.6], ["events", "executions", "payloads"], fontsize=8)
    axes.set_xlim(-0.2, place(2, LAST_SHOWN[2]) + 1.4)
    axes.set_ylim(rows, -1.3)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(name, fontsize=10)
    return figure


def layers(machine: Machine) -> dict[State, int]:
    """How far each state is from the beginning, along the longest way that never turns back."""
    depth = {machine.initial: 0}
    order = list(machine.states)
    for _ in order:
        for row in machine.transitions:
            if row.target != machine.initial and row.source in depth:
                depth[row.target] = max(depth.get(row.target, 0), depth[row.source] + 1)
    return depth


def draw_machine(machine: Machine) -> Figure:
    """The state machine of a calibration, from its table."""
    depth, taken, spot = layers(machine), dict[int, int](), dict[State, tuple[float, float]]()
    for state in machine.states:
        column = depth[state]
        failing = "failed" in state
        taken[column] = taken.get(column, 0) + 1
        spot[state] = (STEP * column, -1.9 if failing else 0.0)
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    axes = figure.subplots()
    for state, (x, y) in spot.items():
        box = FancyBboxPatch(
            (x - 1.02, y - 0.28), 2.04, 0.56, boxstyle="round,pad=0.06", fc="white", ec="black"
        )
        box.set_linewidth(2.0 if state in END_STATES else 1.0)
        axes.add_patch(box)
        axes.text(x, y, state.replace("_", "\n"), ha="center", va="center", fontsize=8)
    for row in machine.transitions:
        arrow(axes, spot[row.source], spot[row.target], row.trigger)
    axes.set_xlim(-1.2, STEP * max(depth.values()) + 1.2)
    axes.set_ylim(-4.1, 2.0)
    axes.axis("off")
    return figure


def arrow(axes: Axes, source: tuple[float, float], target: tuple[float, float], text: str) -> None:
    """One transition; those over more than one column bend around what is between."""
    (x0, y0), (x1, y1) = source, target
    columns = round((x1 - x0) / STEP)
    middle, bend = ((x0 + x1) / 2, (y0 + y1) / 2), 0.0
    start, end = (x0 + 1.04, y0), (x1 - 1.04, y1)
    if columns < 0:
        start, end, bend = (x0, y0 + 0.3), (x1, y1 + 0.3), 0.22
        middle = (middle[0], 1.65)
    elif columns > 1:
        bend = 0.32 if columns > 3 else 0.22
        start, end = (x0, y0 - 0.3), (x1, y1 - 0.3)
        below = -3.75 if columns > 3 else -2.95
        middle = (middle[0] - (1.3 if columns > 3 else 0.0), below if columns > 3 or y0 == y1 else -1.45)
    elif y0 != y1:
        start, end = (x0, y0 - 0.3), (x1 - 0.2, y1 + 0.3)
    way = FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={bend}", shrinkA=0, shrinkB=0)
    way.set(arrowstyle="-|>", mutation_scale=11)
    axes.add_patch(way)
    place_text = {"ha": "center", "va": "bottom"} if bend or y0 == y1 else {"ha": "left", "va": "center"}
    label = text.replace("_", "\n", 1) if columns == 1 and y0 == y1 else text.replace("_", " ")
    x, y = middle[0] + (0.1 if y0 != y1 and not bend else 0), middle[1] + 0.06
    # Where another way crosses the name, it stays legible.
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    axes.text(x, y, label, fontsize=7, bbox=behind, zorder=3, **place_text)


PICTURES: dict[str, Callable[[], Figure]] = {
    "state-machine": lambda: draw_machine(Machine()),
    **{name: (lambda name=name, one=one: draw_strategy(name, one)) for name, one in STRATEGIES.items()},
}


def write(folder: Path, names: Sequence[str] = tuple(PICTURES)) -> None:
    """Write pictures as SVG files; what has not changed is the same byte by byte."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "caf", "svg.fonttype": "none", "font.family": "sans-serif"}):
        for name in names:
            PICTURES[name]().savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    write(Path(sys.argv[1]))
