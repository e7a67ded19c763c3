"""How a process stops: what a signal means, and what becomes of the tasks that execute on this machine."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from attrs import define

from caf_core.clock import steady
from caf_core.jobs.inbox import Inbox
from caf_core.jobs.residence import Residence
from caf_core.jobs.service import JobService, ServiceEvent, Tick

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 5.0
"""How long the endings of cancelled tasks are waited for [s]."""


@define
class LastWords:
    """What a process says that is ended at once.

    Args:
        text: One sentence.
    """

    text: str

    def say(self) -> None:
        """Say it without anything that the rest of the process may be in the middle of."""
        # Bars that were being drawn have hidden the cursor, and left it before them; lines may be cut.
        before = "\x1b[?25h\x1b[?7h\x1b[J\n" if os.isatty(2) else ""
        with suppress(OSError):
            os.write(2, f"{before}caf: {self.text}\n".encode(errors="backslashreplace"))


@contextmanager
def stop_signals(stop: Callable[[], None], words: LastWords | None = None) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM or a lost terminal call ``stop`` once; a second one ends the process at once.

    Args:
        stop: Called in the main thread.
        words: What is said before the process is ended at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen = 0

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        if seen > 1:
            if words is not None:
                words.say()
            os._exit(128 + number)
        stop()

    # What is ignored stays so: nohup ignores SIGHUP, and a shell SIGINT for what it puts into the background.
    wanted = [one for one in _SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_here(service: JobService, residence: Residence, jobs: Iterable[str], inbox: Inbox[object]) -> None:
    """End what executes on this machine, and write down that it was cancelled.

    Args:
        service: Has the jobs.
        residence: The resident process of this machine.
        jobs: Keys of jobs that it executes, cancelled already.
        inbox: Where the service's events come in.
    """
    waited = list(jobs)
    client = residence.attach()
    if client is not None:
        client.shutdown(kill=True)
    end = steady() + _PATIENCE
    while steady() < end and not all(service.status(key).ended for key in waited):
        event = inbox.get(0.05)
        service.handle(event if isinstance(event, ServiceEvent) else Tick(), steady())
    service.handle(Tick(), steady() + 1.0)
