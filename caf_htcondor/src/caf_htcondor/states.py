"""What an event of the log means for a task: the report so far and an event in, the next report out.

The events are those of the manual:
https://htcondor.readthedocs.io/en/latest/codes-other-values/job-event-log-codes.html
"""

import re
from collections.abc import Callable, Mapping

from attrs import evolve

from caf_core.jobs.backend import Report, SchedulerState
from caf_core.jobs.ledger import FailureKind
from caf_htcondor.events import Event
from caf_htcondor.holds import failure_in_words, failure_of_hold, failure_of_removal, hold_in_words

SUBMITTED, CLUSTER_SUBMITTED, CLUSTER_REMOVED = 0, 35, 36

QUEUED = Report(SchedulerState.QUEUED)
"""A task of which nothing is known but that HTCondor has it."""

_USED = re.compile(r"Memory \(MB\)\s*:\s*(\d+)\s+\d+\s+\d+|^\s*(\d+)  -  MemoryUsage of job", re.M)
_ASKED = re.compile(r"Memory \(MB\)\s*:\s*(?:\d+\s+)?(\d+)\s+\d+\s*$", re.M)
_SLOT = re.compile(r"SlotName: \S*?@(\S+)")
_ADDRESS = re.compile(r"on host: <?(?:[^>]*[?&]alias=([^&>]+)|([^:>?\s]+))")
_RETURNED = re.compile(r"\((?:\d)\) \w+ termination \((return value|signal) (-?\d+)\)")
_NO_REASON = re.compile(r"^\(|^Usr |  -  |\s{2,}:|^Partitionable Resources|^Code \d")
_HOLD_CODE = re.compile(r"^Code (\d+) Subcode (\d+)$")


def after(report: Report, event: Event) -> Report:
    """The report after an event about its task; an event that says nothing new leaves it as it is."""
    means = _MEANING.get(event.number)
    return report if means is None else means(report, event)


def removed(reason: str) -> Report:
    """The report of a task that was removed."""
    return Report(SchedulerState.ENDED, reason=reason, failure=failure_of_removal(reason))


def held(code: int, subcode: int, reason: str) -> Report:
    """The report of a task that is held."""
    failure = failure_of_hold(code, subcode, reason)
    return Report(SchedulerState.HELD, reason=hold_in_words(code, subcode, reason), failure=failure)


def _live(state: SchedulerState) -> Callable[[Report, Event], Report]:
    def means(report: Report, event: Event) -> Report:  # noqa: ARG001 - as all of them
        return Report(state, host=report.host, peak_memory_mb=report.peak_memory_mb)

    return means


def _executing(report: Report, event: Event) -> Report:
    slot = _SLOT.search(event.text) or _ADDRESS.search(event.text)
    host = next(filter(None, slot.groups()), "") if slot else ""
    return Report(SchedulerState.RUNNING, host=host, peak_memory_mb=report.peak_memory_mb)


def _back_in_queue(report: Report, event: Event) -> Report:
    """Evicted, or its shadow or its machine was lost: HTCondor starts it again by itself."""
    said = [line for line in event.lines if line and not _NO_REASON.search(line)]
    title = event.text.split("\n", 1)[0].split(" ", 4)[-1].rstrip(".")
    reason = ": ".join([title, *said[:1]])
    peak = _peak(report, event)
    asked = _ASKED.search(event.text)
    if asked and failure_in_words(" ".join(said)) is FailureKind.OUT_OF_MEMORY:
        # It was measured from time to time only; it had more than it asked for.
        peak = max(peak or 0.0, float(asked[1]))
    return Report(SchedulerState.QUEUED, reason=reason, host=report.host, peak_memory_mb=peak)


def _ended(report: Report, event: Event) -> Report:
    how = _RETURNED.search(event.text)
    exit_code = signal = None
    if how and how[1] == "signal":
        signal = int(how[2])
    elif how:
        exit_code = int(how[2])
    return Report(
        SchedulerState.ENDED,
        exit_code=exit_code,
        signal=signal,
        reason=f"killed by signal {signal}" if signal is not None else f"exit code {exit_code}",
        host=report.host,
        peak_memory_mb=_peak(report, event),
    )


def _measured(report: Report, event: Event) -> Report:
    peak = _peak(report, event)
    return report if peak == report.peak_memory_mb else evolve(report, peak_memory_mb=peak)


def _aborted(report: Report, event: Event) -> Report:
    reason = next(iter(event.lines), "") or "removed from the queue"
    return evolve(removed(reason), host=report.host, peak_memory_mb=report.peak_memory_mb)


def _held(report: Report, event: Event) -> Report:
    code = subcode = 0
    reason: list[str] = []
    for line in event.lines:
        numbers = _HOLD_CODE.match(line)
        if numbers:
            code, subcode = map(int, numbers.groups())
        elif line:
            reason.append(line)
    return evolve(
        held(code, subcode, " ".join(reason)), host=report.host, peak_memory_mb=report.peak_memory_mb
    )


def _disconnected(report: Report, event: Event) -> Report:
    reason = next(iter(event.lines), "")
    return evolve(report, state=SchedulerState.RUNNING, reason=f"disconnected: {reason}")


def _peak(report: Report, event: Event) -> float | None:
    used = [float(first or second) for first, second in _USED.findall(event.text)]
    return max([*used, report.peak_memory_mb or 0.0]) or None


_MEANING: Mapping[int, Callable[[Report, Event], Report]] = {
    SUBMITTED: _live(SchedulerState.QUEUED),
    1: _executing,
    4: _back_in_queue,  # evicted
    5: _ended,
    6: _measured,
    7: _back_in_queue,  # its shadow died
    9: _aborted,
    10: _live(SchedulerState.SUSPENDED),
    11: _live(SchedulerState.RUNNING),
    12: _held,
    13: _live(SchedulerState.QUEUED),  # released
    22: _disconnected,
    23: _live(SchedulerState.RUNNING),  # reconnected
    24: _back_in_queue,  # could not be reconnected
}
