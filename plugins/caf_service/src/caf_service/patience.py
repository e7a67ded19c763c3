"""Asking a service that may be away: again and again, later and later, but not for ever."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from attrs import define, field

from caf_core.text import clause
from caf_service.transport import RefusedError, ServiceError, UnreachableError, UntrustedError

T = TypeVar("T")

FIRST, LONGEST = 0.2, 15.0
"""The first and the longest pause between two attempts [s]."""
MOMENT = 1.0
"""For so long nobody is told that somebody waits [s]."""


class AbandonedError(ServiceError):
    """The service was away for too long."""


@define
class Patience:
    """Repeats requests that failed for a reason that passes.

    Args:
        limit: For how long the service may be away [s].
        longest: The longest pause [s].
        pause: Waits for so many seconds; may raise to end it all.
        clock: Tells the time [s].
        notice: Told of what is waited for, once a request, when that takes longer than a moment.
        trusting: Whether to wait for a certificate too, as one does who has nobody to tell.
        draw: Draws a number from 0 to 1: many who wait shall not come back at the same moment.
    """

    limit: float = 2700.0
    longest: float = LONGEST
    pause: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic
    notice: Callable[[ServiceError], object] = lambda _: None
    trusting: bool = True
    draw: Callable[[], float] = field(default=random.random)

    def ask(self, request: Callable[[], T]) -> T:
        """Make a request until it is answered.

        Raises:
            RefusedError: If the service refuses it for a reason that stays.
            UntrustedError: If its certificate is not trusted, and that is not waited for.
            AbandonedError: If the service was away for too long.
        """
        began, pause, noticed = self.clock(), FIRST, False
        while True:
            try:
                return request()
            except UnreachableError as error:
                if isinstance(error, UntrustedError) and not self.trusting:
                    raise
                problem: ServiceError = error
                wanted = 0.0
            except RefusedError as error:
                if not error.passing:
                    raise
                problem, wanted = error, error.retry_after or 0.0
            away = self.clock() - began
            if away >= self.limit:
                raise AbandonedError(f"{clause(problem)}; given up after {away:.0f} s") from problem
            if away >= MOMENT and not noticed:
                noticed = True
                self.notice(problem)
            self.pause(max(wanted, pause) * (0.5 + self.draw()))
            pause = min(2 * pause, self.longest)
