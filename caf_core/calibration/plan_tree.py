"""A plan and its parts, carried out with answers that come one by one, in any order.

Each plan is a node; the parts that it asked for are its children. Everything that an answer sets going is
worked off in one loop, so ten thousand parts that follow one another need no deep stack.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from attrs import define, field

from caf_core.calibration.carry_out import checked_verdict, no_request, take, without_boundaries
from caf_core.calibration.plans import (
    Answer,
    Commit,
    Execute,
    Executed,
    FindBoundaries,
    Parts,
    Plan,
    Request,
    Result,
    Verdict,
)
from caf_core.errors import AlgorithmError, CafError
from caf_core.iov import ExpRun
from caf_core.text import clause

Question = Execute | FindBoundaries
Reply = Executed | tuple[ExpRun, ...]

_DROPPED = Verdict(Result.FAILURE, "an earlier part failed")


@define(eq=False)
class Node:
    """One plan on its way.

    Args:
        plan: The plan.
        path: Where it stands in the tree; its questions' keys begin with it.
        parent: The plan that asked for this part, if it is one.
        position: Which of the parts it is.
        asked: How many questions and parts it has asked for.
        key: The key of the question that it waits for.
        question: What it waits for; nothing while it waits for parts.
        successes: Keys of executions that it may still commit.
        commits: What it and its parts committed, in canonical order.
        group: The parts that it waits for.
        verdict: How it ended.
    """

    plan: Plan
    path: str
    parent: Node | None = None
    position: int = 0
    asked: int = 0
    key: str = ""
    question: Question | None = None
    successes: set[str] = field(factory=set)
    commits: list[Commit] = field(factory=list)
    group: Group | None = None
    verdict: Verdict | None = None

    def next_path(self) -> str:
        """The path of the next thing that it asks for."""
        self.asked += 1
        return f"{self.path}/{self.asked - 1}"


@define(eq=False)
class Group:
    """Parts that were asked for together.

    Args:
        parts: The request.
        path: Its path.
        at_once: How many of them may be on their way at the same time.
        counting: How many of them count: all, unless one failed that makes those after it count for nothing.
        begun: Those that were begun, in order.
        ended: How many of those that count have ended.
    """

    parts: Parts
    path: str
    at_once: int
    counting: int
    begun: list[Node] = field(factory=list)
    ended: int = 0

    def begin_more(self, parent: Node) -> Iterator[Node]:
        """Begin as many parts as may be on their way now."""
        while len(self.begun) < self.counting and len(self.begun) - self.ended < self.at_once:
            position = len(self.begun)
            plan = self.parts.plans[position]
            node = Node(plan, f"{self.path}.{position}", parent, position)
            self.begun.append(node)
            yield node

    def end(self, node: Node, *, success: bool) -> list[Node]:
        """Note that a part ended; returns those that count for nothing any more."""
        self.ended += 1
        if success or not self.parts.stop_at_failure:
            return []
        self.counting = node.position + 1
        dropped = self.begun[self.counting :]
        del self.begun[self.counting :]
        self.ended = sum(part.verdict is not None for part in self.begun)
        return dropped


@define(eq=False)
class PlanTree:
    """Carries one plan out.

    Args:
        plan: The plan, not begun.
        path: The beginning of every key.
        parts_at_once: How many of these parts may be on their way at the same time.
        recorded: Answers that are known already, by key.
    """

    plan: Plan
    path: str
    parts_at_once: Callable[[Parts], int]
    recorded: Mapping[str, Reply] = field(factory=dict)
    _root: Node = field(init=False)
    _waiting: dict[str, Node] = field(init=False, factory=dict)
    _asked: list[tuple[str, Question]] = field(init=False, factory=list)
    _known: set[str] = field(init=False, factory=set)
    _ready: deque[tuple[Node, Answer]] = field(init=False, factory=deque)

    def __attrs_post_init__(self) -> None:
        """Plant the root."""
        self._root = Node(self.plan, self.path)

    @property
    def verdict(self) -> Verdict | None:
        """How the plan ended; None as long as it has not."""
        return self._root.verdict

    @property
    def waiting(self) -> dict[str, Question]:
        """The questions whose answers matter, by key, in the order in which they were asked."""
        return {key: node.question for key, node in self._waiting.items() if node.question}

    def waits_for(self, key: str) -> bool:
        """Whether the answer to this question matters."""
        return key in self._waiting

    def knows(self, key: str) -> bool:
        """Whether this question was ever asked."""
        return key in self._known

    @property
    def commits(self) -> tuple[Commit, ...]:
        """What was committed, in canonical order; complete when the plan has ended."""
        return tuple(self._root.commits)

    def start(self) -> list[tuple[str, Question]]:
        """Begin; returns the first questions with their keys."""
        self._ready.append((self._root, None))
        return self._work()

    def answer(self, key: str, reply: Reply) -> list[tuple[str, Question]]:
        """Take the answer to a waiting question; returns the questions that follow."""
        self._reply(self._waiting[key], reply)
        return self._work()

    def _work(self) -> list[tuple[str, Question]]:
        """Go on until everything waits for answers."""
        while self._ready:
            self._advance(*self._ready.popleft())
        asked, self._asked = self._asked, []
        return [(key, question) for key, question in asked if key in self._waiting]

    def _advance(self, node: Node, answer: Answer) -> None:
        """Send a plan its answer and deal with what it says next."""
        if node.verdict is not None:
            return  # It was dropped while it stood in the queue.
        request = self._send(node, answer)
        match request:
            case None:
                pass
            case Execute() | FindBoundaries():
                self._ask(node, request)
            case Commit():
                take(request, node.successes)
                node.commits.append(request)
                self._ready.appendleft((node, None))
            case Parts():
                group = Group(
                    request, node.next_path(), max(1, self.parts_at_once(request)), len(request.plans)
                )
                node.group = group
                self._go_on(node, group)
            case _:
                raise no_request(request)

    def _send(self, node: Node, answer: Answer) -> Request | None:
        """The plan's next request; None if it ended."""
        try:
            return node.plan.send(answer)
        except StopIteration as end:
            self._end(node, checked_verdict(end.value))
            return None
        except CafError:
            raise
        except Exception as error:
            raise AlgorithmError(f"the strategy broke: {type(error).__name__}: {clause(error)}") from error

    def _ask(self, node: Node, question: Question) -> None:
        key = node.key = node.next_path()
        self._known.add(key)
        node.question = question
        if key in self.recorded:
            self._reply(node, self.recorded[key])
        else:
            self._waiting[key] = node
            self._asked.append((key, question))

    def _reply(self, node: Node, reply: Reply) -> None:
        """Hand an answer to the plan that waits for it; a wrong one leaves it waiting."""
        asked_to_execute = isinstance(node.question, Execute)
        if isinstance(reply, Executed) and not asked_to_execute:
            verdict = without_boundaries(reply)
            self._stop_waiting(node)
            node.plan.close()
            self._end(node, verdict)
            return
        if isinstance(reply, Executed) is not asked_to_execute:
            raise TypeError(f"{node.key} is the key of {node.question!r}, which {reply!r} does not answer.")
        if isinstance(reply, Executed) and reply.result.success:
            node.successes.add(reply.key)
        self._stop_waiting(node)
        self._ready.append((node, reply))

    def _stop_waiting(self, node: Node) -> None:
        node.question = None
        self._waiting.pop(node.key, None)

    def _end(self, node: Node, verdict: Verdict) -> None:
        """Note a plan's end, and let the one that asked for it go on."""
        node.verdict = verdict
        parent = node.parent
        if parent is None or parent.group is None:
            return
        for dropped in parent.group.end(node, success=verdict.result.success):
            self._drop(dropped)
        self._go_on(parent, parent.group)

    def _go_on(self, node: Node, group: Group) -> None:
        """Begin further parts, or answer the plan that asked for them if all have ended."""
        if group.ended < group.counting:
            self._ready.extend((part, None) for part in group.begin_more(node))
            return
        node.group = None
        for part in group.begun:
            node.commits.extend(part.commits)
        verdicts = tuple(part.verdict for part in group.begun if part.verdict is not None)
        self._ready.append((node, verdicts))

    def _drop(self, node: Node) -> None:
        """End a part that counts for nothing, and its own parts; their questions wait no longer."""
        node.plan.close()
        self._stop_waiting(node)
        if node.verdict is None:
            node.verdict = _DROPPED
        for part in node.group.begun if node.group else ():
            self._drop(part)
