"""What a client may ask for: how large, how often, for how long."""

from collections import OrderedDict
from collections.abc import Callable

from attrs import define, frozen

_REMEMBERED = 10_000
"""So many callers are remembered; one that is forgotten starts with a full bucket."""


@frozen
class Limits:
    """The limits of a service.

    Args:
        body: Largest body of a request, results excepted [bytes].
        result: Largest file that a worker may report [bytes].
        rate: Requests per second of one token, in the long run.
        burst: So many at once.
        failures: Wrong tokens per second from one address, in the long run; ten times as many at once.
        wait: Longest time that a request may wait for news [s].
        idle: A body of which nothing came for so long is given up [s].
        calibrations: So many calibrations of one user may go on at a time.
        workers: So many workers may a calibration have.
        connections: So many connections are served at a time, if the process may open so many files.
    """

    body: int = 16 << 20
    result: int = 1 << 30
    rate: float = 50.0
    burst: int = 200
    failures: float = 5.0
    wait: float = 60.0
    idle: float = 60.0
    calibrations: int = 100
    workers: int = 10_000
    connections: int = 65_536


@define
class _Bucket:
    level: float
    at: float


class Rates:
    """Counts the requests of callers: a bucket each, which fills up again as time goes by.

    Args:
        rate: So many a second fill a bucket.
        burst: What a bucket holds.
        clock: Seconds that never go back.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def delay(self, caller: str) -> float:
        """Count a request.

        Returns:
            How long the caller has to wait before it is served [s]; 0 to serve it now.
        """
        now = self._clock()
        bucket = self._buckets.pop(caller, None) or _Bucket(float(self._burst), now)
        self._buckets[caller] = bucket
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        bucket.level = min(float(self._burst), bucket.level + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.level < 1.0:
            return (1.0 - bucket.level) / self._rate
        bucket.level -= 1.0
        return 0.0

    def empty(self, caller: str) -> bool:
        """Whether a caller would have to wait; counts nothing."""
        bucket = self._buckets.get(caller)
        if bucket is None:
            return False
        return bucket.level + (self._clock() - bucket.at) * self._rate < 1.0
