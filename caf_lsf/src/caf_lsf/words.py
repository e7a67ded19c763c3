"""What the words in LSF's answers mean."""

import re

from caf_core.jobs.backend import SchedulerState
from caf_core.jobs.ledger import FailureKind

STATES = {
    "PEND": SchedulerState.QUEUED,
    "PROV": SchedulerState.QUEUED,
    "WAIT": SchedulerState.QUEUED,
    "RUN": SchedulerState.RUNNING,
    "PSUSP": SchedulerState.HELD,
    "USUSP": SchedulerState.SUSPENDED,
    "SSUSP": SchedulerState.SUSPENDED,
    "DONE": SchedulerState.ENDED,
    "EXIT": SchedulerState.ENDED,
    "UNKWN": SchedulerState.UNKNOWN,
    "ZOMBI": SchedulerState.UNKNOWN,
}
"""The column STAT; any other word is unknown.

Source: https://www.ibm.com/docs/en/spectrum-lsf/10.1.0?topic=bjobs-description
"""

MEANINGS = {
    "PSUSP": "suspended while pending (PSUSP); bresume lets it start",
    "USUSP": "suspended by its owner or an administrator (USUSP)",
    "SSUSP": "suspended by LSF, because of the load or the queue's hours (SSUSP)",
    "UNKWN": "LSF has lost contact with its host (UNKWN)",
    "ZOMBI": "it was killed while its host could not be reached (ZOMBI)",
}
"""States that people should be told about."""

_TERMINATIONS = {
    FailureKind.WALLTIME: ("RUNLIMIT", "CPULIMIT", "DEADLINE"),
    FailureKind.OUT_OF_MEMORY: ("MEMLIMIT", "SWAP", "SWAPLIMIT"),
    FailureKind.CANCELLED: ("OWNER", "ADMIN", "FORCE_OWNER", "FORCE_ADMIN", "BUCKET_KILL", "USER"),
    FailureKind.NODE_LOST: (
        *("PREEMPT", "LOAD", "WINDOW", "WINDOWS", "ZOMBI", "ZOMBIE", "CHKPNT", "RMS", "RC_RECLAIM"),
        *("REQUEUE_OWNER", "REQUEUE_ADMIN", "REQUEUE_RC", "MC_RECALL", "KUBE", "CSM_ALLOC", "SLURM"),
        *("UNKNOWN", "OTHER", "CWD_NOTEXIST", "PRE_EXEC_FAIL", "DATA"),
    ),
    FailureKind.EXIT_CODE: ("PROCESSLIMIT", "THREADLIMIT"),
}
TERMINATIONS = {word: kind for kind, words in _TERMINATIONS.items() for word in words}
"""Why a job was ended, the part of LSF's word after ``TERM_``. What ended a job without its fault, such as a
preemption or a host where its folder is missing, is a lost node: it may go better elsewhere.

Source: https://www.ibm.com/docs/SSWRJV_10.1.0/lsf_admin/termination_reasons_lsf.html
"""

NOT_THERE = re.compile(r"\bno\b[\w /]*\bjobs?\b[\w ]*\bfound|\bjobs?\b.*\bis not found", re.IGNORECASE)
"""How bjobs and bhist say that there is nothing to tell."""

KILLED_BEFORE = re.compile(
    r"already finished|no matching job|is not found|terminat|in progress|array does not exist",
    re.IGNORECASE,
)
"""How bkill says that there is nothing to end, or that it is being ended."""

SUBMITTED = re.compile(r"\bJob <(\d+)> is submitted to\b")

NOT_SUBMITTED = re.compile(
    r"\bnot submitted\b|\busage: *\S*bsub|\billegal option|\binvalid option", re.IGNORECASE
)
"""Where this stands, a job was certainly not accepted."""

FULL = re.compile(r"threshold reached|job limit|too many jobs", re.IGNORECASE)
"""How bsub says that the user has as many jobs as allowed."""

BUSY = re.compile(
    r"not responding|timeout|timed out|refused by server"
    r"|not connected|try again|please wait|internal error|cannot fork|allocate memory|in progress"
    r"|no job id can be used|licen[sc]e|communication|is down|protocol error",
    re.IGNORECASE,
)
"""Why a job was not accepted now and may be later."""

CREDENTIALS = re.compile(
    r"authenticat|eauth|kerberos|credential|ticket|token has expired|expired token", re.IGNORECASE
)

QUEUES = re.compile(r"\bqueue\b", re.IGNORECASE)
ARRAYS = re.compile(r"array index|index too large|array.*too (?:large|big)|bad job name", re.IGNORECASE)


def termination(word: str) -> FailureKind | None:
    """The failure kind of a reason such as ``TERM_RUNLIMIT``; ``None`` for words that tell nothing."""
    return TERMINATIONS.get(word.removeprefix("TERM_").upper())


def complaints(stderr: str) -> str:
    """What of a command's errors is more than "there is none"."""
    return " ".join(
        line.strip() for line in stderr.splitlines() if line.strip() and not NOT_THERE.search(line)
    )
