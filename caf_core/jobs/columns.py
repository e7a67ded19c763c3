"""The facts about all tasks of a job, in columns: some 40 bytes a task."""

from array import array
from collections.abc import Mapping
from math import isnan, nan
from typing import Any

from caf_core.jobs.ledger import FailureKind, TaskChange, TaskState

STATES = tuple(TaskState)
KINDS = tuple(FailureKind)
STATE_NUMBER = {state: number for number, state in enumerate(STATES)}
KIND_NUMBER = {kind: number + 1 for number, kind in enumerate(KINDS)}
INIT, SUBMITTED, RUNNING, FAILED, COMPLETED = range(5)
_NO_CODE = -(2**31)


class Columns:
    """One row a task; rows are only ever added.

    ``submission`` and ``position`` say where the current attempt stands: the number of a submission (-1 for
    none) and the line of its manifest.
    """

    __slots__ = (
        "_exit",
        "_host",
        "_host_names",
        "_hosts",
        "_memory",
        "_same",
        "attempt",
        "ended",
        "failure",
        "outputs",
        "position",
        "reasons",
        "started",
        "state",
        "submission",
    )

    def __init__(self, size: int = 0) -> None:
        self.state = bytearray()
        self.failure = bytearray()
        self.attempt = array("H")
        self.submission = array("i")
        self.position = array("i")
        self.started = array("d")
        self.ended = array("d")
        self._exit = array("i")
        self._memory = array("f")
        self._host = array("H")
        self._hosts: dict[str, int] = {"": 0}
        self._host_names = [""]
        self.reasons: dict[int, str] = {}
        self.outputs: dict[int, tuple[str, ...]] = {}
        self._same: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.extend(size)

    def __len__(self) -> int:
        return len(self.state)

    def extend(self, count: int) -> None:
        """Add rows of tasks that nothing is known about."""
        self.state.extend(bytes(count))
        self.failure.extend(bytes(count))
        for column, value in ((self.attempt, 0), (self._host, 0), (self._exit, _NO_CODE)):
            column.extend([value] * count)
        for column in (self.submission, self.position):
            column.extend([-1] * count)
        for times in (self.started, self.ended, self._memory):
            times.extend([nan] * count)

    def begin(self, index: int, submission: int, position: int, attempt: int) -> None:
        """A new attempt; what was known of the last one goes."""
        self.state[index] = INIT
        self.failure[index] = 0
        self.submission[index] = submission
        self.position[index] = position
        self.attempt[index] = attempt
        self.started[index] = self.ended[index] = self._memory[index] = nan
        self._exit[index] = _NO_CODE
        self._host[index] = 0
        self.reasons.pop(index, None)
        self.outputs.pop(index, None)

    def set_host(self, index: int, host: str) -> None:
        """Where the task executes; beyond 65,536 machines they are no longer told apart."""
        number = self._hosts.get(host)
        if number is None and len(self._hosts) < 65_536:
            number = self._hosts[host] = len(self._host_names)
            self._host_names.append(host)
        self._host[index] = number or 0

    def set_reason(self, index: int, reason: str) -> bool:
        """Say why; returns whether that is news."""
        if self.reasons.get(index, "") == reason:
            return False
        if reason:
            self.reasons[index] = reason
        else:
            del self.reasons[index]
        return True

    def set_exit(self, index: int, code: int | None, signal: int | None) -> None:
        """How it ended, as its record or its scheduler tells."""
        if code is None and signal:
            code = -signal
        self._exit[index] = _NO_CODE if code is None else code

    def take_record(self, index: int, record: Mapping[str, Any]) -> None:
        """Keep the facts of an exit record. A signal counts as a negative exit code, as in Python's own
        modules.
        """
        self.set_exit(index, record.get("exit_code"), record.get("signal"))
        self.started[index] = _number(record.get("started"))
        self.ended[index] = _number(record.get("ended"))
        self._memory[index] = _number(record.get("peak_memory_mb"))
        self.set_host(index, record.get("host") or "")
        self._set_outputs(index, tuple(record.get("outputs") or ()))

    def _set_outputs(self, index: int, names: tuple[str, ...]) -> None:
        """Keep the names of what a task left; those of most tasks are the same, and kept once."""
        self.outputs[index] = self._same.setdefault(names, names)

    def set_memory(self, index: int, peak_memory_mb: float | None) -> None:
        """Keep the peak memory as accounted, where the task itself did not say."""
        if peak_memory_mb is not None and isnan(self._memory[index]):
            self._memory[index] = peak_memory_mb

    def memory(self, index: int) -> float | None:
        """Peak memory [MB]."""
        return _optional(self._memory[index])

    def change(self, index: int, token: str = "", scheduler_id: str = "") -> TaskChange:
        """The row as others see it."""
        failure = self.failure[index]
        code = self._exit[index]
        return TaskChange(
            index,
            STATES[self.state[index]],
            self.attempt[index],
            token,
            scheduler_id,
            KINDS[failure - 1] if failure else None,
            None if code == _NO_CODE else code,
            self._host_names[self._host[index]],
            _optional(self._memory[index]),
            _optional(self.started[index]),
            _optional(self.ended[index]),
            self.reasons.get(index, ""),
            self.outputs.get(index),
        )

    def load(self, change: TaskChange) -> None:
        """Take a row over from a ledger."""
        index = change.index
        self.state[index] = STATE_NUMBER[change.state]
        self.failure[index] = KIND_NUMBER[change.failure] if change.failure else 0
        self.attempt[index] = change.attempt
        self._exit[index] = _NO_CODE if change.exit_code is None else change.exit_code
        self.started[index] = _number(change.started)
        self.ended[index] = _number(change.ended)
        self._memory[index] = _number(change.peak_memory_mb)
        self.set_host(index, change.host)
        if change.reason:
            self.reasons[index] = change.reason
        if change.outputs is not None:
            self._set_outputs(index, change.outputs)


def _number(value: float | None) -> float:
    return nan if value is None else float(value)


def _optional(value: float) -> float | None:
    return None if isnan(value) else value
