"""What Slurm's states and pending reasons mean.

The states are those of https://slurm.schedmd.com/squeue.html#SECTION_JOB-STATE-CODES, the reasons those of
https://slurm.schedmd.com/job_reason_codes.html.
"""

import re

from attrs import frozen

from caf_core.jobs.backend import Report, SchedulerState
from caf_core.jobs.evidence import FIRST_OF_NODE
from caf_core.jobs.ledger import FailureKind

QUEUED, RUNNING, HELD = SchedulerState.QUEUED, SchedulerState.RUNNING, SchedulerState.HELD
SUSPENDED, ENDED, UNKNOWN = SchedulerState.SUSPENDED, SchedulerState.ENDED, SchedulerState.UNKNOWN

LAUNCH_SIGNAL = 53
"""Slurm's mark, in place of a signal, on a job whose script could not be started at all."""

LAST_SIGNAL = 64
"""Slurm's own marks, such as 125 for memory, are larger."""

_GOING = {
    "CONFIGURING": (QUEUED, "the node is being prepared"),
    "COMPLETING": (RUNNING, ""),  # it may come back: a requeued job passes this state as well
    "EXPEDITING": (QUEUED, "requeued after a node was lost"),
    "POWER_UP_NODE": (QUEUED, "the node is being started"),
    "REQUEUED": (QUEUED, "requeued"),
    "REQUEUE_FED": (QUEUED, "requeued"),
    "RESIZING": (RUNNING, ""),
    "RUNNING": (RUNNING, ""),
    "SIGNALING": (RUNNING, ""),
    "STAGE_OUT": (RUNNING, ""),
    "STOPPED": (SUSPENDED, "stopped; its cpus are kept"),
    "SUSPENDED": (SUSPENDED, "suspended"),
    "UPDATE_DB": (RUNNING, ""),
}
"""Live states, with their meaning for people."""

_NODE = FailureKind.NODE_LOST
_ENDINGS = {
    "BOOT_FAIL": (_NODE, "the node could not be started (BOOT_FAIL)"),
    "CANCELLED": (FailureKind.CANCELLED, "cancelled at Slurm (CANCELLED)"),
    "DEADLINE": (FailureKind.CANCELLED, "ended at its deadline (DEADLINE)"),
    "LAUNCH_FAILED": (_NODE, "the node could not start it (LAUNCH_FAILED)"),
    "NODE_FAIL": (_NODE, "its node failed (NODE_FAIL)"),
    "OUT_OF_MEMORY": (FailureKind.OUT_OF_MEMORY, "it used more memory than it asked for (OUT_OF_MEMORY)"),
    "PREEMPTED": (_NODE, "it had to make room for another job (PREEMPTED)"),
    "RECONFIG_FAIL": (_NODE, "its node could not be reconfigured (RECONFIG_FAIL)"),
    "TIMEOUT": (FailureKind.WALLTIME, "it reached its time limit (TIMEOUT)"),
}
"""Final states other than COMPLETED and FAILED."""

_HOLDS = {
    "REQUEUE_HOLD": "requeued and held; `scontrol release` lets it go on",
    "RESV_DEL_HOLD": "held, because its reservation was removed",
    "SPECIAL_EXIT": "requeued and held after a special exit code; `scontrol release` lets it go on",
    "JobHeldUser": "held by its user; `scontrol release` lets it go on",
    "JobHeldAdmin": "held by an administrator",
    "job requeued in held state": "requeued and held; `scontrol release` lets it go on",
}
"""States and reasons of jobs that wait for somebody to release them."""

_BROKEN_HOLDS = {
    "JobHoldMaxRequeue": "held, because it was requeued too often",
    "launch failed requeued held": "held, because the node could not start it",
    "LaunchFailedHeld": "held, because the node could not start it",
}
"""Reasons of holds that say that nodes failed."""

_NEVER = (
    ("PartitionConfig", "the partition has no nodes that offer what it asks for"),
    ("PartitionTimeLimit", "it asks for more time than the partition allows"),
    ("PartitionNodeLimit", "it asks for more nodes than the partition allows"),
    ("BadConstraints", "no node can ever satisfy what it asks for"),
    ("DependencyNeverSatisfied", "it depends on a job that did not end as it should"),
    ("AccountNotAllowed", "its account may not use this partition"),
    ("InvalidAccount", "its account is not valid"),
    ("InvalidQOS", "its quality of service is not valid"),
    ("QOSNotAllowed", "its quality of service may not be used in this partition"),
    ("ReservationDeleted", "its reservation was removed"),
    ("DeadLine", "it cannot end before its deadline"),
    ("MaxMemPerLimit", "it asks for more memory than a job may have"),
    (r"QOSMin\w+", "it asks for less than its quality of service demands"),
    (r"(QOS|Assoc)Max\w*PerJob\w*", "it asks for more than one job may have"),
    (r"(QOS|Assoc)Max\w*PerNode\w*", "it asks for more on a node than it may have"),
)
"""Pending reasons that do not go away by waiting, as patterns; a change of the request is needed."""

_WAITING = (
    ("None|", "waits to be looked at"),
    ("Priority", "waits for jobs of higher priority"),
    ("Resources", "waits for free resources"),
    ("JobArrayTaskLimit", "waits because array_throttle lets no more of its array execute"),
    ("BeginTime", "waits for its time to begin, as every requeued job does for some minutes"),
    ("Dependency", "waits for another job"),
    ("Licenses", "waits for a licence"),
    ("Reservation", "waits for its reservation"),
    ("PartitionDown", "the partition is down; ask the site, or choose another with partition="),
    ("PartitionInactive", "the partition is not active; ask the site, or choose another with partition="),
    (
        "ReqNodeNotAvail.*|NodeDown|FrontEndDown|Nodes[ _]required[ _]for[ _]job[ _]are[ _]DOWN.*",
        "the nodes that it needs are down or reserved; it waits until they are back",
    ),
    (r"(QOS|Assoc)(Grp|Max)\w*", "waits, because you or your group use all that you may have at once"),
    (
        r"AssociationJobLimit|AssociationResourceLimit|AssociationTimeLimit|QOSJobLimit|QOSResourceLimit"
        r"|QOSTimeLimit|QOSUsageThreshold",
        "waits, because you or your group use all that you may have at once",
    ),
    ("Cleaning|Prolog|NodeBooting", "the nodes are being prepared"),
    ("JobLaunchFailure|SystemFailure|NonZeroExitCode|RaisedSignal.*", "waits to be started again"),
)
"""Pending reasons that go away by themselves, as patterns."""


@frozen
class Row:
    """What a command of Slurm says about one job.

    Args:
        state: The word for its state.
        reason: The word for why it is there.
        host: Its node.
        exit_code: Its exit code, or what stands for one.
        signal: The signal that ended it.
        peak_memory_mb: Its peak memory [MB].
    """

    state: str
    reason: str = ""
    host: str = ""
    exit_code: int | None = None
    signal: int | None = None
    peak_memory_mb: float | None = None


def report(row: Row) -> Report:
    """What follows for the core."""
    state = row.state.partition(" ")[0].rstrip("+")  # `CANCELLED by 1000`, and sacct's mark of a cut word
    if state == "PENDING":
        return _pending(row.reason)
    if state in _HOLDS:
        return Report(HELD, reason=_HOLDS[state])
    if state in _GOING:
        word, meaning = _GOING[state]
        return Report(word, reason=meaning, host=row.host)
    if state == "COMPLETED":
        return Report(
            ENDED,
            exit_code=0,
            reason="Slurm says COMPLETED",
            host=row.host,
            peak_memory_mb=row.peak_memory_mb,
        )
    if state == "FAILED":
        return _failed(row)
    if state in _ENDINGS:
        kind, meaning = _ENDINGS[state]
        return Report(
            ENDED,
            exit_code=row.exit_code or None,
            signal=row.signal if row.signal and row.signal <= LAST_SIGNAL else None,
            reason=meaning,
            failure=kind.value,
            host=row.host,
            peak_memory_mb=row.peak_memory_mb,
        )
    return Report(UNKNOWN, reason=f"Slurm says {row.state!r}")


def _pending(word: str) -> Report:
    if word in _HOLDS or word in _BROKEN_HOLDS:
        lost = word in _BROKEN_HOLDS
        meaning = _BROKEN_HOLDS[word] if lost else _HOLDS[word]
        return Report(HELD, reason=f"{meaning} ({word})", failure=_NODE.value if lost else None)
    for pattern, meaning in _NEVER:
        if re.fullmatch(pattern, word):
            return Report(
                HELD,
                reason=f"it would wait for ever: {meaning} ({word})",
                failure=FailureKind.SUBMISSION.value,
            )
    for pattern, meaning in _WAITING:
        if re.fullmatch(pattern, word):
            return Report(QUEUED, reason=f"{meaning} ({word})" if word not in ("", "None") else meaning)
    return Report(QUEUED, reason=f"waits ({word})")


STARTED_AND_HELD = Report(
    HELD,
    reason="held by Slurm, which could not start it again; it has started before and may still execute: "
    "if not, `scontrol release` lets it go on",
)


def is_launch_hold(row: Row) -> bool:
    """Whether Slurm holds a job because its node did not start it."""
    return row.state == "PENDING" and row.reason in _BROKEN_HOLDS


def _failed(row: Row) -> Report:
    kind: FailureKind | None = FailureKind.EXIT_CODE
    code, signal = row.exit_code, row.signal
    if row.reason == "BadConstraints":
        kind, meaning = FailureKind.SUBMISSION, "Slurm refused it: no node can satisfy what it asks for"
    elif signal == LAUNCH_SIGNAL:
        kind, code, signal = FailureKind.SUBMISSION, None, None
        meaning = (
            f"Slurm could not start it on {row.host or 'its node'} (0:{LAUNCH_SIGNAL}); most likely "
            "the folder of the submission cannot be written there: it must be on a file system that nodes see"
        )
    elif code:
        kind = FailureKind.EXIT_CODE if code < FIRST_OF_NODE else None
        meaning = f"exit code {code}"
    else:
        # Nothing that the task did: its record would tell, and without one it is worth another attempt.
        kind, code = None, None
        meaning = (
            f"killed by signal {signal}" if signal else f"failed (FAILED, {row.reason or 'no reason given'})"
        )
    return Report(
        ENDED,
        exit_code=code,
        signal=signal or None,
        reason=meaning,
        failure=kind and kind.value,
        host=row.host,
        peak_memory_mb=row.peak_memory_mb,
    )
