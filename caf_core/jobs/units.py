"""Memory, disk and time as people write them."""

import math
import re
from datetime import timedelta

from caf_core.errors import ConfigurationError

_POWERS = {"k": -10, "m": 0, "g": 10, "t": 20}
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+) *(?:(?P<power>[kmgt])(?:i?b)?)?", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+) *(min|[smhd])", re.IGNORECASE)
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)")


def size_mb(text: str) -> int:
    """An amount of memory or disk in MB, rounded up; a number without a unit is in MB.

    1 GB is 1024 MB here, as schedulers mean it; ``GiB`` and ``G`` say the same.

    Raises:
        ConfigurationError: If it is none.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None or not float(found["number"]):
        raise ConfigurationError(f"{text!r} is no amount of memory; write such as '4GB' or '500MB'.")
    return math.ceil(float(found["number"]) * 2.0 ** _POWERS[(found["power"] or "m").lower()])


def time_span(text: str) -> timedelta:
    """A time span such as ``2h``, ``1h 30min``, ``1d12h`` or ``1-12:00:00``.

    Raises:
        ConfigurationError: If it is none, or has no unit: schedulers differ in what a number alone means.
    """
    plain = text.strip()
    if (clock := _CLOCK.fullmatch(plain)) is not None:
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    else:
        parts = _PART.findall(plain)
        rest = _PART.sub("", plain).replace(" ", "")
        span = timedelta(seconds=sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts))
        if rest or not parts:
            raise ConfigurationError(
                f"{text!r} is no time span; write such as '2h', '90min', '1d12h' or '12:00:00'."
            )
    if span <= timedelta(0):
        raise ConfigurationError(f"{text!r} is no time at all; give more.")
    return span


def span_text(span: timedelta) -> str:
    """A time span as ``time_span`` reads it, in whole seconds: ``1d12h``, ``1min30s``."""
    minutes, seconds = divmod(round(span.total_seconds()), 60)
    parts = ((minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min"), (seconds, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"
