"""What may be in the body of a request: how large it is, how it comes, and what its JSON holds.

All that is done here with a body takes time in proportion to its size, and a small part of a second at the
most: it holds up everybody else.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from caf_service.answers import Refused

T = TypeVar("T")

DEPTH = 64
"""So deep may JSON be nested."""
AT_ONCE = 1 << 15
"""What is smaller is looked at without another thread [bytes]."""
SMALL = 1 << 16
"""The largest body of a request that has no file and no list of workers [bytes]."""
FAILURE = 1 << 20
"""The largest body of a worker's last words, with its log [bytes]."""
AGENT = 16 << 20
"""The largest body of an agent, which speaks of all workers of a calibration [bytes]."""

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},:]', re.DOTALL)
"""A text, or what tells values apart; a text that does not end goes on to the end, so that nothing is read
twice."""


def most_of(method: str, path: str, body: int) -> int:
    """The largest body of a request [bytes].

    Args:
        method: Its method.
        path: Its path.
        body: What the service allows where files come along.
    """
    if method not in ("POST", "PUT", "PATCH", "DELETE"):
        return 0
    if path == "/calibrations":
        return body
    if path.startswith("/agent/"):
        return AGENT
    return FAILURE if path == "/worker/failure" else SMALL


class Pace:
    """How fast a body has to come.

    Args:
        idle: It may pause for so long, and be late by so much in all [s].
        slowest: It has to come faster than this in the long run [bytes/s].
        clock: Seconds that never go back.
    """

    def __init__(self, idle: float, slowest: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._idle = idle
        self._slowest = slowest
        self._clock = clock
        self._left = idle

    async def wait(self, part: Awaitable[T]) -> T:
        """Wait for the next part.

        Raises:
            TimeoutError: If it does not come, or all of it comes too slowly.
        """
        began = self._clock()
        try:
            async with asyncio.timeout(max(0.0, min(self._idle, self._left))):
                return await part
        finally:
            self._left -= self._clock() - began

    def came(self, size: int) -> None:
        """So many bytes have come."""
        self._left += size / self._slowest


def check_json(body: bytes, values: int) -> None:
    """Refuse what is no JSON that any database can keep, or more of it than can be looked at.

    Args:
        body: The body.
        values: So many values there may be.
    Raises:
        Refused: If it cannot be used.
    """
    _measure(body, values)
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_number)
        # Half a surrogate pair, which JSON can say, is no text; huge numbers become infinite.
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)  # noqa: TID251 - it refuses, as told below
        text.encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise Refused(422, "the request is no JSON of ordinary text and finite numbers.") from error
    if "\\u0000" in text:
        raise Refused(422, "the request has a text with a NUL character, which no database keeps.")


def _measure(body: bytes, values: int) -> None:
    """Refuse what holds too many values, or too deep ones, before anything is made of it."""
    depth = found = 0
    for token in _TOKEN.finditer(body):
        mark = body[token.start()]
        if mark in b"[{":
            depth += 1
            found += 1
        elif mark in b"]}":
            depth -= 1
        elif mark in b",:":
            found += 1
        if depth > DEPTH:
            raise Refused(422, f"the request is nested more than {DEPTH} times.")
        if found > values:
            raise Refused(413, f"the request has more than {values} values.")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
