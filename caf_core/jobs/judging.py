"""What is true about each task of a job follows from the evidence; what a failure brings, from the policy."""

from collections.abc import Mapping
from heapq import heappush
from math import isnan, nan
from typing import Any

from caf_core.jobs.backend import Report, SchedulerState
from caf_core.jobs.book import TaskBook
from caf_core.jobs.columns import (
    COMPLETED,
    FAILED,
    INIT,
    KIND_NUMBER,
    RUNNING,
    STATE_NUMBER,
    STATES,
    SUBMITTED,
)
from caf_core.jobs.effects import AskSoon, Cancel, Out, Release, SplitTask
from caf_core.jobs.evidence import Evidence, Verdict, judge
from caf_core.jobs.ledger import FailureKind, TaskState
from caf_core.jobs.retry import OWN, Remedy
from caf_core.jobs.task import Resources
from caf_core.text import clause

MORE = (FailureKind.OUT_OF_MEMORY, FailureKind.WALLTIME)
"""What a held task can be given more of."""


class JudgedBook(TaskBook):
    """A book into which news are entered after judgement."""

    def _hear(self, out: Out, position: int, report: Report, now: float) -> None:
        """Take a report in, and judge."""
        record = report.record
        if record is not None and record.get("token") == out.token and record.get("position") == position:
            self._judge(out, position, now, record, report)
            return
        match report.state:
            case SchedulerState.UNKNOWN:
                return
            case SchedulerState.ENDED:
                out.gone.setdefault(position, now)
                out.reports[position] = report
            case SchedulerState.HELD:
                out.gone.pop(position, None)
                out.held.setdefault(position, now)
                out.reports[position] = report
            case _:
                for memory in (out.gone, out.held, out.reports):
                    memory.pop(position, None)
        self._judge(out, position, now, None, report)

    def _miss(self, out: Out, position: int, now: float) -> None:
        """The scheduler answered, and did not list the task."""
        out.gone.setdefault(position, now)
        self._judge(out, position, now)

    def _judge(
        self,
        out: Out,
        position: int,
        now: float,
        record: Mapping[str, Any] | None = None,
        report: Report | None = None,
    ) -> None:
        """Let the evidence speak, and act on it."""
        rows, index = self.rows, out.tasks[position]
        report = report or out.reports.get(position)
        record = record or out.unexplained.get(position)
        evidence = Evidence(
            rows.attempt[index],
            STATES[rows.state[index]],
            record,
            report,
            out.gone.get(position),
            out.held.get(position),
            out.scanned_at,
            self._grace,
            self.terms.held_for,
            out.cancelling,
            self._asks,
        )
        verdict = judge(evidence, now)
        if verdict.ask:
            assert record is not None  # noqa: S101 - only a record asks for more
            out.unexplained[position] = record
            self._effects.append(AskSoon())
        if verdict.scan_from is not None:
            out.scan_at = min(out.scan_at, verdict.scan_from)
        if report is not None:
            rows.set_memory(index, report.peak_memory_mb)
            if report.host:
                rows.set_host(index, report.host)
        if verdict.remove:
            if self._release(out, position, verdict):
                return
            self._effects.append(Cancel(out.token, (out.id_of(position),)))
        if verdict.state in (TaskState.COMPLETED, TaskState.FAILED):
            self._end(out, position, verdict, record, now)
        else:
            self._go_on(index, verdict, now)

    def _go_on(self, index: int, verdict: Verdict, now: float) -> None:
        """The task has not ended; note where it is."""
        rows, state = self.rows, STATE_NUMBER[verdict.state]
        news = rows.set_reason(index, verdict.reason)
        if state != rows.state[index]:
            rows.state[index] = state
            if state == SUBMITTED:
                rows.started[index] = nan
            news = True
        if state == RUNNING and isnan(rows.started[index]):
            rows.started[index] = now
        if news:
            self._mark(index)

    def _end(
        self, out: Out, position: int, verdict: Verdict, record: Mapping[str, Any] | None, now: float
    ) -> None:
        """The attempt has ended."""
        index = out.tasks[position]
        if record is not None:
            self.rows.take_record(index, record)
        else:
            if (report := out.reports.get(position)) is not None:
                self.rows.set_exit(index, report.exit_code, report.signal)
            if isnan(self.rows.ended[index]):
                self.rows.ended[index] = now
        if verdict.state is TaskState.COMPLETED:
            self.rows.set_reason(index, self._holds(index))
            self.rows.state[index] = COMPLETED
            self._mark(index)
            out.open -= 1
            return
        words = (
            verdict.reason
            if record is not None
            else "; ".join(map(clause, filter(None, (verdict.reason, out.broken.get(position)))))
        )
        words = "; ".join(map(clause, filter(None, (words, self._holds(index)))))
        self._fail(out, position, verdict.failure or FailureKind.EXIT_CODE, words, now)

    def _fail(
        self, out: Out, position: int, kind: FailureKind, reason: str, now: float, *, final: bool = False
    ) -> None:
        """An attempt failed: keep that, and decide what comes next."""
        rows, index = self.rows, out.tasks[position]
        rows.state[index], rows.failure[index] = FAILED, KIND_NUMBER[kind]
        rows.set_reason(index, reason)
        out.open -= 1
        for memory in (out.gone, out.held, out.unexplained):
            memory.pop(position, None)
        self._mark(index)
        if not final:
            self.decide(index, now)

    def _release(self, out: Out, position: int, verdict: Verdict) -> bool:
        """Let a held task go on with more of what it lacks, if backend and policy allow."""
        if not self.terms.capabilities.releases or verdict.failure not in MORE:
            return False
        rows, index = self.rows, out.tasks[position]
        decision = self.terms.retry.decide(
            verdict.failure, self._attempts(index), self._asked(index), peak_memory_mb=rows.memory(index)
        )
        if decision.remedy is not Remedy.AGAIN or decision.resources == self._asked(index):
            return False
        self._released.setdefault(index, []).append(_more(decision.resources))
        for memory in (out.held, out.reports, out.unexplained):
            memory.pop(position, None)
        self._given[index] = decision.resources
        self._effects.append(Release(out.token, (out.id_of(position),), decision.resources))
        rows.state[index] = SUBMITTED
        rows.set_reason(index, f"released again with {_more(decision.resources)}: {verdict.reason}")
        self._mark(index)
        return True

    def _holds(self, index: int) -> str:
        """What was done about holds of the current attempt, for people."""
        given = self._released.get(index) if index in self._given else None
        return f"was held, and released with {', then '.join(given)}" if given else ""

    def _attempts(self, index: int) -> int:
        """How many attempts the policy counts; a release counts as one.

        The number of an attempt goes on counting where an earlier job in the same place ended; the policy
        counts this job's.
        """
        first = self._forgiven.get(index, self.terms.first_attempt - 1)
        return self.rows.attempt[index] - first + len(self._released.get(index, ()))

    def decide(self, index: int, now: float) -> None:
        """Ask the policy about a task that failed, and do what it says."""
        rows, policy = self.rows, self.terms.retry
        change = self.change(index)
        kind = change.failure or FailureKind.EXIT_CODE
        counts = policy.quarantine or policy.rule(kind).remedy is Remedy.SPLIT
        files = self._count_files(index) if counts else 0
        decision = policy.decide(
            kind, self._attempts(index), self._asked(index), files=files, peak_memory_mb=change.peak_memory_mb
        )
        if kind is FailureKind.SUBMISSION or decision.remedy is Remedy.NOTHING:
            if files == 1 and kind in OWN:
                self._aside.add(index)
            return
        self._dirty[index << 16 | rows.attempt[index]] = change
        if decision.remedy is Remedy.SPLIT:
            self._split(index, files, decision.resources)
            return
        rows.state[index], rows.position[index] = INIT, ~rows.position[index]
        self._wishes[index] = decision.resources
        if decision.delay:
            heappush(self._delayed, (now + decision.delay, index))
        else:
            self.enqueue(index)

    def _split(self, index: int, files: int, resources: Resources) -> None:
        children = (len(self.rows), len(self.rows) + 1)
        first = (files + 1) // 2
        self.add_children(index, children, (first, files - first))
        self._effects.append(SplitTask(index, children))
        for child in children:
            self._wishes[child] = resources
            self.enqueue(child)


def _more(resources: Resources) -> str:
    """What a released task may use, for people."""
    parts = [f"{resources.memory_mb} MB"] if resources.memory_mb is not None else []
    parts += [str(resources.walltime)] if resources.walltime is not None else []
    return ", ".join(parts)
