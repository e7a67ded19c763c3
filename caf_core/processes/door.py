"""The door of the resident process: clients come in, ask, and listen to what happens."""

import os
import selectors
import socket
import time
from collections.abc import Callable

from caf_core.processes.agenda import Call
from caf_core.processes.lean import dump_json
from caf_core.processes.protocol import Frames, frame, peer_user

BATCH_SECONDS = 0.02
"""Endings are told at once, in batches at least this far apart; other news may wait this long [s]."""

MAX_BACKLOG = 1 << 26
"""A listener that leaves this many bytes unread is shown out; it may come back and ask for the states."""


class Visitor:
    """One connection of a client."""

    __slots__ = ("connection", "frames", "listening", "outbox")

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.frames = Frames()
        self.outbox = bytearray()
        self.listening = False


class Door:
    """Accepts clients of the same user, and passes on what they ask and what happens.

    Args:
        selector: Where the connections are registered.
        listener: Listening socket.
        answer: Given a visitor and a request; returns the reply.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        listener: socket.socket,
        answer: Callable[[Visitor, bytes], bytes],
    ) -> None:
        self.visitors: set[Visitor] = set()
        self._selector = selector
        self._listener = listener
        self._answer = answer
        self._news: dict[str, Call] = {}
        self._due = float("inf")
        self._flushed = 0.0
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ, (self._accept, listener))

    def announce(self, call: Call) -> None:
        """Note that the state of a call changed; of its changes within one batch only the last is told."""
        self._news[call.key] = call
        if call.final:
            self._due = min(self._due, self._flushed + BATCH_SECONDS)
        else:
            self._due = min(self._due, time.monotonic() + BATCH_SECONDS)

    @staticmethod
    def row(call: Call) -> str:
        """The state of a call as JSON; see ``caf_core.processes.calls.CallEvent``."""
        status = "null" if call.status is None else call.status
        return (
            f'[{dump_json(call.key)},"{call.state}",{call.pid},{status},{call.value},'
            f"{call.error if call.error[:1] == chr(34) else dump_json(call.error)}]"
        )

    def next_deadline(self) -> float | None:
        """When ``flush`` has something to do."""
        return self._due if self._news else None

    def flush(self, now: float) -> None:
        """Send what happened to the listeners, if it is time to."""
        if now < self._due or not self._news:
            return
        final = any(call.final for call in self._news.values())
        body = ("[" + ",".join(map(self.row, self._news.values())) + "]").encode("ascii")
        self._news.clear()
        self._due = float("inf")
        if final:
            self._flushed = time.monotonic()
        for visitor in [visitor for visitor in self.visitors if visitor.listening]:
            self._send(visitor, body)

    def knocked(self) -> bool:
        """Let in who waits outside; whether there was anybody."""
        before = len(self.visitors)
        self._accept(self._listener)
        return len(self.visitors) > before

    def serve(self, visitor: Visitor, events: int) -> None:
        """Carry on a conversation."""
        try:
            if events & selectors.EVENT_WRITE:
                self._push(visitor)
            if events & selectors.EVENT_READ:
                data = visitor.connection.recv(1 << 20)
                if not data:
                    self._leave(visitor)
                    return
                for body in visitor.frames.feed(data):
                    self._send(visitor, self._answer(visitor, body))
        except BlockingIOError:
            return
        except OSError:
            self._leave(visitor)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                return
            if peer_user(connection) != os.getuid():
                connection.close()
                continue
            connection.setblocking(False)
            visitor = Visitor(connection)
            self.visitors.add(visitor)
            self._selector.register(connection, selectors.EVENT_READ, (self.serve, visitor))

    def _send(self, visitor: Visitor, body: bytes) -> None:
        visitor.outbox += frame(body)
        if len(visitor.outbox) > MAX_BACKLOG and visitor.listening:
            self._leave(visitor)
            return
        try:
            self._push(visitor)
        except BlockingIOError:
            pass  # the rest goes when the selector says so
        except OSError:
            self._leave(visitor)

    def _push(self, visitor: Visitor) -> None:
        try:
            while visitor.outbox:
                del visitor.outbox[: visitor.connection.send(visitor.outbox)]
        finally:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if visitor.outbox else 0)
            if self._selector.get_key(visitor.connection).events != events:
                self._selector.modify(visitor.connection, events, (self.serve, visitor))

    def _leave(self, visitor: Visitor) -> None:
        if visitor in self.visitors:
            self.visitors.remove(visitor)
            self._selector.unregister(visitor.connection)
            visitor.connection.close()
