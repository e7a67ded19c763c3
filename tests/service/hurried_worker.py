"""A worker whose pauses take no time: ``hurried_worker.py FILE OPTIONS...``.

It is the real worker, and speaks to a real service or to nobody; only its clock goes ahead whenever it would
sleep, by half an hour in all. How far it has gone stands in FILE [s].
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from attrs import define

from caf_service import worker

HALF_AN_HOUR = 1800.0


@define
class Clock:
    """Goes on by itself, and ahead for whoever sleeps."""

    file: Path
    slept: float = 0.0

    def now(self) -> float:
        """The time [s]."""
        return time.monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        """Let so much time pass at once; from half an hour on, in its own time."""
        if self.slept >= HALF_AN_HOUR:
            time.sleep(min(seconds, 0.2))
            return
        self.slept += seconds
        scratch = self.file.with_suffix(".new")
        scratch.write_text(f"{self.slept}")
        scratch.replace(self.file)


if __name__ == "__main__":
    clock = Clock(Path(sys.argv[1]).absolute())
    made: Callable[..., worker.Worker] = partial(worker.Worker, clock=clock.now, sleep=clock.sleep)
    sys.exit(worker.main(sys.argv[2:], make=made))
