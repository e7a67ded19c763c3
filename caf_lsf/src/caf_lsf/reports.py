"""From a line of LSF to an answer about a task."""

from collections.abc import Iterable

from caf_core.jobs.backend import Report, SchedulerState
from caf_core.jobs.ledger import FailureKind
from caf_lsf import words
from caf_lsf.endings import LIMIT_SIGNALS, History
from caf_lsf.ids import split_id
from caf_lsf.listing import Job, host_of, megabytes_of

MANY = 20
"""Of so many elements of one array LSF is not asked one by one."""
MOST = 200
"""So many arguments a command of LSF gets at most."""

NO_ARRAY = "LSF took the array for a single job, which does nothing; set array_limit to a smaller number"


def report_of(job: Job, history: History | None = None) -> Report:
    """What a line of a listing says.

    Args:
        job: The line.
        history: What is known beyond it, if LSF was asked why the job ended.
    """
    # JSON may hold anything.
    job = Job(job.number, job.element, *(str(one) for one in job[2:]))
    state, host = words.STATES.get(job.state, SchedulerState.UNKNOWN), host_of(job.host)
    if state is not SchedulerState.ENDED:
        strange = "" if job.state in words.STATES else f"LSF says {job.state!r}, which is no known state"
        return Report(state, reason=words.MEANINGS.get(job.state, strange), host=host)
    memory = megabytes_of(job.memory)
    if job.state == "DONE":
        return Report(state, 0, host=host, peak_memory_mb=memory)
    # Some versions show 0 for a job that was ended by a signal.
    code = int(job.exit_code) if job.exit_code.isdecimal() and int(job.exit_code) else None
    if job.reason.startswith("TERM_"):
        failure = words.termination(job.reason.partition(":")[0])
        return Report(state, code, None, job.reason, failure, host, memory)
    if history is not None and history.ended:
        known = history.exit_code or code
        return Report(state, known, history.signal, history.words, history.failure, host, memory)
    reason = f"exit code {code}" if code else "exited"
    return Report(state, code, None, reason, LIMIT_SIGNALS.get((code or 0) - 128), host, memory)


def cancelled(job: Job) -> Report:
    """A job that was ended at our own wish."""
    return Report(
        SchedulerState.ENDED,
        reason="cancelled",
        failure=FailureKind.CANCELLED,
        host=host_of(job.host),
        peak_memory_mb=megabytes_of(job.memory),
    )


def no_array() -> Report:
    """A task that should be an element of an array which does not exist."""
    return Report(SchedulerState.HELD, reason=NO_ARRAY, failure=FailureKind.SUBMISSION)


def arguments(ids: Iterable[str]) -> list[str]:
    """Ids as arguments of bhist and bjobs; where there are many of an array, the whole of it."""
    by_number: dict[str, list[str]] = {}
    for one in ids:
        parts = split_id(one)
        if parts:
            by_number.setdefault(parts[0], []).append(one)
    chosen = [
        name for number, all_of in by_number.items() for name in (all_of if len(all_of) <= MANY else [number])
    ]
    return chosen[:MOST]
