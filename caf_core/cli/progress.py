"""Showing how calibrations get on while the controller works."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from caf_core.cli.base import shown
from caf_core.jobs.ledger import TaskState

if TYPE_CHECKING:
    from caf_core.calibration.states import State
    from caf_core.control.effects import Move
    from caf_core.control.report import Listener
    from caf_core.jobs.service import JobStatus

_EVERY = 10.0
"""Seconds between two lines about the tasks of a collection, unless they have all ended or another one
failed."""


def listener_for(stream: TextIO) -> "Listener":
    """Bars if the stream is a terminal, lines otherwise."""
    if stream.isatty():
        from caf_core.cli.bars import Bars

        return Bars(stream)
    return Lines(stream)


def counts_text(status: "JobStatus") -> str:
    """``12/40 tasks done, 3 running, 1 failed``."""
    counts = status.counts
    text = f"{counts.get(TaskState.COMPLETED, 0)}/{status.total} tasks done"
    for state in (TaskState.RUNNING, TaskState.FAILED):
        if counts.get(state):
            text += f", {counts[state]} {state}"
    return text


class WaitingNews:
    """Tells every reason why the tasks of a collection wait once: schedulers repeat them."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, str]] = set()

    def of(self, calibration: str, collection: str, status: "JobStatus") -> str:
        """The reason, if it is news; empty otherwise."""
        key = (calibration, collection, status.waits)
        if not status.waits or key in self._told:
            return ""
        self._told.add(key)
        return status.waits


class Lines:
    """A listener that writes plain lines.

    Args:
        stream: Where to.
        clock: Seconds; steady.
    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._last: dict[tuple[str, str], tuple[float, int]] = {}
        self._withheld: dict[tuple[str, str], JobStatus] = {}
        self._later: threading.Timer | None = None
        self._writing = threading.RLock()
        self._news = WaitingNews()
        self._reasons: dict[str, str] = {}

    def begun(self, calibrations: Mapping[str, int]) -> None:
        """See ``Listener``."""
        self._write(f"{len(calibrations)} calibration(s): {', '.join(map(shown, calibrations))}")

    def placed(self, calibration: str, state: "State", iteration: int) -> None:
        """See ``Listener``; that it goes on has been said."""

    def moved(self, move: "Move") -> None:
        """See ``Listener``."""
        # A calibration fails in two moves, for one reason.
        news = move.reason if move.reason != self._reasons.get(move.name) else ""
        self._reasons[move.name] = move.reason
        reason = f" ({shown(news)})" if news else ""
        self._write(f"{shown(move.name)}: iteration {move.iteration}, {move.new}{reason}")

    def jobs(self, calibration: str, collection: str, status: "JobStatus") -> None:
        """See ``Listener``; not every change is worth a line, but the last one is."""
        key, now = (calibration, collection), self._clock()
        failed = status.counts.get(TaskState.FAILED, 0)
        with self._writing:
            last, known = self._last.get(key, (float("-inf"), 0))
            if now - last >= _EVERY or failed > known or status.ended:
                self._tell(key, status, now)
            else:
                self._withheld[key] = status
                self._plan(last + _EVERY - now)
        if reason := self._news.of(calibration, collection, status):
            self._write(f"{shown(calibration)}: {shown(collection)}: tasks wait: {shown(reason)}")

    def said(self, text: str) -> None:
        """See ``Listener``."""
        self._write(shown(text))

    def ended(self) -> None:
        """See ``Listener``."""
        with self._writing:
            self._withheld.clear()
            if self._later is not None:
                self._later.cancel()
                self._later = None

    def tell_withheld(self) -> None:
        """Write what has changed, and was not worth a line then."""
        with self._writing:
            self._later = None
            now = self._clock()
            for key, status in list(self._withheld.items()):
                wait = self._last[key][0] + _EVERY - now
                if wait > 0:
                    self._plan(wait)
                else:
                    with suppress(OSError, ValueError):  # the next line in the main thread says so
                        self._tell(key, status, now)

    def _plan(self, wait: float) -> None:
        if self._later is None:
            self._later = threading.Timer(wait, self.tell_withheld)
            self._later.daemon = True
            self._later.start()

    def _tell(self, key: tuple[str, str], status: "JobStatus", now: float) -> None:
        self._last[key] = now, status.counts.get(TaskState.FAILED, 0)
        self._withheld.pop(key, None)
        self._write(f"{shown(key[0])}: {shown(key[1])}: {counts_text(status)}")

    def _write(self, text: str) -> None:
        with self._writing:
            print(text, file=self._stream, flush=True)
