"""A signal that asks to end is heeded where one waits, and nowhere else.

An exception out of a signal's handler comes in the midst of anything, and at a bad moment Python drops it:
while a process forks, while something is logged or collected. It would be lost, and with it the signal.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define

from caf_service.endings import End, Ending


@define
class Heed:
    """Remembers a signal, and raises it where that is wanted.

    Args:
        number: The signal that has come; 0 if none has.
    """

    number: int = 0
    _waiting: bool = False

    def hear(self, number: int, _frame: object = None) -> None:
        """The handler of the signal."""
        self.number = number
        if self._waiting:
            self._waiting = False
            self.check()

    def check(self) -> None:
        """Raise if a signal has come.

        Raises:
            End: If so.
        """
        if self.number:
            raise End(
                Ending.SIGNALLED,
                f"the worker was ended by signal {self.number} ({signal.Signals(self.number).name})",
            )

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """What is done in here may be broken off by a signal at any moment."""
        self._waiting = True
        # In this order: one that comes in between is seen here.
        self.check()
        try:
            yield
        finally:
            self._waiting = False
        self.check()
