"""Progress bars: one a calibration."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TextIO

from attrs import define, field
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from caf_core.calibration.states import END_STATES, State
from caf_core.cli.base import duration, shown
from caf_core.cli.progress import WaitingNews
from caf_core.cli.redraw import Redrawn
from caf_core.cli.tables import COLOURS
from caf_core.jobs.ledger import TaskState

if TYPE_CHECKING:
    from caf_core.control.effects import Move
    from caf_core.jobs.service import JobStatus

_REFRESH = 4
"""How often it is drawn [1/s]."""
_BAR = 3
"""The column of the bar."""
_COLLECTED = {
    State.COLLECTOR_COMPLETED,
    State.RUNNING_ALGORITHMS,
    State.ALGORITHMS_COMPLETED,
    State.COMPLETED,
}
"""Where all tasks of the iteration have been."""
_NAME, _TASKS, _LEFT, _SHORTEST, _LONGEST = 24, 12, 9, 8, 40
"""Widths: the widest name, the narrowest tasks and time left, the shortest and longest bar."""


@define
class Bar:
    """What is shown of one calibration.

    Args:
        last_iteration: The last one that is allowed.
        state: Where it is.
        iteration: Counts from 0.
        begun: When its collectors were submitted.
        ended: When it was over.
        jobs: Collection -> its tasks in numbers.
    """

    last_iteration: int | None = None
    state: str = ""
    iteration: int = 0
    begun: float = 0.0
    ended: float | None = None
    jobs: "dict[str, JobStatus]" = field(factory=dict)

    def count(self, *states: TaskState) -> int:
        """How many tasks are in one of these states."""
        return sum(status.counts.get(state, 0) for status in self.jobs.values() for state in states)

    @property
    def total(self) -> int:
        """How many tasks there are."""
        return sum(status.total for status in self.jobs.values())

    def drawn(self, width: int) -> ProgressBar:
        """The bar itself."""
        done, total = self.count(TaskState.COMPLETED), self.total
        if not total:
            # No tasks were needed: it had completed before, or went on with its algorithms.
            done = total = int(self.state in _COLLECTED)
        pulse = self.state == State.RUNNING_ALGORITHMS
        return ProgressBar(total=max(total, 1), completed=done, width=width, pulse=pulse)

    def left(self, now: float) -> float | None:
        """The time that the tasks of this iteration still need, as far as it can be told [s]."""
        done = self.count(TaskState.COMPLETED, TaskState.FAILED)
        if self.ended is not None or not done or done >= self.total:
            return None
        return (now - self.begun) / done * (self.total - done)


class Bars:
    """A listener that draws; it stays on the screen when all has ended.

    Args:
        stream: The terminal.
        clock: Seconds; steady.
        live: Whether it is redrawn by itself; otherwise ``console`` prints it when asked.
    """

    def __init__(
        self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic, live: bool = True
    ) -> None:
        self._console = Console(file=stream, highlight=False)
        self._clock = clock
        self._bars: dict[str, Bar] = {}
        self._news = WaitingNews()
        self._over = False
        self._live = Redrawn(
            self._draw,
            self._console,
            refresh_per_second=_REFRESH,
            auto_refresh=live,
            # What a script prints into a file or a pipe stays there.
            redirect_stdout=sys.stdout.isatty(),
        )

    def begun(self, calibrations: Mapping[str, int | None]) -> None:
        """See ``Listener``."""
        self._bars = {name: Bar(last, begun=self._clock()) for name, last in calibrations.items()}
        self._over = False
        self._live.start()

    def placed(self, calibration: str, state: State, iteration: int) -> None:
        """See ``Listener``."""
        bar = self._bars[calibration]
        bar.state, bar.iteration = str(state), iteration
        if state is State.RUNNING_COLLECTOR:
            bar.begun, bar.jobs = self._clock(), {}
        if state in END_STATES:
            bar.ended = self._clock()

    def moved(self, move: "Move") -> None:
        """See ``Listener``."""
        self.placed(move.name, move.new, move.iteration)
        if move.reason and move.new is State.FAILED:
            self.said(f"{move.name}: {move.reason}")

    def jobs(self, calibration: str, collection: str, status: "JobStatus") -> None:
        """See ``Listener``."""
        self._bars[calibration].jobs[collection] = status
        if reason := self._news.of(calibration, collection, status):
            self.said(f"{calibration}: {collection}: tasks wait: {reason}")

    def said(self, text: str) -> None:
        """See ``Listener``."""
        self._console.print(Text(shown(text)))

    def ended(self) -> None:
        """See ``Listener``."""
        self._over = True
        self._live.stop()

    def _draw(self) -> Table:
        """One line a calibration; narrow terminals lose words and the bar before they lose a number."""
        if not self._bars:
            return Table.grid()
        now = self._clock()
        for label in ("iteration ", ""):
            rows = {name: self._texts(name, bar, now, label) for name, bar in self._bars.items()}
            widths = _widths(list(rows.values()), self._console.width)
            if len(widths) > _BAR + 2:
                break
        table = Table.grid(padding=(0, 1, 0, 0))
        for width in widths:
            table.add_column(no_wrap=True, overflow="ellipsis", width=width)
        for name, texts in rows.items():
            bar = self._bars[name]
            cells: list[Text | ProgressBar] = [*texts]
            if len(widths) > len(texts):
                cells.insert(_BAR, bar.drawn(widths[_BAR]))
            table.add_row(*cells[: len(widths)])
        return table

    def _texts(self, name: str, bar: Bar, now: float, label: str) -> list[Text]:
        """The cells of a line but for the bar: name, state, iteration, tasks, time left."""
        # A job of `caf submit` has neither states nor iterations.
        single = bar.last_iteration is None
        waiting = "" if single else "not started" if self._over else "waiting"
        total = bar.total
        tasks = Text(f"{bar.count(TaskState.COMPLETED)}/{total}" if total else "")
        for state, colour in ((TaskState.RUNNING, "cyan"), (TaskState.FAILED, "red")):
            if number := bar.count(state):
                tasks.append(f" {number} {state}", colour)
        left = bar.left(now)
        return [
            Text(shown(name), "bold"),
            Text(bar.state.replace("_", " ") or waiting, COLOURS.get(bar.state, "")),
            Text("" if single else f"{label}{bar.iteration}/{bar.last_iteration}"),
            tasks,
            Text("" if left is None else f"{duration(left)} left", "dim"),
        ]


def _widths(rows: list[list[Text]], available: int) -> list[int]:
    """The widths of the columns; without the bar, and without the time left, where there is no room for
    them."""
    name, state, iteration, tasks, left = (
        max(text.cell_len for text in column) for column in zip(*rows, strict=True)
    )
    if state:
        # Of the widest state that comes by often, so that the bars stay where they are.
        state = max(state, len("running algorithms"))
    name, tasks, left = min(name, _NAME), max(tasks, _TASKS), max(left, _LEFT)
    gaps = 6
    bar = available - name - state - iteration - tasks - left - gaps
    if bar >= _SHORTEST:
        return [name, state, iteration, min(bar, _LONGEST), tasks, left]
    if bar + gaps >= gaps - 1:
        return [name, state, iteration, tasks, left]
    rest = available - state - iteration - tasks - 4
    return [max(1, min(name, rest)), state, iteration, tasks]
