"""What a client may ask for: how large, how often, for how long."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen

from caf_core.errors import ConfigurationError

_REMEMBERED = 10_000
"""So many callers are remembered; one that is forgotten starts with a full bucket."""


def above(least: float, *, whole: bool = False) -> Callable[[Any, Any, Any], None]:
    """A validator of numbers that may stand in a file.

    Args:
        least: The smallest that will do.
        whole: Whether it has to be a whole number.
    """
    kinds = int if whole else int | float
    words = f"a {'whole ' if whole else ''}number from {least:g} on"

    def check(_: Any, attribute: Any, value: Any) -> None:
        if not isinstance(value, kinds) or isinstance(value, bool) or not value >= least:
            raise ConfigurationError(f"{attribute.name} is {value!r}; it is {words}.")

    return check


@frozen
class Limits:
    """The limits of a service.

    Args:
        body: Largest body of a request that brings files along [bytes]; that of others is smaller.
        result: Largest file that a worker may report [bytes].
        rate: Requests per second of one token, in the long run.
        burst: So many at once.
        failures: Wrong tokens per second from one address, in the long run; ten times as many at once.
        wait: Longest time that a request may wait for news [s].
        idle: A body of which nothing came for so long is given up [s].
        slowest: A body that comes more slowly than this is given up [bytes/s].
        values: So many values, names included, may there be in a body that is JSON.
        calibrations: So many calibrations of one user may go on at a time.
        workers: So many workers may a calibration have.
        user_workers: So many workers may all calibrations of one user have that go on.
        local_workers: So many workers may the machine itself execute (``local``); 0: what it has room for.
        cpus: So many processors may a user ask for a worker.
        memory: So much memory [MB].
        disk: So much disk [MB].
        walltime: So much time [s].
        connections: So many connections are served at a time, if the process may open so many files.
    """

    body: int = field(default=16 << 20, validator=above(1, whole=True))
    result: int = field(default=1 << 30, validator=above(1, whole=True))
    rate: float = field(default=50.0, validator=above(0.001))
    burst: int = field(default=200, validator=above(1, whole=True))
    failures: float = field(default=5.0, validator=above(0.001))
    wait: float = field(default=60.0, validator=above(0))
    idle: float = field(default=60.0, validator=above(0.001))
    slowest: float = field(default=10_000.0, validator=above(0.001))
    values: int = field(default=200_000, validator=above(1, whole=True))
    calibrations: int = field(default=100, validator=above(1, whole=True))
    workers: int = field(default=10_000, validator=above(1, whole=True))
    user_workers: int = field(default=20_000, validator=above(1, whole=True))
    local_workers: int = field(default=0, validator=above(0, whole=True))
    cpus: int = field(default=256, validator=above(1, whole=True))
    memory: int = field(default=1 << 20, validator=above(1, whole=True))
    disk: int = field(default=10 << 20, validator=above(1, whole=True))
    walltime: float = field(default=30 * 86400.0, validator=above(1))
    connections: int = field(default=65_536, validator=above(1, whole=True))


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
