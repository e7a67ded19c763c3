"""Many simulated workers: each has a connection of its own, waits for work, reports, and waits again.

They work for no time at all, so that all of them report and ask at the same moment: the worst that a service
may meet. What they say goes through real connections; they are lean, so that a service on the same machine is
not slowed down by those who measure it.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from service.scale_plan import measured

TIME_LIMIT = 600.0
"""So long may a calibration take [s]."""

# All workers of a step are answered the same.
_decoded = lru_cache(64)(json.loads)


class Simulated(asyncio.Protocol):
    """A worker on one connection that is kept open.

    Args:
        number: Its number.
        token: Its token.
        repeats: Whether it reports everything twice.
    """

    def __init__(self, number: int, token: str, *, repeats: bool = False) -> None:
        self.number = number
        self.heard: list[tuple[int, float]] = []
        """Serial of a step, and when it was heard of [s since the epoch]."""
        self.statuses: list[str] = []
        """What was answered to its reports."""
        self.errors: list[str] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._repeats = repeats
        self._stopped = False
        self._head = f"Host: localhost\r\nAuthorization: Bearer {token}\r\n"
        self._last = 0
        self._report = b""
        self._asked = ""
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = transport
        self._ask_for_work()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found:
            return
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if len(body) >= size:
            self._got = body[size:]
            self._answered(head, body[:size])

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio."""
        if not self.ended.done() and not self._stopped:
            self._end(f"the connection was lost: {error}")

    def _answered(self, head: bytes, body: bytes) -> None:
        if not head.startswith(b"HTTP/1.1 200 "):
            self._end(f"{self._asked}: {head.splitlines()[0].decode()} {body.decode()}")
        elif self._asked == "work":
            self._told(_decoded(body))
        else:
            self.statuses.append(json.loads(body)["status"])
            if self._repeats and self.statuses[-1] == "counted":
                self._ask("report", self._report)
            else:
                self._ask_for_work()

    def _told(self, work: Mapping[str, Any]) -> None:
        if work["kind"] == "end":
            self._end()
        elif work["kind"] == "wait":
            self._ask_for_work()
        else:
            self._last = work["serial"]
            self.heard.append((self._last, time.time()))
            body = measured(self.number, self._last, work["parameters"])
            path = f"/worker/results/{self._last}?sha256={hashlib.sha256(body).hexdigest()}"
            self._report = self._request("PUT", path, body)
            self._ask("report", self._report)

    def _ask_for_work(self) -> None:
        self._ask("work", self._request("GET", f"/worker/work?after={self._last}&wait=50"))

    def _ask(self, what: str, request: bytes) -> None:
        self._asked = what
        self._transport.write(request)  # type: ignore[attr-defined]  # of a connection, it is one that writes

    def _request(self, method: str, path: str, body: bytes = b"") -> bytes:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        return f"{method} {path} HTTP/1.1\r\n{self._head}{length}\r\n".encode() + body

    def stop(self) -> None:
        """End at once, if it has not ended."""
        self._stopped = True
        if self.ended.done():
            self.ended.exception()  # it is among the errors
        self._transport.abort()  # type: ignore[attr-defined]  # as above

    def _end(self, error: str = "") -> None:
        if error:
            self.errors.append(error)
            self.ended.set_exception(RuntimeError(error))
        else:
            self.ended.set_result(None)
        self._transport.close()


async def crew(port: int, tokens: Mapping[str, str], *, repeats: bool = False) -> list[Simulated]:
    """Let workers live until their calibration has ended.

    Args:
        port: Where the service listens on this machine.
        tokens: Number of a worker -> its token.
        repeats: Whether they report everything twice.
    Raises:
        TimeoutError: If it never ends.
    """
    loop = asyncio.get_running_loop()

    async def born(number: int, token: str) -> Simulated:
        made = Simulated(number, token, repeats=repeats)
        await loop.create_connection(lambda: made, "127.0.0.1", port)
        return made

    workers = await asyncio.gather(*(born(int(number), token) for number, token in tokens.items()))
    endings = [one.ended for one in workers]
    async with asyncio.timeout(TIME_LIMIT):
        # Without the one that failed, the others might wait for ever.
        await asyncio.wait(endings, return_when=asyncio.FIRST_EXCEPTION)
    for one in workers:
        one.stop()
    return workers


def live(port: int, tokens: Mapping[str, str], *, repeats: bool = False) -> list[Simulated]:
    """The same, from outside an event loop."""
    return asyncio.run(crew(port, tokens, repeats=repeats))
