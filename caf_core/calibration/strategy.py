"""The base class of strategies."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from attrs import define

from caf_core.calibration.plans import Past, Plan
from caf_core.iov import ExpRun


@define(kw_only=True)
class AlgorithmStrategy(ABC):
    """Decides on which runs an algorithm is executed and for which interval its payloads hold.

    A strategy is an attrs class; its fields are its parameters (``algorithm.params`` in the words of basf2).
    """

    usable_granularities: ClassVar[frozenset[str]] = frozenset({"run", "all"})
    """What the collections may offer: data kept run by run (``run``) or all together (``all``)."""

    @abstractmethod
    def plan(self, runs: Sequence[ExpRun], past: Past) -> Plan:
        """Make the plan for one algorithm in one iteration.

        Args:
            runs: Every run with data, sorted, without duplicates; ignored ones are taken out already.
            past: What the previous iteration committed.
        Returns:
            A generator of requests that returns a ``Verdict``.
        Raises:
            ConfigurationError: If the parameters do not fit the runs.
        """
