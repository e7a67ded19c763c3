"""Where a loop finds what other threads and signal handlers tell it."""

import threading
import time
from collections import deque
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")

_LOOK = 1.0
"""How long a reader waits at a time [s]: a signal that another thread received wakes nobody, and its handler
is called only when the main thread goes on."""


class Inbox(Generic[T]):
    """A queue with one reader, whose waiting always ends.

    ``queue.SimpleQueue`` may be filled in a signal handler, as this one, but in Python 3.11 and 3.12 its
    ``get`` waits for ever when it is woken for nothing after its time is over. ``queue.Queue`` may not be
    filled in a signal handler: it deadlocks where the handler interrupts the reader.
    """

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._filled = threading.Lock()
        self._filled.acquire()

    def put(self, item: T) -> None:
        """Add an item; from any thread, or in a signal handler."""
        self._items.append(item)
        with suppress(RuntimeError):  # released already: the reader looks at all items before it waits again
            self._filled.release()

    def get(self, timeout: float | None = None) -> T | None:
        """The next item.

        Args:
            timeout: How long to wait for one [s]; not at all if it is not positive, for ever if ``None``.
        Returns:
            The item, or ``None`` when the time is over.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._items:
            left = _LOOK if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return None
            self._filled.acquire(timeout=min(left, _LOOK))
        return self._items.popleft()

    def empty(self) -> bool:
        """Whether nothing is waiting now."""
        return not self._items
