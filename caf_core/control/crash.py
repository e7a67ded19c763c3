"""Named points at which the controller can be made to die, so that tests can show that nothing is lost there.

``CAF_CRASH_AT=point`` kills the process (SIGKILL) when it passes that point for the first time,
``point:3`` at the third. The points are those of the transition table
(before and after each move is written down) and those around scheduler commands, records and commits.
"""

import os
import signal
from collections.abc import Mapping

from attrs import define, field

from caf_core.calibration.states import TRANSITIONS

VARIABLE = "CAF_CRASH_AT"

JOB_POINTS = (
    "submission.intent.before",
    "submission.intent.after",
    "submission.command.after",
    "submission.ids.after",
    "records.change.before",
    "records.change.after",
)
STEP_POINTS = (
    "outcome.before",
    "outcome.after",
    "commit.before",
    "commit.payloads.after",
    "commit.after",
    "finish.before",
    "finish.copied",
)


def crash_points() -> tuple[str, ...]:
    """Every point, in the order of the table."""
    moves = dict.fromkeys(f"move.{row.source}.{row.target}" for row in TRANSITIONS)
    return (*(f"{move}.{when}" for move in moves for when in ("before", "after")), *JOB_POINTS, *STEP_POINTS)


@define
class CrashPoints:
    """Counts passages, and kills the process at the chosen one; does nothing unless the variable is set."""

    point: str = ""
    countdown: int = 1
    _passed: int = field(default=0, init=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "CrashPoints":
        """As the environment asks for."""
        point, _, count = environ.get(VARIABLE, "").partition(":")
        return cls(point, int(count or 1))

    def __call__(self, point: str) -> None:
        """Pass a point."""
        if point != self.point:
            return
        self._passed += 1
        if self._passed == self.countdown:
            os.kill(os.getpid(), signal.SIGKILL)
