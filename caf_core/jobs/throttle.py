"""How many tasks may be handed to a backend now: its limits, and the user's other jobs in the system."""

from attrs import define

from caf_core.jobs.agenda import NEVER
from caf_core.jobs.backend import Capabilities


@define(eq=False)
class Throttle:
    """Counts what was submitted against what a backend allows; times are seconds since the epoch.

    Args:
        limits: What the backend allows.
        number: How many tasks of the user were in the system when they were counted; ``None`` if nobody can
            tell.
        since: How many tasks were submitted since that count was asked for.
        known: Whether a count was answered, be it without a number.
        count_at: When the user's tasks are counted next.
        counting: Whether they are being counted.
        open_at: When the next submission may be made.
    """

    limits: Capabilities
    number: int | None = None
    since: int = 0
    known: bool = False
    count_at: float = 0.0
    counting: bool = False
    open_at: float = 0.0
    _during: int = 0
    _look_at: float = NEVER

    def wants_count(self, now: float) -> bool:
        """Whether the user's tasks are to be counted now, for tasks that wait."""
        return self.limits.job_limit is not None and not self.counting and self.count_at <= now

    def ask(self) -> None:
        """The user's tasks are being counted. What is submitted from now on is not in the answer, because a
        backend does one thing after the other.
        """
        self.counting, self._during = True, 0

    def counted(self, number: int | None, now: float) -> None:
        """The user's tasks were counted.

        Args:
            number: All of them, ours included; ``None`` if nobody can tell: the last count stands.
            now: The time.
        """
        self.counting, self.known = False, True
        self.count_at = now + self.limits.check_interval.total_seconds()
        if number is not None:
            self.number, self.since = number, self._during
        elif self.number is None:
            self.since = self._during

    def started(self, count: int, now: float) -> None:
        """A submission of so many tasks was made."""
        self.since += count
        self._during += count
        self.open_at = now + self.limits.submission_interval.total_seconds()

    def room(self, ours: int, waiting: int, now: float) -> int | None:
        """How many tasks may be added now; ``None`` for any number.

        What has ended since the last count makes room at the next one. Places that become free one by one are
        collected until they are a tenth of the limit, so that they do not cost a command each.

        Args:
            ours: Tasks of ours at the backend.
            waiting: Tasks that wait.
            now: The time.
        """
        self._look_at = self.open_at if now < self.open_at else NEVER
        if now < self.open_at:
            return 0
        limit = self.limits.job_limit
        if limit is None:
            return None
        if not self.known:
            return 0
        # What has ended may not be known here yet, and what was taken may not be counted there yet.
        room = limit - max(ours, 0 if self.number is None else self.number + self.since)
        if room < min(waiting, max(1, limit // 10)):
            return 0
        if self.limits.jobs_per_check is not None:
            room = min(room, self.limits.jobs_per_check - self.since)
        return max(room, 0)

    def deadline(self) -> float:
        """When a look at what waits makes sense next."""
        times = [self._look_at]
        if self.limits.job_limit is not None and not self.counting:
            times.append(self.count_at)
        return min(times)
