"""Why workers end."""

from enum import IntEnum


class Ending(IntEnum):
    """Why a worker ends; its exit code."""

    OVER = 0
    FAILED = 1
    REVOKED = 3
    ABANDONED = 4
    TIME_LIMIT = 5
    SIGNALLED = 143

    @property
    def meaning(self) -> str:
        """The same for people."""
        return _MEANINGS[self]


class End(Exception):
    """Ends a worker from wherever it is.

    Args:
        ending: Why.
        message: The same for people.
    """

    def __init__(self, ending: Ending, message: str) -> None:
        super().__init__(message)
        self.ending = ending


_MEANINGS = {
    Ending.OVER: "its calibration was over",
    Ending.FAILED: "it failed",
    Ending.REVOKED: "its token was revoked",
    Ending.ABANDONED: "the service was away for too long",
    Ending.TIME_LIMIT: "its time limit was reached",
    Ending.SIGNALLED: "it was ended by a signal",
}

EXCUSED = (Ending.ABANDONED, Ending.TIME_LIMIT)
"""Ends that come to every worker in the course of time; while the calibration proceeds, no failures."""
