"""The book of a job's tasks: what waits, what is out, and where each task is."""

from collections import deque
from collections.abc import Callable, Iterator
from heapq import heappop

from caf_core.jobs.agenda import NEVER
from caf_core.jobs.columns import (
    COMPLETED,
    FAILED,
    KIND_NUMBER,
    KINDS,
    STATES,
    Columns,
)
from caf_core.jobs.effects import Effect, Out, Phase, Settle
from caf_core.jobs.ledger import FailureKind, IntentState, TaskChange, TaskState
from caf_core.jobs.task import Resources
from caf_core.jobs.terms import Terms


class TaskBook:
    """See ``Tracker``, which adds the life of submissions.

    A task that waits for its next attempt keeps the place of its last one with the position inverted
    (``~position``), so that late news of that attempt is told from news that count.
    """

    def __init__(self, size: int, terms: Terms, count_files: Callable[[int], int] = lambda _: 0) -> None:
        self.terms = terms
        self.rows = Columns(size)
        self.originals = size
        self.outs: list[Out] = []
        self.open: dict[str, Out] = {}
        self.weights: dict[int, float] = {}
        self.parents: dict[int, tuple[int, int]] = {}
        self._aside: set[int] = set()
        self._count_files = count_files
        self._pending: dict[Resources, deque[int]] = {}
        self._delayed: list[tuple[float, int]] = []
        self._wishes: dict[int, Resources] = {}
        self._given: dict[int, Resources] = {}
        self._released: dict[int, list[str]] = {}
        self._forgiven: dict[int, int] = {}
        self._dirty: dict[int, TaskChange | None] = {}
        self._effects: list[Effect] = []
        self._grace = terms.capabilities.grace.total_seconds()
        self._asks = terms.capabilities.poll_interval is not None

    @property
    def pending(self) -> int:
        """How many tasks wait to be submitted now."""
        return sum(map(len, self._pending.values()))

    @property
    def out(self) -> int:
        """How many tasks are at the backend, as far as is known."""
        return sum(out.open for out in self.open.values())

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return not self.open and not self._delayed and not self.pending

    @property
    def fraction(self) -> float:
        """The part of the tasks that succeeded; the halves of a split task count by their files."""
        if not self.originals:
            return 1.0
        done = self.rows.state.count(COMPLETED)
        less = sum(
            1.0 - weight for index, weight in self.weights.items() if self.rows.state[index] == COMPLETED
        )
        return (done - less) / self.originals

    @property
    def success(self) -> bool:
        """Whether enough succeeded; input files that were set aside are not missed."""
        spared = sum(self.weights.get(index, 1.0) for index in self.quarantined) / max(1, self.originals)
        return self.fraction + spared >= self.terms.min_fraction - 1e-9

    @property
    def quarantined(self) -> list[int]:
        """The tasks whose one input file is set aside; none if there are more than the policy allows."""
        failed = sorted(index for index in self._aside if self.rows.state[index] == FAILED)
        return failed if len(failed) <= self.terms.retry.quarantine else []

    @property
    def changed(self) -> int:
        """How many changes wait to be taken."""
        return len(self._dirty)

    def change(self, index: int) -> TaskChange:
        """What is known of one task."""
        place = self.place(index)
        if place is None:
            return self.rows.change(index)
        out = self.outs[self.rows.submission[index]]
        return self.rows.change(index, out.token, out.id_of(place[1]))

    def place(self, index: int) -> tuple[str, int] | None:
        """Token and position of a task's last attempt; ``None`` if it was never submitted."""
        number, position = self.rows.submission[index], self.rows.position[index]
        return None if number < 0 else (self.outs[number].token, position if position >= 0 else ~position)

    def knows_outputs(self) -> bool:
        """Whether it is known what every task left that has completed."""
        rows = self.rows
        return all(index in rows.outputs for index, state in enumerate(rows.state) if state == COMPLETED)

    def leaves(self) -> Iterator[int]:
        """The tasks that count, in order; the halves of a split task stand in its place."""

        def descend(index: int) -> Iterator[int]:
            children = self.parents.get(index)
            if children is None:
                yield index
            else:
                for child in children:
                    yield from descend(child)

        for index in range(self.originals):
            yield from descend(index)

    def counts(self) -> tuple[dict[TaskState, int], dict[FailureKind, int]]:
        """Tasks by state, and failed tasks by kind; a split task counts by its halves."""
        rows = self.rows
        counts = {state: rows.state.count(number) for number, state in enumerate(STATES)}
        counts[TaskState.FAILED] -= len(self.parents)
        failures: dict[FailureKind, int] = {}
        if counts[TaskState.FAILED]:
            for index, state in enumerate(rows.state):
                if state == FAILED and index not in self.parents:
                    kind = KINDS[rows.failure[index] - 1]
                    failures[kind] = failures.get(kind, 0) + 1
        return counts, failures

    def ended_positions(self, token: str) -> list[int]:
        """The lines of an open submission's manifest about which nothing more needs to be read."""
        out = self.open.get(token)
        if out is None:
            return []
        return [position for position in range(len(out.tasks)) if not self._current(out, position)]

    def take_effects(self) -> list[Effect]:
        """What is to be done now; each effect is given out once."""
        effects, self._effects = self._effects, []
        return effects

    def take_changes(self) -> list[TaskChange]:
        """What is new since the last call, in the order in which it became known, each attempt at most
        once.
        """
        dirty, self._dirty = self._dirty, {}
        return [self.change(key >> 16) if change is None else change for key, change in dirty.items()]

    # For the tracker

    def _mark(self, index: int) -> None:
        self._dirty[index << 16 | self.rows.attempt[index]] = None

    def enqueue(self, index: int) -> None:
        """Let a task wait for its next attempt."""
        resources = self._wishes.pop(index, None) or self._asked(index)
        self._given.pop(index, None)
        self._pending.setdefault(resources, deque()).append(index)

    def mark_failed(self, index: int, kind: FailureKind, reason: str) -> None:
        """A task failed for good without ever being out."""
        self.rows.state[index], self.rows.failure[index] = FAILED, KIND_NUMBER[kind]
        self.rows.set_reason(index, reason)
        self._mark(index)

    def settle_ended(self, token: str) -> None:
        """Nothing more is expected of a submission."""
        self._effects.append(Settle(token, IntentState.ENDED))

    def _queue_due(self, now: float) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            self.enqueue(heappop(self._delayed)[1])

    def _asked(self, index: int) -> Resources:
        number = self.rows.submission[index]
        if index in self._given:
            return self._given[index]
        return self.outs[number].resources if number >= 0 else self.terms.resources

    def _current(self, out: Out, position: int) -> bool:
        """Whether news about this line of the manifest is about an attempt that counts and has not ended."""
        if not 0 <= position < len(out.tasks):
            return False
        index, rows = out.tasks[position], self.rows
        return (
            rows.submission[index] == out.number
            and rows.position[index] == position
            and rows.state[index] not in (FAILED, COMPLETED)
        )

    def _unended(self, out: Out) -> list[int]:
        return [position for position in range(len(out.tasks)) if self._current(out, position)]

    def add_children(self, parent: int, children: tuple[int, int], files: tuple[int, int]) -> None:
        """Put two new tasks in the place of another; each weighs as much as its files."""
        weight = self.weights.get(parent, 1.0)
        self.rows.extend(2)
        self.parents[parent] = children
        for child, count in zip(children, files, strict=True):
            self.weights[child] = weight * count / sum(files)
        self.rows.set_reason(parent, f"split into tasks {children[0]} and {children[1]}")

    def add(self, out: Out) -> None:
        self.outs.append(out)
        if out.phase is not Phase.CLOSED:
            self.open[out.token] = out

    def _drop(self, out: Out) -> None:
        out.close()
        del self.open[out.token]

    def _close_if_done(self, out: Out) -> None:
        # A submission whose command has not come back stays open, although its tasks may have ended already.
        if out.open == 0 and out.phase in (Phase.ISSUED, Phase.DOUBTFUL) and out.token in self.open:
            self._effects.append(Settle(out.token, IntentState.ENDED))
            self._drop(out)

    def _cancel_waiting(self) -> None:
        waiting = [index for tasks in self._pending.values() for index in tasks] + [
            index for _, index in self._delayed
        ]
        self._pending.clear()
        self._delayed.clear()
        for index in sorted(waiting):
            self.mark_failed(index, FailureKind.CANCELLED, "cancelled before it was submitted")

    def next_deadline(self) -> float:
        """When ``tick`` is wanted next; infinity for never."""
        at_outs = min((out.deadline(self.terms.held_for) for out in self.open.values()), default=NEVER)
        return min(at_outs, self._delayed[0][0] if self._delayed else NEVER)
