"""The state of a job's tasks: events in, effects out; no clock, no files, no threads.

The shell (``caf_core.jobs.service``) tells a tracker what happened, with the time, and then takes effects and
changes from it.
"""

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from caf_core.jobs.agenda import NEVER
from caf_core.jobs.backend import Report, SchedulerState
from caf_core.jobs.columns import COMPLETED, FAILED, INIT, RUNNING, SUBMITTED
from caf_core.jobs.effects import (
    AskSoon,
    Cancel,
    Out,
    Phase,
    Reissue,
    ScanRecords,
    Search,
    Settle,
    Start,
    known_ids,
)
from caf_core.jobs.judging import JudgedBook
from caf_core.jobs.ledger import FailureKind, IntentState
from caf_core.jobs.terms import Terms
from caf_core.text import clause

__all__ = ["Terms", "Tracker"]

_LIVE = {SchedulerState.QUEUED: SUBMITTED, SchedulerState.RUNNING: RUNNING}


FIRST_LOOK = 5.0
"""How long after a submission the scheduler is asked for the first time what became of it [s]."""

FAILED_SCAN = 2.0
"""How long a folder of records that could not be read is left alone [s]."""


class Tracker(JudgedBook):
    """Follows every task of one job from its submission to its end.

    Args:
        size: Number of tasks.
        terms: The terms.
        count_files: How many input files a task has; asked only when it may be split.
    """

    def begin(self) -> None:
        """A new job: every task waits."""
        self._pending[self.terms.resources] = deque(range(self.originals))

    # The life of submissions

    def next_submission(self, room: int | None, new_token: Callable[[], str]) -> Start | None:
        """Cut the next submission from the tasks that wait.

        Args:
            room: How many tasks may be added to the backend; ``None`` for any number.
            new_token: Makes an unused token.
        """
        limits = [limit for limit in (room, self.terms.capabilities.array_limit) if limit is not None]
        for resources, waiting in self._pending.items():  # noqa: B007 - used after the loop
            count = min([len(waiting), *limits])
            if count > 0:
                break
        else:
            return None
        tasks = array("i", (waiting.popleft() for _ in range(count)))
        out = Out(len(self.outs), new_token(), tasks, resources, open=count, issues=1)
        self.add(out)
        rows = self.rows
        for position, index in enumerate(tasks):
            attempt = max(rows.attempt[index] + 1, self.terms.first_attempt)
            rows.begin(index, out.number, position, attempt)
        return Start(out.token, tuple(tasks), tuple(rows.attempt[index] for index in tasks), resources)

    def issued(self, token: str, ids: Sequence[str] | Mapping[int, str], now: float) -> None:
        """The scheduler took a submission, or was found to have it."""
        out = self.open.get(token)
        if out is None or out.phase is Phase.ISSUED:
            return
        out.phase = Phase.ISSUED
        out.ids = dict(ids) if isinstance(ids, Mapping) else tuple(ids)
        out.issue_at = NEVER
        out.search_at = now + self.terms.search_every
        out.scan_at = min(out.scan_at, now + self.terms.scan_every)
        self._effects.append(Settle(token, IntentState.ISSUED, known_ids(ids)))
        rows = self.rows
        for index in out.tasks:
            if rows.submission[index] == out.number and rows.position[index] >= 0:
                # What has ended already is told again, because its id is known now.
                if rows.state[index] == INIT:
                    rows.state[index] = SUBMITTED
                    rows.set_reason(index, "")
                self._mark(index)
        if isinstance(ids, Mapping):
            self._left_out(out, ids, now)
        if out.cancelling:
            self._effects.append(Cancel(token, known_ids(ids)))
        if self._asks:
            self._effects.append(AskSoon(FIRST_LOOK))
        self._close_if_done(out)

    def refused(
        self, token: str, reason: str, now: float, kind: FailureKind = FailureKind.SUBMISSION
    ) -> None:
        """The scheduler, or the file system, refused a submission for good: its tasks fail."""
        out = self.open.get(token)
        if out is None:
            return
        kind = FailureKind.CANCELLED if out.cancelling else kind
        for position in self._unended(out):
            self._fail(out, position, kind, reason, now, final=True)
        self._effects.append(Settle(token, IntentState.REFUSED))
        self._drop(out)

    def doubtful(
        self,
        token: str,
        problem: str,
        now: float,
        *,
        again: bool = True,
        kind: FailureKind = FailureKind.SUBMISSION,
        full: bool = False,
    ) -> None:
        """Nobody answered: the scheduler is asked for the token before anything else is done.

        Args:
            token: The submission.
            problem: What happened.
            now: The time.
            again: Whether it makes sense to issue it again when it is not there.
            kind: Whose rule says how often and when: ``submission``, or ``credentials`` if one has expired.
            full: Whether there was no room: it is tried until there is.
        """
        out = self.open.get(token)
        if out is None or out.phase is not Phase.INTENDED:
            return
        out.phase, out.problem, out.certain, out.misses = Phase.DOUBTFUL, problem, again, 0
        out.kind, out.full = kind, full
        out.doubted_at = min(out.doubted_at, now)
        self._say(out, problem)
        # Records may prove what the scheduler does not say.
        out.scan_at = now
        out.search_at = now
        self._close_if_done(out)

    def found(self, token: str, ids: Mapping[int, str], now: float) -> None:
        """The scheduler answered a search."""
        out = self.open.get(token)
        if out is None:
            return
        if out.phase is Phase.ISSUED:
            # What the backend no longer has must have a record, or is lost.
            out.search_at = now + self.terms.search_every
            self._left_out(out, ids, now)
        elif out.phase is Phase.DOUBTFUL:
            if ids:
                self.issued(token, ids, now)
            else:
                self._missed(out, now)

    def search_failed(self, token: str, now: float) -> None:
        """The scheduler did not answer a search; this counts for nothing."""
        out = self.open.get(token)
        if out is not None:
            out.search_at = now + self.terms.search_again_after

    def _missed(self, out: Out, now: float) -> None:
        again_after = self.terms.capabilities.find_again_after
        out.misses += 1
        if again_after is not None and out.misses < 2:
            wait = again_after.total_seconds()
            out.search_at = now + wait
            said = out.problem or "nobody knows whether the scheduler has it"
            self._say(out, f"{clause(said)}; it is not there, and is searched once more in {wait:.0f} s")
            return
        policy = self.terms.retry
        rule = policy.rule(out.kind)
        tired = out.issues >= rule.attempts and now - out.doubted_at >= policy.patience.total_seconds()
        if out.open < len(out.tasks):
            # A record proves that it was accepted; what the scheduler has forgotten must have one too, or is
            # lost.
            self.issued(out.token, {}, now)
        elif out.cancelling or not out.certain or (tired and not out.full):
            problem = out.problem or "the scheduler does not have the submission"
            self.refused(out.token, problem, now, out.kind)
        else:
            room_after = self.terms.capabilities.check_interval
            delay = (room_after if out.full else rule.delay).total_seconds()
            out.issue_at = now + (delay if out.issues else 0.0)

    def _say(self, out: Out, reason: str) -> None:
        """Let everybody know why the tasks of a submission wait."""
        for index in out.tasks:
            waits = self.rows.submission[index] == out.number and self.rows.state[index] == INIT
            if waits and self.rows.set_reason(index, reason):
                self._mark(index)

    def _left_out(self, out: Out, ids: Mapping[int, str], now: float) -> None:
        for position in self._unended(out):
            if position not in ids:
                self._miss(out, position, now)
        self._close_if_done(out)

    # News of tasks

    def reported(self, token: str, reports: Mapping[int, Report], now: float) -> None:
        """The scheduler said something about tasks of a submission."""
        out = self.open.get(token)
        if out is None:
            return
        for position, report in reports.items():
            if self._current(out, position):
                self._hear(out, position, report, now)
        self._close_if_done(out)

    def polled(self, token: str, answers: Mapping[int, Report | None], now: float) -> None:
        """The scheduler answered a query about tasks of a submission; ``None`` where it did not list a
        task.
        """
        out = self.open.get(token)
        if out is None:
            return
        rows, tasks = self.rows, out.tasks
        for position, report in answers.items():
            if not self._current(out, position):
                continue
            index = tasks[position]
            if report is None:
                self._miss(out, position, now)
            elif (
                _LIVE.get(report.state) != rows.state[index]
                or rows.reasons.get(index, "") != report.reason
                or position in out.gone
                or position in out.held
                or position in out.unexplained
            ):
                # Thousands of tasks are usually where they were; only news are worth a judgement.
                self._hear(out, position, report, now)
        self._close_if_done(out)

    def recorded(
        self,
        token: str,
        records: Mapping[int, Mapping[str, Any]],
        broken: Mapping[int, str],
        began: float | None,
        now: float,
        claims: Mapping[int, str] | None = None,
    ) -> None:
        """Records were read.

        Args:
            token: The submission.
            records: Those that are new, by position.
            broken: Those that cannot be read, with what is wrong.
            began: When the reading began; ``None`` if it failed, and so proves nothing.
            now: The time.
            claims: Which of the scheduler's jobs claimed a task, by position, where that was asked.
        """
        out = self.open.get(token)
        if out is None:
            return
        out.scanning = False
        out.broken = dict(broken)
        out.scan_at = NEVER if out.phase is Phase.INTENDED else now + self.terms.scan_every
        if began is not None:
            out.scanned_at = began
        if began is not None:
            for position in [place for place in out.unexplained if place not in records]:
                del out.unexplained[position]  # the scheduler executes the task again, which begins with that
        for position, record in records.items():
            if self._current(out, position):
                self._judge(out, position, now, record)
        self._follow_claims(out, claims or {})
        for position in list(out.gone):
            if self._current(out, position):
                self._judge(out, position, now)
        if began is None:
            # What waits for a complete reading asks for one at once; a folder that cannot be read gets time.
            out.scan_at = max(out.scan_at, now + min(self.terms.scan_every, FAILED_SCAN))
        self._close_if_done(out)

    def _follow_claims(self, out: Out, claims: Mapping[int, str]) -> None:
        """What was accepted twice is executed once: by whoever claimed it, and that one is to be asked
        about.
        """
        for position, owner in claims.items():
            if position in out.gone and owner and owner != out.id_of(position):
                out.ids = dict(out.ids if isinstance(out.ids, Mapping) else enumerate(out.ids))
                out.ids[position] = owner
                del out.gone[position]
                out.reports.pop(position, None)
                self._mark(out.tasks[position])
                self._effects.append(AskSoon())

    def released(self, token: str, ids: Sequence[str], problem: str, now: float) -> None:
        """Held tasks could not be released: they are removed and have failed."""
        out = self.open.get(token)
        if out is None:
            return
        for position in [place for place in self._unended(out) if out.id_of(place) in ids]:
            self._effects.append(Cancel(token, (out.id_of(position),)))
            self._fail(out, position, FailureKind.OUT_OF_MEMORY, problem, now)
        self._close_if_done(out)

    def tick(self, now: float) -> None:
        """Time has passed."""
        self._queue_due(now)
        for out in list(self.open.values()):
            if out.search_at <= now:
                out.search_at = NEVER
                self._effects.append(Search(out.token))
            if out.issue_at <= now:
                out.issue_at = NEVER
                out.phase = Phase.INTENDED
                out.issues += 1
                self._effects.append(Reissue(out.token))
            if out.scan_at <= now and not out.scanning:
                out.scanning = True
                self._effects.append(ScanRecords(out.token, tuple(out.gone)))
            for position in [
                place for place, since in out.held.items() if since + self.terms.held_for <= now
            ]:
                self._judge(out, position, now)
            self._close_if_done(out)

    def outstanding(self) -> Iterator[tuple[str, int, str]]:
        """Token, position and id of every task that the scheduler may be asked about."""
        rows = self.rows
        for out in self.open.values():
            if out.phase is not Phase.ISSUED:
                continue
            for position, index in enumerate(out.tasks):
                if rows.submission[index] == out.number and rows.state[index] in (SUBMITTED, RUNNING):
                    identity = out.id_of(position)
                    if identity:
                        yield out.token, position, identity

    # The user's wishes

    def cancel(self, now: float) -> None:
        """End what is out, and do not begin what waits."""
        self._cancel_waiting()
        for out in list(self.open.values()):
            out.cancelling = True
            if out.issue_at != NEVER:
                self.refused(out.token, "cancelled", now)
            elif out.phase is Phase.ISSUED:
                self._end_those(out, self._unended(out))

    def cancel_tasks(self, indices: Iterable[int]) -> None:
        """Tell the scheduler to end some tasks; once it has, they have failed."""
        wanted = frozenset(indices)
        for out in self.open.values():
            self._end_those(out, (place for place in self._unended(out) if out.tasks[place] in wanted))

    def cancel_failed(self, token: str, ids: Iterable[str]) -> None:
        """The scheduler could not be told to end these."""
        if (out := self.open.get(token)) is not None:
            out.untold |= frozenset(ids)

    def cancel_again(self, token: str) -> None:
        """Tell the scheduler once more what it could not be told, as far as that has not ended."""
        if (out := self.open.get(token)) is not None:
            untold, out.untold = out.untold, frozenset()
            self._end_those(out, (place for place in self._unended(out) if out.id_of(place) in untold))

    def _end_those(self, out: Out, positions: Iterable[int]) -> None:
        if ids := tuple(filter(None, map(out.id_of, positions))):
            self._effects.append(Cancel(out.token, ids))

    def retry_failed(self) -> None:
        """Submit what failed again, whatever the policy says."""
        rows = self.rows
        for index in range(len(rows)):
            if rows.state[index] == FAILED and index not in self.parents:
                self._forgiven[index] = rows.attempt[index]
                self._released.pop(index, None)
                rows.state[index] = INIT
                if rows.position[index] >= 0:
                    rows.position[index] = ~rows.position[index]
                self.enqueue(index)

    @property
    def completed(self) -> Iterator[int]:
        """The tasks that succeeded, in order; the halves of a split task stand in its place."""
        return (index for index in self.leaves() if self.rows.state[index] == COMPLETED)
