"""The base class of strategies."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from attrs import define, frozen

from caf_core.calibration.plans import Past, Plan
from caf_core.iov import ExpRun, IoV


@frozen
class Known:
    """What is known of an algorithm and its data before anything is collected.

    Args:
        finds_boundaries: Whether the algorithm can be asked for boundaries.
        requested: The interval that was asked for, if any.
        runs: Runs that will have data, as far as that is known, each with the name of its input file.
    """

    finds_boundaries: bool = False
    requested: IoV | None = None
    runs: tuple[tuple[ExpRun, str], ...] = ()


@define(kw_only=True)
class AlgorithmStrategy(ABC):
    """Decides on which runs an algorithm is executed and for which interval its payloads hold.

    A strategy is an attrs class; its fields are its parameters (``algorithm.params`` in the words of basf2).
    """

    usable_granularities: ClassVar[frozenset[str]] = frozenset({"run", "all"})
    """What the collections may offer: data kept run by run (``run``) or all together (``all``)."""

    def check(self, known: Known) -> None:  # noqa: B027 - a strategy may leave it as it is
        """Refuse what cannot work; called before anything is submitted, and by ``caf run --check``.

        Args:
            known: What is known of the algorithm and its data.
        Raises:
            ConfigurationError: If the parameters do not fit.
        """

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
