"""What one user may do a few times at a time."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from caf_service.errors import BusyError


class Turns:
    """Counts what is under way for each user; for any thread.

    Args:
        most: So much may be under way for one user.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way: Counter[int] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def one_of(self, user: int) -> Iterator[None]:
        """While it is under way.

        Raises:
            BusyError: If there are too many of the user.
        """
        with self._lock:
            if self._under_way[user] >= self._most:
                raise BusyError(f"{self._most} of your requests of this kind are under way; wait a moment.")
            self._under_way[user] += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way[user] -= 1
