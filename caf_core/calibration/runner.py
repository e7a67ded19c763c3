"""Runners carry out the plans of a calibration's algorithms, one algorithm after the other.

A runner is pure: it says what it wants to know (``Ask``), is told, and says what follows. Keys depend on
the plans alone, so answers that were recorded before a crash are simply given again. Its owner executes the
algorithms and stores what is committed.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from attrs import field, frozen

from caf_core.calibration.plan_tree import PlanTree, Question, Reply
from caf_core.calibration.plans import Commit, Parts, Past, Plan, Verdict
from caf_core.calibration.strategy import AlgorithmStrategy
from caf_core.errors import AlgorithmError, CafError
from caf_core.iov import ExpRun


@frozen
class PlannedAlgorithm:
    """An algorithm that a runner is to carry out.

    Args:
        index: Its place among the algorithms of the calibration; its keys begin with it.
        name: Its name, for people.
        strategy: Makes its plan.
        runs: Every run with data, sorted, each once; ignored ones are taken out already.
        past: What the previous iteration committed.
    """

    index: int
    name: str
    strategy: AlgorithmStrategy
    runs: tuple[ExpRun, ...]
    past: Past = field(factory=Past)


@frozen
class Ask:
    """Something that a runner wants to know.

    Args:
        key: Names the question: ``<algorithm>/<sequence number>``, with ``<sequence number>.<part>/``
            between for every plan that is a part of another.
        algorithm: The algorithm's index.
        request: The question.
    """

    key: str
    algorithm: int
    request: Question


class AlgorithmsRunner(ABC):
    """Carries out the plans of algorithms, one after the other; one that fails stops those after it.

    A subclass only says how many parts of a plan may be on their way at the same time. Whatever it says,
    the same answers lead to the same verdicts and commits.
    """

    def __init__(self) -> None:
        self._algorithms: list[PlannedAlgorithm] = []
        self._trees: list[PlanTree] = []
        self._done = 0
        self._failed = False

    @abstractmethod
    def parts_at_once(self, parts: Parts) -> int:
        """How many of these independent parts may be on their way at the same time."""

    def start(
        self, algorithms: Sequence[PlannedAlgorithm], recorded: Mapping[str, Reply] | None = None
    ) -> list[Ask]:
        """Begin with the first algorithm.

        Args:
            algorithms: The algorithms of the calibration, in order.
            recorded: Answers of an earlier process, by key; what they answer is not asked again. Keys that
                are never asked are ignored.
        Returns:
            The first questions.
        Raises:
            ConfigurationError: If a strategy's parameters do not fit its runs.
            AlgorithmError: If a strategy breaks the rules of plans.
        """
        answers = dict(recorded or {})
        self._algorithms = list(algorithms)
        self._trees = [
            PlanTree(_plan(one), str(one.index), self.parts_at_once, answers) for one in algorithms
        ]
        self._done = 0
        self._failed = False
        return [] if self.finished else self._follow(self._trees[0].start)

    def answer(self, key: str, answer: Reply) -> list[Ask]:
        """Take an answer.

        Args:
            key: The key of the question. An answer that is not needed any more, because it was given before
                or because an earlier part failed, changes nothing.
            answer: An ``Executed``, or a tuple of runs for ``FindBoundaries`` (an ``Executed`` that is no
                success if the algorithm could not find them: that ends the plan that asked).
        Returns:
            The questions that follow. Those of another algorithm come only after ``commits_of`` knows the
            last one's.
        Raises:
            KeyError: If there was no such question.
            TypeError: If the answer is not of the question's kind.
            AlgorithmError: If the strategy breaks the rules of plans.
        """
        if not self.finished and self._trees[self._done].waits_for(key):
            return self._follow(partial(self._trees[self._done].answer, key, answer))
        if not self.asked(key):
            raise KeyError(f"the runner never asked {key!r}")
        return []

    @property
    def finished(self) -> bool:
        """Whether every algorithm has ended, or one has failed."""
        return self._done == len(self._trees) or self._failed

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """How the algorithms ended, in order; shorter than their list while it goes on or if one failed."""
        return tuple(tree.verdict for tree in self._trees[: self._done] if tree.verdict)

    @property
    def commits(self) -> tuple[tuple[Commit, ...], ...]:
        """What each algorithm that has ended committed, in canonical order."""
        return tuple(tree.commits for tree in self._trees[: self._done])

    def commits_of(self, index: int) -> tuple[Commit, ...]:
        """What the algorithm with this index committed, in canonical order.

        Raises:
            KeyError: If it has not ended.
        """
        for algorithm, tree in zip(self._algorithms[: self._done], self._trees, strict=False):
            if algorithm.index == index:
                return tree.commits
        raise KeyError(f"algorithm {index} has not ended")

    def asked(self, key: str) -> bool:
        """Whether this question was ever asked."""
        return any(tree.knows(key) for tree in self._trees)

    @property
    def outstanding(self) -> tuple[Ask, ...]:
        """The questions whose answers matter now; what else was asked and not answered may be cancelled."""
        if self.finished:
            return ()
        index = self._algorithms[self._done].index
        return tuple(Ask(key, index, question) for key, question in self._trees[self._done].waiting.items())

    def _follow(self, step: Callable[[], list[tuple[str, Question]]]) -> list[Ask]:
        """Take a step in the current algorithm, and begin the next ones while they end without a question."""
        while True:
            algorithm, tree = self._algorithms[self._done], self._trees[self._done]
            try:
                asked = step()
            except AlgorithmError as error:
                raise AlgorithmError(f"algorithm {algorithm.name!r}: {error}", iov=error.iov) from error
            if tree.verdict is None:
                return [Ask(key, algorithm.index, question) for key, question in asked]
            self._done += 1
            self._failed = not tree.verdict.result.success
            if self.finished:
                return []
            step = self._trees[self._done].start


def _plan(algorithm: PlannedAlgorithm) -> Plan:
    try:
        return algorithm.strategy.plan(algorithm.runs, algorithm.past)
    except CafError:
        raise
    except Exception as error:
        message = f"algorithm {algorithm.name!r}: the strategy broke: {type(error).__name__}: {error}"
        raise AlgorithmError(message) from error


class SequentialRunner(AlgorithmsRunner):
    """Asks one thing at a time."""

    def parts_at_once(self, parts: Parts) -> int:  # noqa: ARG002 - the same for all
        """One."""
        return 1


class ParallelRunner(AlgorithmsRunner):
    """Asks for all independent parts of a plan at once."""

    def parts_at_once(self, parts: Parts) -> int:
        """All of them."""
        return len(parts.plans)
