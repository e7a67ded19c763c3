"""What is done about a failed attempt: a pure decision."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import StrEnum

from attrs import Factory, evolve, field, frozen
from attrs.validators import ge

from caf_core.jobs.ledger import FailureKind
from caf_core.jobs.task import Resources


class Remedy(StrEnum):
    """What one kind of failure gets."""

    NOTHING = "nothing"
    AGAIN = "again"
    MORE_MEMORY = "more_memory"
    MORE_TIME = "more_time"
    SPLIT = "split"
    WAIT = "wait"


@frozen
class Rule:
    """The remedy for one kind of failure.

    Args:
        remedy: What to do.
        attempts: How many attempts a task may have in all; for ``submission``, how often a submission is
            issued at least, before ``RetryPolicy.patience`` may end.
        delay: How long to wait before the next attempt.
    """

    remedy: Remedy = Remedy.NOTHING
    attempts: int = field(default=1, validator=ge(1))
    delay: timedelta = timedelta(0)


def _default_rules() -> dict[FailureKind, Rule]:
    """What a failure gets unless the user says otherwise.

    A command that ends with an error would most often do it again, and a bug would cost its computing time
    twice: its kind gets nothing.
    """
    return {
        FailureKind.EXIT_CODE: Rule(),
        FailureKind.BAD_OUTPUT: Rule(),
        FailureKind.CANCELLED: Rule(),
        FailureKind.OUT_OF_MEMORY: Rule(Remedy.MORE_MEMORY, attempts=3),
        FailureKind.WALLTIME: Rule(Remedy.MORE_TIME, attempts=3),
        FailureKind.DISK: Rule(Remedy.AGAIN, attempts=2, delay=timedelta(minutes=1)),
        FailureKind.NODE_LOST: Rule(Remedy.AGAIN, attempts=3),
        FailureKind.HELD: Rule(Remedy.AGAIN, attempts=2),
        FailureKind.SUBMISSION: Rule(Remedy.AGAIN, attempts=3, delay=timedelta(seconds=30)),
        FailureKind.CREDENTIALS: Rule(Remedy.WAIT, attempts=100, delay=timedelta(minutes=10)),
    }


OWN = (FailureKind.EXIT_CODE, FailureKind.BAD_OUTPUT, FailureKind.OUT_OF_MEMORY, FailureKind.WALLTIME)
"""Failures for which a task's input may be the reason; for the others only machines are."""


@frozen
class Decision:
    """What happens to the task next.

    Args:
        remedy: ``nothing``, ``split``, or ``again`` (whatever the reason for another attempt was).
        resources: What the next attempt asks for.
        delay: How long to wait before it [s].
    """

    remedy: Remedy
    resources: Resources
    delay: float = 0.0


@frozen
class RetryPolicy:
    """What each kind of failure gets.

    Args:
        rules: Kind -> rule; a kind that is not named gets nothing.
        memory_factor: By how much more memory is asked for after ``out_of_memory``.
        memory_cap_mb: Never ask for more than this [MB].
        time_factor: By how much more time is asked for after ``walltime``.
        walltime_cap: Never ask for more than this.
        held_for: How long a scheduler may hold a task, for a reason that is not a failure in itself, before
            it counts as failed.
        patience: How long a submission is tried that the scheduler neither takes nor refuses.
        quarantine: So many input files of a job may be set aside. A file is set aside when the task that has
            it alone has failed for good, for a reason that lies with the task; the job succeeds without it.
    """

    rules: Mapping[FailureKind, Rule] = Factory(_default_rules)
    memory_factor: float = 1.5
    memory_cap_mb: int = 64_000
    time_factor: float = 2.0
    walltime_cap: timedelta = timedelta(days=7)
    held_for: timedelta = timedelta(hours=12)
    patience: timedelta = timedelta(hours=6)
    quarantine: int = field(default=0, validator=ge(0))

    @classmethod
    def never(cls) -> "RetryPolicy":
        """A policy that tries nothing twice."""
        return cls(rules={})

    @classmethod
    def isolating(cls, files: int, *, attempts: int = 2) -> "RetryPolicy":
        """A policy that splits tasks that fail until the bad input files are alone, and sets those aside.

        Args:
            files: How many files may be set aside.
            attempts: How many attempts a file that is alone has in all.
        """
        rule = Rule(Remedy.SPLIT, attempts=attempts)
        return (
            cls(quarantine=files)
            .with_rule(FailureKind.EXIT_CODE, rule)
            .with_rule(FailureKind.BAD_OUTPUT, rule)
        )

    def with_rule(self, kind: FailureKind, rule: Rule) -> "RetryPolicy":
        """This policy with another rule for one kind."""
        return evolve(self, rules={**self.rules, kind: rule})

    def with_attempts(self, number: int, kinds: Iterable[FailureKind]) -> "RetryPolicy":
        """This policy with so many attempts in all after failures of some kinds; what got nothing until now
        is tried again as it is.
        """
        policy = self
        for kind in kinds:
            rule = self.rule(kind)
            remedy = Remedy.AGAIN if rule.remedy is Remedy.NOTHING else rule.remedy
            policy = policy.with_rule(kind, evolve(rule, remedy=remedy, attempts=number))
        return policy

    def rule(self, kind: FailureKind) -> Rule:
        """The rule for a kind."""
        return self.rules.get(kind, Rule())

    def decide(
        self,
        kind: FailureKind,
        attempts: int,
        resources: Resources,
        *,
        files: int = 0,
        peak_memory_mb: float | None = None,
    ) -> Decision:
        """Decide about one failed task.

        Args:
            kind: Why its last attempt failed.
            attempts: How many attempts it has had.
            resources: What the last attempt had asked for.
            files: Number of its input files: one alone cannot be split.
            peak_memory_mb: What the last attempt is known to have used [MB].
        Returns:
            The decision; ``nothing`` also when more of what was missing cannot be had.
        """
        rule = self.rule(kind)
        match rule.remedy:
            case Remedy.SPLIT if files > 1:
                # Splitting ends by itself: each half has fewer files.
                return Decision(Remedy.SPLIT, resources, rule.delay.total_seconds())
            case _ if attempts >= rule.attempts:
                return Decision(Remedy.NOTHING, resources)
            case Remedy.MORE_MEMORY:
                more = self._more_memory(resources, peak_memory_mb)
            case Remedy.MORE_TIME:
                more = self._more_time(resources)
            case Remedy.AGAIN | Remedy.WAIT | Remedy.SPLIT:
                more = resources
            case _:
                more = None
        if more is None:
            return Decision(Remedy.NOTHING, resources)
        return Decision(Remedy.AGAIN, more, rule.delay.total_seconds())

    def _more_memory(self, resources: Resources, peak_memory_mb: float | None) -> Resources | None:
        asked = resources.memory_mb
        base = asked if asked is not None else peak_memory_mb
        if base is None:
            return None
        more = min(int(base * self.memory_factor) + 1, self.memory_cap_mb)
        if asked is not None and more <= asked:
            return None
        return evolve(resources, memory_mb=more)

    def _more_time(self, resources: Resources) -> Resources | None:
        asked = resources.walltime
        if asked is None:
            return None
        more = min(asked * self.time_factor, self.walltime_cap)
        return evolve(resources, walltime=more) if more > asked else None
