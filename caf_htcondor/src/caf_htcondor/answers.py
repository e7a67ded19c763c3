"""Reading what HTCondor's commands print: text in, values out."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from caf_core.jobs.backend import Report, SchedulerState
from caf_core.processes.command import CommandResult
from caf_htcondor.holds import failure_of_removal
from caf_htcondor.states import held

Ad = Mapping[str, Any]
"""The attributes of one job."""

ATTRIBUTES = (
    *(
        "ClusterId",
        "ProcId",
        "JobStatus",
        "HoldReason",
        "HoldReasonCode",
        "HoldReasonSubCode",
        "RemoveReason",
    ),
    *("ExitBySignal", "ExitSignal", "ExitCode", "RemoteHost", "LastRemoteHost", "MemoryUsage"),
    *("LastRejMatchReason", "JobMaterializeLimit", "TotalSubmitProcs", "UserLog", "Iwd"),
)
"""What is asked of a job."""

_SUBMITTED = re.compile(r"^(\d+)\.(\d+) - (\d+)\.(\d+)\s*$", re.M)
_OBJECT = re.compile(r"^\{.*?^\}", re.M | re.S)
_TOTALS = re.compile(
    r"^(?:Total for (?P<whom>.*?): )?(?P<jobs>\d+) jobs; (?P<completed>\d+) completed, "
    r"(?P<removed>\d+) removed",
    re.M,
)
_NOT_SUBMITTED = re.compile(
    r"find address|connect|communicat|timed? ?out|queue manager|not respond|unreachable|network|SECMAN|socket"
    r"|disk.?full|no space",
    re.I,
)
_FULL = re.compile(r"MAX_JOBS_SUBMITTED|MAX_JOBS_PER_OWNER", re.I)
_CREDENTIALS = re.compile(
    r"authenticat|credential|kerberos|GSS|\bproxy\b|\b(sci)?tokens?\b.*(expired|invalid|missing)|credmon",
    re.I,
)
_COMMIT = re.compile(r"^ERROR: Failed to commit job submission into the queue\.?$", re.M)
_UNUSED = re.compile(r"the line '(.*)' was unused", re.S)
_NOTHING_TO_DO = re.compile(
    r"not found|find/(remove|release)|not held to be|already|matching constraint|in cluster \d+$", re.I
)
_HOST = re.compile(r"(?:[^@]*@)?([^@\s]+)$")


def submitted(text: str) -> tuple[int, int] | None:
    """The cluster and the number of its jobs from ``condor_submit -terse``; ``None`` if it is not there."""
    found = _SUBMITTED.findall(text)
    if len(found) != 1 or found[0][0] != found[0][2]:
        return None
    cluster, first, _, last = map(int, found[0])
    return cluster, last - first + 1


@frozen
class Refusal:
    """What the failure of ``condor_submit`` means.

    Args:
        certain: Whether the jobs are certainly not in the queue, and would not be at the next try.
        credentials: Whether a credential is missing or has expired.
        full: Whether there is no room in the queue.
    """

    certain: bool
    credentials: bool = False
    full: bool = False


def refusal(answer: CommandResult) -> Refusal:
    """Why ``condor_submit`` failed; what is not known is in doubt."""
    if answer.returncode is None or answer.returncode < 0:
        return Refusal(certain=False, credentials=False)
    said = answer.stderr + answer.stdout
    if _CREDENTIALS.search(said):
        return Refusal(certain=True, credentials=True)
    if _FULL.search(said):
        return Refusal(certain=True, full=True)
    rest = _COMMIT.sub("", said)
    if _NOT_SUBMITTED.search(rest) or not rest.strip():
        # Without a reason, a failed commit may be one whose answer got lost.
        return Refusal(certain=False, credentials=False)
    return Refusal(certain=True, credentials=False)


def unused_lines(text: str) -> list[str]:
    """The lines of a submit file that ``condor_submit`` warns about because it does not know them."""
    warnings = text.split("WARNING: ")[1:]
    return [found[1] for warning in warnings if (found := _UNUSED.search(warning))]


def is_nothing_to_do(answer: CommandResult) -> bool:
    """Whether ``condor_rm`` or ``condor_release`` only failed because jobs were gone already."""
    if answer.returncode is None or answer.returncode < 0:
        return False
    lines = [line for line in answer.stderr.splitlines() if line.strip()]
    return bool(lines) and all(_NOTHING_TO_DO.search(line) for line in lines)


def ads(text: str) -> Iterator[Ad]:
    """The jobs in the output of ``condor_q -json`` or ``condor_history -json``, which is empty for none.

    What cannot be read is left out.
    """
    if not text.strip():
        return
    try:
        found = json.loads(text)
    except ValueError:
        found = [_loaded(part) for part in _OBJECT.findall(text)]
    for ad in found if isinstance(found, list) else [found]:
        if (
            isinstance(ad, dict)
            and isinstance(ad.get("ClusterId"), int)
            and isinstance(ad.get("ProcId"), int)
        ):
            yield ad


def not_yet_made(found: Sequence[Ad]) -> set[str]:
    """The ids of the jobs that the listed clusters will still get (``max_materialize``)."""
    highest: dict[int, int] = {}
    total: dict[int, int] = {}
    for ad in found:
        if ad.get("JobMaterializeLimit") and ad.get("JobStatus") not in (3, 4):
            cluster = ad["ClusterId"]
            highest[cluster] = max(highest.get(cluster, 0), ad["ProcId"])
            total[cluster] = _number(ad.get("TotalSubmitProcs")) or 0
    return {
        f"{cluster}.{proc}" for cluster, top in highest.items() for proc in range(top + 1, total[cluster])
    }


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def identity(ad: Ad) -> str:
    """The id of a job."""
    return f"{ad['ClusterId']}.{ad['ProcId']}"


def report(ad: Ad) -> Report:
    """What the attributes of a job say; see ``JobStatus`` in the manual:
    https://htcondor.readthedocs.io/en/latest/classad-attributes/job-classad-attributes.html
    """
    host = _HOST.match(str(ad.get("RemoteHost") or ad.get("LastRemoteHost") or ""))
    memory = ad.get("MemoryUsage")
    facts: dict[str, Any] = {
        "host": host[1] if host else "",
        "peak_memory_mb": float(memory) if isinstance(memory, int | float) else None,
    }
    match ad.get("JobStatus"):
        case 1:
            rejected = str(ad.get("LastRejMatchReason") or "").strip()
            hint = (
                f"no machine took it so far ({rejected}); condor_q -better-analyze {identity(ad)} tells more"
            )
            return Report(SchedulerState.QUEUED, reason=hint if rejected else "", **facts)
        case 2 | 6:
            return Report(SchedulerState.RUNNING, **facts)
        case 3:
            reason = str(ad.get("RemoveReason") or "removed from the queue")
            return Report(SchedulerState.ENDED, reason=reason, failure=failure_of_removal(reason), **facts)
        case 4:
            return _completed(ad, facts)
        case 5:
            reason = str(ad.get("HoldReason") or "")
            codes = _number(ad.get("HoldReasonCode")), _number(ad.get("HoldReasonSubCode"))
            hold = held(codes[0] or 0, codes[1] or 0, reason)
            return Report(SchedulerState.HELD, reason=hold.reason, failure=hold.failure, **facts)
        case 7:
            return Report(SchedulerState.SUSPENDED, **facts)
        case other:
            return Report(SchedulerState.UNKNOWN, reason=f"HTCondor tells the job status {other!r}")


def _completed(ad: Ad, facts: Mapping[str, Any]) -> Report:
    if ad.get("ExitBySignal"):
        signal = _number(ad.get("ExitSignal"))
        return Report(SchedulerState.ENDED, signal=signal, reason=f"killed by signal {signal}", **facts)
    code = _number(ad.get("ExitCode"))
    return Report(SchedulerState.ENDED, exit_code=code, reason=f"exit code {code}", **facts)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def jobs_in_queue(text: str) -> int | None:
    """The user's own jobs that have not ended, from ``condor_q -totals``; ``None`` if it is not told."""
    rows = {row["whom"]: row for row in _TOTALS.finditer(text)}
    own = [row for whom, row in rows.items() if whom not in ("query", "all users", None)]
    for row in (*own, rows.get("query"), rows.get(None)):
        if row is not None:
            return int(row["jobs"]) - int(row["completed"]) - int(row["removed"])
    return None


def constraint(ids: Sequence[str]) -> str:
    """The expression that is true for these jobs."""
    procs: dict[str, list[str]] = {}
    for one in ids:
        cluster, _, proc = one.partition(".")
        procs.setdefault(cluster, []).append(proc)
    parts = [
        f"(ClusterId == {cluster} && member(ProcId, {{{', '.join(them)}}}))"
        for cluster, them in procs.items()
    ]
    return " || ".join(parts)
