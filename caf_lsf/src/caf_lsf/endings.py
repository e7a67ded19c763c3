"""Why jobs ended: what ``bhist -l`` and ``bjobs -l`` tell of them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from signal import SIGUSR2, SIGXCPU

from attrs import frozen

from caf_core.jobs.backend import Report, SchedulerState
from caf_core.jobs.ledger import FailureKind
from caf_lsf.words import termination

_BLOCK = re.compile(r"^Job <(\d+(?:\[\d+\])?)>", re.MULTILINE)
_NAME = re.compile(r"\bJob Name <([^>]*)>")
_HOST = re.compile(
    r"(?:[Ss]tarted on|[Dd]ispatched to) (?:\d+ Hosts?/Processors? |\d+ Task\(s\) on Host\(s\) )?<([^>]*)>"
)
_WHY = re.compile(
    r"TERM_(?P<term>\w+)(?:: (?P<words>[^.;]*))?"
    r"|(?P<limit>RUN|MEM|CPU|PROCESS)LIMIT termination action"
    r"|(?P<deadline>DEADLINE) termination action"
    r"|(?P<site>Load|Window|Other) termination action"
    r"|(?P<requeue>Kill & Requeue) action"
    r"|(?P<user>User termination action"
    r"|Signal <(?:KILL|TERM|INT|\d+)> requested by user or administrator <[^>]*>)"
)
_EXIT = re.compile(r"[Ee]xited(?: with exit code (\d+)| by signal (\d+)|(?=[.;,]))|Completed <exit>")
_DONE = re.compile(r"[Dd]one successfully|Completed <done>")
_START = re.compile(r"[Rr]equeued|[Pp]ending:|[Ss]tarting \(Pid|[Ss]tarted on|[Dd]ispatched to|[Rr]erun")

LIMIT_SIGNALS = {int(SIGUSR2): FailureKind.WALLTIME, int(SIGXCPU): FailureKind.WALLTIME}
"""With these LSF tells a job that its time is over."""


@frozen
class History:
    """What is known of a job.

    Args:
        name: Its name.
        ended: Whether it has ended.
        exit_code: Its exit code, if it has one.
        signal: The signal that ended it.
        failure: The failure kind that LSF's words imply, if any.
        words: Those words.
        host: Where it executed last.
    """

    name: str = ""
    ended: bool = False
    exit_code: int | None = None
    signal: int | None = None
    failure: FailureKind | None = None
    words: str = ""
    host: str = ""

    def report(self) -> Report:
        """The same as an answer about a task; one that has not ended is not where bjobs should list it."""
        if not self.ended:
            return Report(SchedulerState.UNKNOWN, reason="not listed, but bhist knows no end of it")
        return Report(SchedulerState.ENDED, self.exit_code, self.signal, self.words, self.failure, self.host)


def histories(text: str) -> Mapping[str, History]:
    """What an answer of ``bhist -l`` or ``bjobs -l`` tells, by id."""
    return {identity: _history(block) for identity, block in _blocks(text)}


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    marks = list(_BLOCK.finditer(text))
    ends = [*(mark.start() for mark in marks), len(text)]
    for mark, end in zip(marks, ends[1:], strict=True):
        yield mark[1], text[mark.start() : end]


def _history(block: str) -> History:
    # Long lines are broken, and some versions do it in the middle of words.
    events = re.sub(r"\n\s+", " ", block).partition("\n")[2]
    tight_head, _, tight = re.sub(r"\n\s+", "", block).partition("\n")
    name = _NAME.search(tight_head)
    called = name[1] if name else ""
    hosts = _HOST.findall(events)
    host = hosts[-1].rpartition("*")[2] if hosts else ""
    exits, done = list(_EXIT.finditer(events)), list(_DONE.finditer(events))
    last = max((match.end() for match in (*exits, *done)), default=-1)
    if last < 0 or _START.search(events, last):
        return History(called, host=host)
    if not exits or exits[-1].end() < last:
        return History(called, True, 0, host=host)
    failure, words = _why(events)
    if not words:
        failure, words = _why(tight)
    code, signal = _exit_of(exits)
    failure = failure or LIMIT_SIGNALS.get(signal or (code or 0) - 128)
    if not words:
        words = f"killed by signal {signal}" if signal else f"exit code {code}" if code else "exited"
    return History(called, True, code, signal, failure, words, host)


def _exit_of(exits: Sequence[re.Match[str]]) -> tuple[int | None, int | None]:
    """The exit code and the signal of the last end; not every line about it has them."""
    for match in reversed(exits):
        if match[1] or match[2]:
            return (int(match[1]), None) if match[1] else (None, int(match[2]))
    return None, None


def _why(events: str) -> tuple[FailureKind | None, str]:
    """The kind and the words of the last reason for an end, after the job was started last."""
    kind, words = None, ""
    begin = max((match.end() for match in _START.finditer(events)), default=0)
    for match in _WHY.finditer(events, begin):
        if match["user"] and words:
            continue  # what the daemons do after a limit may be noted as signals too
        words = match[0].strip()
        if match["term"]:
            kind = termination(match["term"])
        elif match["limit"]:
            kind = termination(f"{match['limit']}LIMIT")
        elif match["deadline"]:
            kind = FailureKind.WALLTIME
        else:
            kind = FailureKind.CANCELLED if match["user"] else FailureKind.NODE_LOST
    return kind, words
