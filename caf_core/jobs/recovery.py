"""A tracker made from what a ledger knows, after a restart."""

from collections.abc import Callable, Sequence

from caf_core.jobs.columns import COMPLETED, FAILED, INIT, SUBMITTED
from caf_core.jobs.effects import Out, Phase
from caf_core.jobs.files import Split
from caf_core.jobs.ledger import FailureKind, Intent, IntentState, JobRecord
from caf_core.jobs.task import Resources
from caf_core.jobs.tracker import Tracker


def restore(
    tracker: Tracker,
    record: JobRecord,
    splits: Sequence[Split],
    resources_of: Callable[[Intent], Resources],
    now: float,
) -> None:
    """Put a new tracker where the last one was.

    Whatever is not certain is looked for: an intent without answer at the scheduler, a task that was out in
    the records. A failed task is put before the policy once more, so that a retry that was decided but not
    begun is not forgotten.

    Args:
        tracker: A tracker of the job's size on which ``begin`` was not called.
        record: What the ledger knows.
        splits: The tasks that were split, from the job's files.
        resources_of: What the tasks of a submission asked for.
        now: The time.
    """
    for split in splits:
        tracker.add_children(split.parent, split.children, split.files)
        tracker.rows.state[split.parent] = FAILED
    for change in record.tasks.values():
        if change.index < len(tracker.rows):
            tracker.rows.load(change)
    for split in splits:
        tracker.rows.state[split.parent] = FAILED
    states = _restore_submissions(tracker, record, resources_of)
    _settle_tasks(tracker, states, now)
    for out, state in zip(tracker.outs, states, strict=True):
        _reopen(tracker, out, state, now)


def _restore_submissions(
    tracker: Tracker, record: JobRecord, resources_of: Callable[[Intent], Resources]
) -> list[IntentState]:
    """Make the submissions known; the last one that names a task has its current attempt."""
    rows = tracker.rows
    states = []
    for intent, state, ids in record.intents.values():
        out = Out(
            len(tracker.outs), intent.token, intent.tasks, resources_of(intent), phase=Phase.CLOSED, ids=ids
        )
        tracker.outs.append(out)
        states.append(state)
        for position, (index, attempt) in enumerate(zip(intent.tasks, intent.attempts, strict=True)):
            if attempt > rows.attempt[index]:
                # The ledger was not told more of this attempt than that it was intended.
                rows.begin(index, out.number, position, attempt)
            elif attempt == rows.attempt[index]:
                rows.submission[index], rows.position[index] = out.number, position
    return states


def _settle_tasks(tracker: Tracker, states: Sequence[IntentState], now: float) -> None:
    """Queue what waits, and find what is out."""
    rows = tracker.rows
    for index in range(len(rows)):
        state, number = rows.state[index], rows.submission[index]
        if state == COMPLETED or index in tracker.parents:
            continue
        if number < 0:
            if state != FAILED:
                rows.state[index] = INIT
                tracker.enqueue(index)
        elif state == FAILED:
            tracker.decide(index, now)
        elif states[number] is IntentState.REFUSED:
            tracker.mark_failed(index, FailureKind.SUBMISSION, "the submission was refused")
        else:
            tracker.outs[number].open += 1


def _reopen(tracker: Tracker, out: Out, state: IntentState, now: float) -> None:
    """Put a submission that is not done with on the agenda."""
    if not out.open:
        if state in (IntentState.INTENDED, IntentState.ISSUED):
            tracker.settle_ended(out.token)
        return
    tracker.open[out.token] = out
    out.scan_at = now
    if state is IntentState.INTENDED:
        out.phase, out.search_at = Phase.DOUBTFUL, now
        return
    out.phase = Phase.ISSUED
    for index in out.tasks:
        if tracker.rows.submission[index] == out.number and tracker.rows.state[index] == INIT:
            tracker.rows.state[index] = SUBMITTED
    if tracker.terms.capabilities.poll_interval is None:
        # A backend that notifies is asked once what it still has; it tells the rest by itself.
        out.search_at = now
