"""The resident process: executes calls for clients, and goes on when they are gone.

``ResidentClient.start`` starts it as ``__main__.py RUNTIME_DIR SLOTS IDLE_TIMEOUT``, with a listening Unix
socket as its standard input. It is one thread, imports nothing but the standard library, and ends by itself
when idle and alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import termios
import time
from collections.abc import Callable

from caf_core.processes import registration, subreaper
from caf_core.processes.agenda import Agenda, Call, home_of
from caf_core.processes.door import Door, Visitor
from caf_core.processes.pool import Pool
from caf_core.processes.protocol import dumps

TYPE_CHECKING = False  # the real one would import typing, which is slow
if TYPE_CHECKING:
    from typing import Any


class Resident:
    """The loop and what clients may ask for.

    Args:
        door: Listening socket.
        runtime_dir: Where this process is registered.
        slots: How many calls are executed at the same time.
        idle_timeout: How long it waits for a client when it has nothing to do [s].
    """

    def __init__(self, door: socket.socket, runtime_dir: str, slots: int, idle_timeout: float) -> None:
        self._runtime_dir = runtime_dir
        self._idle_timeout = idle_timeout
        self._selector = selectors.DefaultSelector()
        self._agenda = Agenda()
        self._door = Door(self._selector, door, self._answer)
        self._pool = Pool(self._selector, self._agenda, slots, self._door.announce)
        self._idle_since = time.monotonic()
        self._leaving = False
        self._told = False
        self._operations: dict[str, Callable[[Visitor, dict[str, Any]], bytes]] = {
            "submit": self._submit,
            "cancel": self._cancel,
            "states": self._states,
            "forget": self._forget,
            "slots": self._slots,
            "listen": self._listen,
            "prepare": self._prepare,
            "renew": self._renew,
            "shutdown": self._shutdown,
        }

    def serve(self) -> None:
        """Serve until there is nothing and nobody left."""
        wake, waker = socket.socketpair()
        for end in (wake, waker):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._told_to_end)
        self._selector.register(wake, selectors.EVENT_READ, (self._woken, wake))
        while not self._finished():
            for key, events in self._selector.select(self._patience()):
                function, argument = key.data
                if function == self._door.serve:
                    function(argument, events)
                else:
                    function(argument)
            if self._told:
                self._told = False
                self._leave(kill=True)
            now = time.monotonic()
            self._pool.tick(now)
            # With nothing else to come there is no batch to wait for.
            self._door.flush(now if self._occupied() else float("inf"))
            if self._door.visitors or self._occupied():
                self._idle_since = now
        signal.set_wakeup_fd(-1)
        self._pool.close()

    def _told_to_end(self, *_: object) -> None:
        self._told = True  # a signal comes at any moment, so the loop has to do the rest

    def _woken(self, wake: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            wake.recv(4096)
        self._pool.reap()

    def _occupied(self) -> bool:
        return self._pool.busy > 0 or self._agenda.queued()

    def _patience(self) -> float | None:
        now = time.monotonic()
        deadlines = [self._pool.next_deadline(), self._door.next_deadline()]
        if not self._occupied() and not self._door.visitors:
            deadlines.append(self._idle_since + self._idle_timeout)
        times = [deadline for deadline in deadlines if deadline is not None]
        return max(0.0, min(times) - now) if times else None

    def _finished(self) -> bool:
        if self._occupied():
            return False
        alone = not self._door.visitors and time.monotonic() >= self._idle_since + self._idle_timeout
        if not (alone or self._leaving):
            return False
        self._door.flush(float("inf"))
        try:
            with registration.lock(self._runtime_dir):
                if not self._leaving and self._door.knocked():
                    self._idle_since = time.monotonic()
                    return False
                registration.remove(self._runtime_dir, os.getpid())
        except FileNotFoundError:
            pass  # our directory was moved away or removed, and whoever did that removes the socket
        return True

    def _answer(self, visitor: Visitor, body: bytes) -> bytes:
        message = json.loads(body)
        operation = self._operations.get(message["op"])
        if operation is None:
            return dumps({"error": f"unknown operation {message['op']!r}"})
        return operation(visitor, message)

    def _submit(self, _: Visitor, message: dict[str, Any]) -> bytes:
        for batch in message["batches"]:
            function, group, limit = batch["function"], batch["group"], batch.get("limit")
            home = home_of(function, batch["preload"], batch["path"])
            self._agenda.add(
                Call(key, group, function, arguments, home, limit) for key, arguments in batch["calls"]
            )
        self._pool.dispatch()
        return b"{}"

    def _cancel(self, _: Visitor, message: dict[str, Any]) -> bytes:
        calls = [self._agenda.find(key) for key in message["keys"]]
        if message["group"] is not None:
            calls += self._agenda.of(message["group"])
        for call in calls:
            if call is not None and call.state in ("queued", "executing"):
                self._pool.cancel(call)
        self._pool.dispatch()
        return b"{}"

    def _states(self, _: Visitor, message: dict[str, Any]) -> bytes:
        rows = ",".join(map(Door.row, self._agenda.of(message["group"])))
        return f'{{"states":[{rows}]}}'.encode("ascii")

    def _forget(self, _: Visitor, message: dict[str, Any]) -> bytes:
        self._agenda.forget(message["group"])
        return b"{}"

    def _slots(self, _: Visitor, message: dict[str, Any]) -> bytes:
        self._pool.slots = message["slots"]
        self._pool.dispatch()
        return b"{}"

    def _listen(self, visitor: Visitor, _: dict[str, Any]) -> bytes:
        visitor.listening = True
        return b"{}"

    def _prepare(self, _: Visitor, message: dict[str, Any]) -> bytes:
        self._pool.prepare(home_of(message["function"], message["preload"], message["path"]))
        return b"{}"

    def _renew(self, _: Visitor, __: dict[str, Any]) -> bytes:
        self._pool.renew()
        self._pool.dispatch()
        return dumps({"pid": os.getpid()})

    def _shutdown(self, _: Visitor, message: dict[str, Any]) -> bytes:
        self._leave(kill=message["kill"])
        return b"{}"

    def _leave(self, *, kill: bool) -> None:
        self._leaving = True
        if kill:
            for call in self._agenda.of(None):
                if call.state in ("queued", "executing"):
                    self._pool.cancel(call)


def main(arguments: list[str]) -> None:
    """Be the resident process."""
    runtime_dir, slots, idle_timeout = arguments
    door = socket.socket(fileno=os.dup(0))
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    os.chdir("/")
    # Sent to a group whose parent has ended while one of its members is stopped, which says nothing to us.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _leave_terminal()
    subreaper.prctl(subreaper.SET_CHILD_SUBREAPER, 1)
    Resident(door, runtime_dir, int(slots), float(idle_timeout)).serve()


def _leave_terminal() -> None:
    """Give up the terminal of our session: a task that asks for a password there must fail and not stop."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return  # there is none
    try:
        fcntl.ioctl(terminal, termios.TIOCNOTTY)
    finally:
        os.close(terminal)
