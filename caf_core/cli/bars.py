"""Progress bars: one a calibration."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TextIO

from attrs import define, field
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from caf_core.calibration.states import END_STATES, State
from caf_core.cli.base import duration, shown
from caf_core.cli.tables import COLOURS
from caf_core.jobs.ledger import TaskState

if TYPE_CHECKING:
    from caf_core.control.step import Move
    from caf_core.jobs.service import JobStatus

_REFRESH = 4
"""How often it is drawn [1/s]."""


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
        self._live = Live(
            console=self._console, refresh_per_second=_REFRESH, get_renderable=self._draw, auto_refresh=live
        )

    def begun(self, calibrations: Mapping[str, int | None]) -> None:
        """See ``Listener``."""
        self._bars = {name: Bar(last, begun=self._clock()) for name, last in calibrations.items()}
        self._live.start()

    def moved(self, move: "Move") -> None:
        """See ``Listener``."""
        bar = self._bars[move.name]
        bar.state, bar.iteration = str(move.new), move.iteration
        if move.new is State.RUNNING_COLLECTOR:
            bar.begun, bar.jobs = self._clock(), {}
        if move.new in END_STATES:
            bar.ended = self._clock()
        if move.reason and move.new is State.FAILED:
            self.said(f"{move.name}: {move.reason}")

    def jobs(self, calibration: str, collection: str, status: "JobStatus") -> None:
        """See ``Listener``."""
        self._bars[calibration].jobs[collection] = status

    def said(self, text: str) -> None:
        """See ``Listener``."""
        self._console.print(Text(shown(text)))

    def ended(self) -> None:
        """See ``Listener``."""
        self._live.stop()

    def _draw(self) -> Group:
        """One line a calibration; narrow terminals lose the bar before they lose a number."""
        width, now = self._console.width, self._clock()
        table = Table.grid(padding=(0, 1, 0, 0))
        for number, column in enumerate(("name", "state", "iteration", "bar", "tasks", "left")):
            table.add_column(
                column,
                no_wrap=True,
                overflow="ellipsis",
                ratio=None,
                justify="right" if number == 2 else "left",
            )
        names = max((len(shown(name)) for name in self._bars), default=0)
        space = max(8, min(40, width - min(names, 24) - 62))
        for name, bar in self._bars.items():
            table.add_row(*self._row(name, bar, space, now))
        return Group(table)

    def _row(self, name: str, bar: Bar, space: int, now: float) -> list[Text | ProgressBar]:
        title = shown(name)
        last = "" if bar.last_iteration is None else f"/{bar.last_iteration}"
        done, total = bar.count(TaskState.COMPLETED), bar.total
        tasks = Text(f"{done}/{total}" if total else "")
        for state, letter, colour in (
            (TaskState.RUNNING, "running", "cyan"),
            (TaskState.FAILED, "failed", "red"),
        ):
            if number := bar.count(state):
                tasks.append(f" {number} {letter}", colour)
        left = bar.left(now)
        return [
            Text(title if len(title) <= 24 else f"{title[:23]}…", "bold"),
            Text(bar.state.replace("_", " ") or "waiting", COLOURS.get(bar.state, "")),
            Text(f"{bar.iteration}{last}"),
            ProgressBar(
                total=max(total, 1), completed=done, width=space, pulse=bar.state == State.RUNNING_ALGORITHMS
            ),
            tasks,
            Text("" if left is None else f"{duration(left)} left", "dim"),
        ]
