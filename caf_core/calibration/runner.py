"""Runners: how many tasks carry a plan out at the same time.

All executions of an algorithm in an iteration happen in one task, one after the other, unless its plan begins
with parts that do not depend on one another (experiments; runs in ``SimpleRunByRun``): then a runner may have
them carried out by several tasks, each of which gets neighbouring parts. Answers, keys and commits are the
same in any case. Algorithms of one calibration come one after the other; one that fails stops those after it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from caf_core.calibration.plans import Parts


class AlgorithmsRunner(ABC):
    """Decides how many parts of a plan are carried out at the same time."""

    @abstractmethod
    def parts_at_once(self, parts: Parts) -> int:
        """How many of these independent parts may be on their way at the same time, from 1.

        There are never more tasks than parts, nor than processors of this machine if that executes them, nor
        than 100 on a batch system.
        """


class SequentialRunner(AlgorithmsRunner):
    """One task carries everything out."""

    def parts_at_once(self, parts: Parts) -> int:  # noqa: ARG002 - the same for all
        """One."""
        return 1


class ParallelRunner(AlgorithmsRunner):
    """As many tasks as there are processors, or 100 on a batch system."""

    def parts_at_once(self, parts: Parts) -> int:
        """All of them."""
        return len(parts.plans)


def cut_parts(positions: Sequence[int], tasks: int) -> list[tuple[int, ...]]:
    """Parts for each of so many tasks: neighbours together, as evenly as it goes."""
    tasks = max(1, min(tasks, len(positions)))
    size, more = divmod(len(positions), tasks)
    cuts, begin = [], 0
    for number in range(tasks):
        end = begin + size + (number < more)
        cuts.append(tuple(positions[begin:end]))
        begin = end
    return cuts
