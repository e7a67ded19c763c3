"""What the owner of a ``JobService`` finds in its inbox and hands back to ``handle``."""

from collections.abc import Mapping, Sequence

from attrs import frozen

from caf_core.jobs.backend import Report
from caf_core.jobs.records import Scan


class ServiceEvent:
    """The base of everything that a service posts to its owner."""

    __slots__ = ()


@frozen
class Tick(ServiceEvent):
    """A deadline has passed."""


@frozen
class Started(ServiceEvent):
    """The command of a submission came back.

    Args:
        token: The submission.
        ids: The scheduler's ids, if it was accepted.
        problem: Why it was not, or nobody knows.
        refused: Whether it is certain that the scheduler does not have it.
        again: Whether issuing it again makes sense.
        credentials: Whether a credential has expired or is missing.
        full: Whether there was no room.
    """

    token: str
    ids: Sequence[str] = ()
    problem: str = ""
    refused: bool = False
    again: bool = True
    credentials: bool = False
    full: bool = False


@frozen
class Found(ServiceEvent):
    """A search came back; ``ids`` is ``None`` if the scheduler did not answer."""

    token: str
    ids: Mapping[int, str] | None
    problem: str = ""


@frozen
class Polled(ServiceEvent):
    """A query came back; ``reports`` is ``None`` if the scheduler did not answer.

    Args:
        backend: The backend's name.
        asked: Token, position and id of every task that was asked about.
        reports: The answer, by id.
        problem: Why there is none.
    """

    backend: str
    asked: Sequence[tuple[str, int, str]]
    reports: Mapping[str, Report] | None
    problem: str = ""

    def by_token(self) -> dict[str, dict[int, Report | None]]:
        """The answers by submission and position; ``None`` where a task was not listed."""
        answers: dict[str, dict[int, Report | None]] = {}
        for token, position, identity in self.asked:
            answers.setdefault(token, {})[position] = (self.reports or {}).get(identity)
        return answers


@frozen
class Notified(ServiceEvent):
    """A backend told of tasks by itself."""

    token: str
    reports: Mapping[int, Report]


@frozen
class Scanned(ServiceEvent):
    """The records of a submission were read."""

    token: str
    scan: Scan


@frozen
class CancelFailed(ServiceEvent):
    """A backend could not be told to end tasks; it is told again after a while."""

    token: str
    ids: Sequence[str]
    problem: str


@frozen
class Counted(ServiceEvent):
    """The user's tasks in the system were counted; ``number`` is ``None`` if nobody can tell."""

    backend: str
    number: int | None
    problem: str = ""


@frozen
class ReleaseFailed(ServiceEvent):
    """Held tasks could not be released."""

    token: str
    ids: Sequence[str]
    problem: str
