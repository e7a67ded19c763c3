"""The wardens of a resident process: ordering them from zygotes, giving them calls, noticing their deaths.

A call that has been taken from the agenda occupies a slot until it has ended. It goes to an idle warden of
its home, or waits for one that is being forked.
"""

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Callable

from caf_core.processes import subreaper, tree
from caf_core.processes.agenda import Agenda, Call, Home
from caf_core.processes.nursery import Line, Nursery
from caf_core.processes.protocol import frame

CANCEL_LIMIT = subreaper.GRACE + 10.0
"""How long a warden may take to end a call that was cancelled, or has reached its time limit, before it is
killed itself [s]."""

MAX_BIRTHS = 3
"""How many times in a row a warden may die before it says a word; then its calls are given up."""


class Pool:
    """Executes what the agenda holds, ``slots`` calls at a time.

    Args:
        selector: Where the lines to the wardens are registered, with ``read`` as data.
        agenda: Where calls are taken from.
        slots: How many calls are executed at the same time.
        report: Called when the state of a call has changed.
    """

    def __init__(
        self, selector: selectors.BaseSelector, agenda: Agenda, slots: int, report: Callable[[Call], None]
    ) -> None:
        self.slots = slots
        self.busy = 0
        self._selector = selector
        self._agenda = agenda
        self._report = report
        self._nurseries: dict[Home, Nursery] = {}
        self._zygotes: dict[int, Nursery] = {}
        self._wardens: dict[int, Line] = {}
        self._idle: list[Line] = []
        self._lost: list[tuple[Call, int]] = []
        self._hunting = False
        self._strangers: set[int] = set()

    def prepare(self, home: Home) -> None:
        """Fork the zygote that calls will need, so that it can import meanwhile."""
        nursery = self._nurseries.setdefault(home, Nursery(home))
        nursery.prepare()
        self._zygotes[nursery.pid] = nursery

    def dispatch(self) -> None:
        """Fill the free slots."""
        while self.busy < self.slots and (call := self._agenda.take()) is not None:
            self.busy += 1
            for line in reversed(self._idle):
                if line.nursery.home == call.home:
                    self._idle.remove(line)
                    self._give(line, call)
                    break
            else:
                nursery = self._nurseries.setdefault(call.home, Nursery(call.home))
                nursery.waiting.append(call)
                self._order(nursery)

    def cancel(self, call: Call) -> None:
        """End a call, whatever its state."""
        line = next((line for line in self._wardens.values() if line.call is call), None)
        if line is not None:
            if not call.cancelled:
                call.cancelled = True
                line.deadline = time.monotonic() + CANCEL_LIMIT
                os.kill(line.pid, signal.SIGTERM)
        elif call.state == "queued":
            nursery = self._nurseries.get(call.home)
            if nursery is not None and call in nursery.waiting:
                nursery.waiting.remove(call)
                self.busy -= 1
            call.end("cancelled")
            self._report(call)

    def renew(self) -> None:
        """Forget every zygote, so that calls from now on find modules as they are on disk now."""
        for nursery in self._nurseries.values():
            for call in nursery.waiting:
                self._agenda.put_back(call)
                self.busy -= 1
            nursery.waiting.clear()
            nursery.close()
        self._nurseries.clear()
        for line in self._idle:
            self._hang_up(line)
        self._idle.clear()

    def close(self) -> None:
        """Let all zygotes and idle wardens end."""
        self.renew()

    def read(self, line: Line) -> None:
        """Take in what a warden sent."""
        try:
            data = line.connection.recv(1 << 14)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._hang_up(line)
            if line.pid == 0:
                self._stillborn(line)
            return  # a warden that spoke is reaped, and its call accounted for, in ``reap``
        for body in line.frames.feed(data):
            if body[:1] == b"H":
                self._born(line, int(body[1:]))
            else:
                self._finished(line, body)

    def reap(self) -> None:
        """Collect children that have ended, and end what dead wardens left behind."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                self._buried(pid, status)
        if self._hunting:
            self._hunt()

    def next_deadline(self) -> float | None:
        """When ``tick`` must be called at the latest."""
        deadlines = [line.deadline for line in self._wardens.values() if line.deadline is not None]
        if self._hunting:
            deadlines.append(time.monotonic() + tree.POLL_SECONDS)
        return min(deadlines, default=None)

    def tick(self, now: float) -> None:
        """Kill wardens that did not end a call in time, stopped ones perhaps; go on hunting orphans."""
        for line in self._wardens.values():
            if line.deadline is not None and line.deadline <= now:
                line.deadline = None
                if line.call is not None:
                    line.call.overdue = True
                os.kill(line.pid, signal.SIGKILL)
        if self._hunting:
            self._hunt()

    def _order(self, nursery: Nursery) -> None:
        while len(nursery.orders) < len(nursery.waiting):
            try:
                connection = nursery.order()
            except OSError as error:
                self._give_up(nursery, str(error))
                return
            self._zygotes[nursery.pid] = nursery
            connection.setblocking(False)
            line = Line(connection, nursery)
            nursery.orders.add(line)
            self._selector.register(connection, selectors.EVENT_READ, (self.read, line))

    def _born(self, line: Line, pid: int) -> None:
        nursery = line.nursery
        nursery.orders.discard(line)
        if pid in self._strangers:  # its first word comes from its grave
            self._strangers.clear()
            self._hang_up(line)
            self._stillborn(line)
            return
        nursery.failures = 0
        line.pid = pid
        self._wardens[pid] = line
        self._ready(line)

    def _stillborn(self, line: Line) -> None:
        nursery = line.nursery
        nursery.orders.discard(line)
        nursery.failures += 1
        nursery.close()
        if nursery.failures > MAX_BIRTHS:
            self._give_up(nursery, "no warden could be forked for it")
        else:
            self._order(nursery)

    def _give_up(self, nursery: Nursery, error: str) -> None:
        while nursery.waiting:
            call = nursery.waiting.popleft()
            self.busy -= 1
            call.end("lost", error=error)
            self._report(call)
        self.dispatch()

    def _ready(self, line: Line) -> None:
        if line.nursery.waiting:
            self._give(line, line.nursery.waiting.popleft())
        elif self._nurseries.get(line.nursery.home) is not line.nursery:
            self._hang_up(line)
        else:
            self._idle.append(line)
            if len(self._wardens) > 2 * self.slots:
                self._hang_up(self._idle.pop(0))

    def _give(self, line: Line, call: Call) -> None:
        line.call = call
        call.state = "executing"
        call.pid = line.pid
        if call.limit is not None:
            line.deadline = time.monotonic() + call.limit + CANCEL_LIMIT
        text = '{"function":"' + call.function + '","arguments":' + call.arguments + "}"
        message = frame(text.encode("ascii"))
        # A warden that died this moment is noticed in ``reap``, which reports the call as lost.
        with contextlib.suppress(OSError):
            sent = line.connection.send(message)
            if sent < len(message):
                line.connection.setblocking(
                    True
                )  # the warden waits for nothing else: it takes the rest at once
                line.connection.sendall(message[sent:])
                line.connection.setblocking(False)
        self._report(call)

    def _finished(self, line: Line, body: bytes) -> None:
        call, line.call, line.deadline = line.call, None, None
        if call is None:
            return
        self.busy -= 1
        value = body[1:].decode("ascii")
        kind = "cancelled" if call.cancelled else "ended"
        if body[:1] == b"V":
            call.end(kind, value=value)
        else:
            call.end(kind, error=value)
        self._report(call)
        if call.cancelled:
            # The signal may reach the warden only now, and would end its next call instead.
            self._hang_up(line)
            self._order(line.nursery)
        else:
            self._ready(line)
        self.dispatch()

    def _hang_up(self, line: Line) -> None:
        with contextlib.suppress(KeyError, ValueError):  # it has been hung up already
            self._selector.unregister(line.connection)
        line.connection.close()

    def _buried(self, pid: int, status: int) -> None:
        nursery = self._zygotes.pop(pid, None)
        if nursery is not None and nursery.pid == pid:
            nursery.close()
        line = self._wardens.pop(pid, None)
        if line is None:
            if any(nursery.orders for nursery in self._nurseries.values()):
                self._strangers.add(pid)
            return
        if line.connection.fileno() >= 0:
            self.read(line)  # its last words
            self._hang_up(line)
        if line in self._idle:
            self._idle.remove(line)
        if line.call is not None:
            self._lost.append((line.call, status))
            self._hunting = True

    def _hunt(self) -> None:
        """Kill the children that dead wardens left to us; then report their calls."""
        known = self._wardens.keys() | self._zygotes.keys()
        unborn = any(nursery.orders for nursery in self._nurseries.values())
        prey: list[int] = []
        doubtful = False
        for child in tree.children(os.getpid()):
            if child not in known and tree.start_time(child) is not None:
                with contextlib.suppress(ProcessLookupError):
                    # A task has a group of its own; a warden that has not said its first word has ours.
                    if unborn and os.getpgid(child) == os.getpgrp():
                        doubtful = True
                    else:
                        prey += [child, *tree.descendants(child)]
        tree.send(prey, signal.SIGKILL)
        if prey or doubtful:
            return  # ``reap`` and ``tick`` look again
        self._hunting = False
        lost, self._lost = self._lost, []
        for call, status in lost:
            self.busy -= 1
            kind = "cancelled" if call.cancelled else "overdue" if call.overdue else "lost"
            call.end(kind, status=status, error=_how(status))
            self._report(call)
        self.dispatch()


def _how(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"its warden was killed by signal {os.WTERMSIG(status)}"
    return f"its warden ended with exit code {os.WEXITSTATUS(status)}"
