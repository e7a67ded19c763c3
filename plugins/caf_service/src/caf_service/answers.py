"""Answers of the service, below any framework: JSON values, and errors that are one sentence."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from caf_core.errors import CafError
from caf_core.json_text import json_text
from caf_service.errors import BusyError, ForbiddenError, NotFoundError, NotNowError
from caf_service.results import DamagedError, TooLargeError
from caf_service.store.thread import DatabaseAwayError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

FAULT = "a fault of caf-service, which is in its log."
AWAY = 2.0
"""When to come again if the database is away [s]."""

_STATUS: dict[type[CafError], int] = {
    DamagedError: 400,
    ForbiddenError: 403,
    NotFoundError: 404,
    NotNowError: 409,
    BusyError: 429,
    TooLargeError: 413,
    DatabaseAwayError: 503,
}
"""Error -> its status; any other of caf means that something cannot be done as written: 422."""


class Refused(Exception):
    """A request is not served.

    Args:
        status: The status.
        sentence: Why.
        after: When to come again [s]; 0 if that makes no difference.
        close: Whether the connection ends too.
    """

    def __init__(self, status: int, sentence: str, after: float = 0.0, *, close: bool = False) -> None:
        super().__init__(sentence)
        self.status = status
        self.after = after
        self.close = close


def refusal(error: CafError) -> Refused:
    """What an error means for who asked."""
    status = next((number for kind, number in _STATUS.items() if isinstance(error, kind)), 422)
    return Refused(status, str(error), AWAY if status in (429, 503) else 0.0)


async def refuse(send: Send, refused: Refused) -> None:
    """Answer with an error."""
    headers = []
    if refused.after:
        headers.append((b"retry-after", str(max(1, round(refused.after + 0.5))).encode()))
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refused.close:
        headers.append((b"connection", b"close"))
    await answer(send, refused.status, json_text({"error": str(refused)}).encode(), headers)


async def answer(send: Send, status: int, body: bytes, more: list[tuple[bytes, bytes]] | None = None) -> None:
    """Answer with JSON."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *(more or ())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
