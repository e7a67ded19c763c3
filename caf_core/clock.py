"""The time of loops, which goes on evenly whatever the wall clock is set to."""

import time

_BEGAN = time.time() - time.monotonic()


def steady() -> float:
    """Seconds since the epoch as they were known when this process began, counted by the monotonic clock.

    Deadlines and durations are computed from it: a wall clock that is corrected, by a second or by a day,
    neither delays nor hurries them. Moments that are written down for people and for other processes are
    ``time.time()``.
    """
    return _BEGAN + time.monotonic()
