"""Wakes requests that wait for news. It belongs to the event loop, but may be told from any thread."""

import asyncio
from collections.abc import Callable, Hashable

STEP = "step"
"""News for workers: the step has changed, or the calibration has ended."""

VIEW = "view"
"""News for people: anything has changed."""

AGENT = "agent"
"""News for the agent: calibrations were created, have ended, or have dead workers."""


class Hub:
    """Who waits for what."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, set[asyncio.Future[None]]] = {}
        self._listeners: list[tuple[Hashable, Callable[[], None]]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def open(self) -> None:
        """Begin, in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def listen(self, topic: Hashable, callback: Callable[[], None]) -> None:
        """Have this called, in the thread that tells, whenever the topic is told."""
        self._listeners.append((topic, callback))

    def tell(self, *topics: Hashable) -> None:
        """Wake all that wait for one of these; from any thread."""
        for topic, callback in self._listeners:
            if topic in topics:
                callback()
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._wake, topics)
            except RuntimeError:
                self._loop = None  # the loop has ended, and everybody with it

    def close(self) -> None:
        """Wake everybody, and let nobody wait any more; in the event loop."""
        self._closed = True
        self._wake(tuple(self._waiting))

    async def wait(self, topic: Hashable, seconds: float, news: Callable[[], bool]) -> bool:
        """Wait until there is news.

        Args:
            topic: What to wait for.
            seconds: How long.
            news: Whether there is; asked at once, and whenever the topic is told.
        Returns:
            Whether there is.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while not news():
            left = deadline - asyncio.get_running_loop().time()
            if self._closed or left <= 0:
                return False
            await self._sleep(topic, left)
        return True

    async def _sleep(self, topic: Hashable, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(topic, set()).add(waiter)
        timer = loop.call_later(seconds, _release, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            others = self._waiting.get(topic, set())
            others.discard(waiter)
            if not others:
                self._waiting.pop(topic, None)

    def _wake(self, topics: tuple[Hashable, ...]) -> None:
        for topic in topics:
            for waiter in self._waiting.pop(topic, ()):
                _release(waiter)


def _release(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
