"""Under which terms a job is followed."""

from attrs import field, frozen

from caf_core.jobs.agenda import NEVER
from caf_core.jobs.backend import Capabilities
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.task import Resources

QUIET_SCAN = 30.0
"""How often records are read although the backend tells of every ending itself [s]: a word may be lost."""

QUIET_SEARCH = 300.0
"""How often a backend that tells of every ending itself is asked what it still has [s], for the same
reason.
"""


@frozen
class Terms:
    """Under which terms a job is followed.

    Args:
        capabilities: What its backend can do.
        resources: What its tasks ask for at first.
        retry: What failures get.
        min_fraction: The part of the tasks that must succeed.
        first_attempt: The number of the first attempts.
        scan_interval: How often records are read [s].
    """

    capabilities: Capabilities = field(factory=Capabilities)
    resources: Resources = field(factory=Resources)
    retry: RetryPolicy = field(factory=RetryPolicy)
    min_fraction: float = 1.0
    first_attempt: int = 1
    scan_interval: float = 1.0

    @property
    def scan_every(self) -> float:
        """How often the records of a submission are read [s]."""
        return self.scan_interval if self.capabilities.poll_interval is not None else QUIET_SCAN

    @property
    def search_every(self) -> float:
        """How often the backend is asked what it still has of a submission [s]."""
        return NEVER if self.capabilities.poll_interval is not None else QUIET_SEARCH

    @property
    def search_again_after(self) -> float:
        """How long a scheduler that did not answer a search is left alone [s]."""
        again = self.capabilities.find_again_after
        return QUIET_SCAN if again is None else min(QUIET_SCAN, again.total_seconds())

    @property
    def held_for(self) -> float:
        """How long a task may be held [s]."""
        return self.retry.held_for.total_seconds()
