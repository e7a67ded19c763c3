"""The states of a calibration, the one table of its transitions, and drawings of it."""

from collections.abc import Mapping
from enum import StrEnum

from attrs import frozen

from caf_core.errors import CheckpointError


class State(StrEnum):
    """Where a calibration is."""

    INIT = "init"
    RUNNING_COLLECTOR = "running_collector"
    COLLECTOR_COMPLETED = "collector_completed"
    COLLECTOR_FAILED = "collector_failed"
    RUNNING_ALGORITHMS = "running_algorithms"
    ALGORITHMS_COMPLETED = "algorithms_completed"
    ALGORITHMS_FAILED = "algorithms_failed"
    COMPLETED = "completed"
    FAILED = "failed"


CHECKPOINTS = frozenset({State.INIT, State.COLLECTOR_COMPLETED, State.COMPLETED})
"""The states from which a failed calibration can go on."""

END_STATES = frozenset({State.COMPLETED, State.FAILED})


@frozen
class Transition:
    """One row of the table: what has to happen (``trigger``) in ``source`` for ``target`` to be next."""

    trigger: str
    source: State
    target: State


TRANSITIONS: tuple[Transition, ...] = (
    Transition("submit_collector", State.INIT, State.RUNNING_COLLECTOR),
    Transition("complete_collector", State.RUNNING_COLLECTOR, State.COLLECTOR_COMPLETED),
    Transition("fail_collector", State.RUNNING_COLLECTOR, State.COLLECTOR_FAILED),
    Transition("run_algorithms", State.COLLECTOR_COMPLETED, State.RUNNING_ALGORITHMS),
    Transition("complete_algorithms", State.RUNNING_ALGORITHMS, State.ALGORITHMS_COMPLETED),
    Transition("fail_algorithms", State.RUNNING_ALGORITHMS, State.ALGORITHMS_FAILED),
    Transition("iterate", State.ALGORITHMS_COMPLETED, State.INIT),
    Transition("finish", State.ALGORITHMS_COMPLETED, State.COMPLETED),
    Transition("fail_fully", State.COLLECTOR_FAILED, State.FAILED),
    Transition("fail_fully", State.ALGORITHMS_FAILED, State.FAILED),
    Transition("refuse", State.INIT, State.FAILED),
    Transition("refuse", State.ALGORITHMS_COMPLETED, State.FAILED),
    Transition("refuse", State.COMPLETED, State.FAILED),
)


@frozen
class Machine:
    """The state machine of a calibration: a table, and nothing that can get out of step with it."""

    transitions: tuple[Transition, ...] = TRANSITIONS
    initial: State = State.INIT

    @property
    def states(self) -> tuple[State, ...]:
        """Every state of the table, the initial one first."""
        seen = [self.initial]
        for row in self.transitions:
            seen += [state for state in (row.source, row.target) if state not in seen]
        return tuple(seen)

    def triggers(self, source: State) -> tuple[str, ...]:
        """What can happen in a state."""
        return tuple(row.trigger for row in self.transitions if row.source == source)

    def target(self, source: State, trigger: str) -> State:
        """The state after ``trigger``.

        Raises:
            CheckpointError: If the table has no such row.
        """
        for row in self.transitions:
            if row.source == source and row.trigger == trigger:
                return row.target
        known = ", ".join(self.triggers(source)) or "nothing"
        raise CheckpointError(
            f"a calibration in state {source} cannot {trigger}; in that state it can: {known}."
        )

    def mermaid(self, current: Mapping[str, State] | None = None) -> str:
        """The machine as a Mermaid state diagram; ``current`` notes which calibrations are where."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial}"]
        lines += [f"    {row.source} --> {row.target}: {row.trigger}" for row in self.transitions]
        lines += [f"    {state} --> [*]" for state in self.states if state in END_STATES]
        for name, state in (current or {}).items():
            lines.append(f"    note right of {state}: {name}")
        return "\n".join(lines) + "\n"

    def dot(self, current: Mapping[str, State] | None = None) -> str:
        """The machine in Graphviz's language; states in which a calibration is are filled."""
        marked = set((current or {}).values())
        lines = ["digraph calibration {", "    rankdir=LR; node [shape=box, style=rounded];"]
        for state in self.states:
            style = ', style="rounded,filled"' if state in marked else ""
            shape = ", peripheries=2" if state in END_STATES else ""
            lines.append(f'    {state} [label="{state}"{shape}{style}];')
        lines += [f'    {row.source} -> {row.target} [label="{row.trigger}"];' for row in self.transitions]
        return "\n".join([*lines, "}"]) + "\n"
