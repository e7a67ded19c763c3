"""HTTP on the wire: what comes before a request is known to be one may be neither endless nor slow."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD = 1 << 16
"""The longest head of a request, its path and headers together [bytes]; a little more may be read."""

HEAD_TIME = 60.0
"""So long may a head take to come; a connection that sends nothing at all is ended after that too [s]."""

LINGER = 5.0
"""So long may the rest of a request come that was answered before its end [s]; nobody reads it."""


class GuardedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, whose parser takes heads of any length, and waits for them for ever, as for the
    rest of what was refused.
    """

    _reading = False
    _whole = True
    _head = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """See asyncio."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._have()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """See httptools."""
        super().on_message_begin()
        self._reading, self._head, self._whole = True, 0, False
        self._wait()

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._reading = False
        self._have()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """See httptools."""
        super().on_message_complete()
        self._whole = True
        self._have()

    def on_response_complete(self) -> None:
        """See uvicorn."""
        super().on_response_complete()
        if not self._whole and self.cycle.response_complete:
            self._wait(LINGER)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        super().data_received(data)
        if self._reading:
            self._head += len(data)
            if self._head > HEAD and not self.transport.is_closing():
                self.send_400_response("The head of the request is too long.")

    def _wait(self, seconds: float | None = None) -> None:
        self._have()
        self._timer = self.loop.call_later(HEAD_TIME if seconds is None else seconds, self._give_up)

    def _have(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self.transport.close()
