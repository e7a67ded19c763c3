"""What PBS means: its states, and what it says of a job that has ended.

Source:
    PBS Professional Reference Guide, "States" and "Job Exit Status Codes", and OpenPBS ``job.h``; Torque
    Administrator Guide, "Job exit status". Below 256 the numbers are the script's own.
"""

import re
from signal import SIGKILL, SIGTERM

from caf_core.jobs.backend import Report, SchedulerState
from caf_core.jobs.ledger import FailureKind
from caf_pbs.records import Record

_STATES = {
    "Q": SchedulerState.QUEUED,
    "W": SchedulerState.QUEUED,  # waits for its time
    "T": SchedulerState.QUEUED,  # on its way to another queue
    "B": SchedulerState.RUNNING,  # an array of which something was started
    "R": SchedulerState.RUNNING,
    "E": SchedulerState.RUNNING,  # PBS brings its output home
    "H": SchedulerState.HELD,
    "S": SchedulerState.SUSPENDED,
    "U": SchedulerState.SUSPENDED,  # its workstation is in use
    "X": SchedulerState.ENDED,  # a task of an array that goes on
    "F": SchedulerState.ENDED,
    "C": SchedulerState.ENDED,  # Torque
}

SHORT = {letter: Report(state) for letter, state in _STATES.items()}
"""What a letter says; the same object for all tasks."""

ODD = Report(SchedulerState.UNKNOWN)

_TERMINATED = "91"
"""The substate of what was deleted."""

_KILLED = 256
"""Added to the signal that ended a job."""

_SHELL = 128
"""Added by a shell to the signal that ended its command."""

_WALLTIME, _MEMORY, _LOST = FailureKind.WALLTIME, FailureKind.OUT_OF_MEMORY, FailureKind.NODE_LOST

_PBS_CODES = {
    -1: (_LOST, "it could not be started"),
    -2: (_LOST, "it could not be started"),
    -3: (FailureKind.HELD, "it could not be started, too often"),
    -4: (_LOST, "the daemon of the node began anew"),
    -5: (_LOST, "the daemon of the node began anew"),
    -6: (_LOST, "the daemon of the node began anew"),
    -10: (FailureKind.SUBMISSION, "the user is not known on the node"),
    -20: (_LOST, "the connection to the node was lost"),
    -23: (FailureKind.CREDENTIALS, "there was no Kerberos ticket"),
    -24: (FailureKind.EXIT_CODE, "it used more processors than it had asked for"),
    -25: (FailureKind.EXIT_CODE, "it used more processors than it had asked for"),
    -26: (_MEMORY, "it used more virtual memory than it had asked for"),
    -27: (_MEMORY, "it used more memory than it had asked for"),
    -28: (_WALLTIME, "it used more processor time than it had asked for"),
    -29: (_WALLTIME, "its time limit was exceeded"),
}
_TORQUE_CODES = {
    **{code: _PBS_CODES[code] for code in (-1, -2, -3, -4, -5, -6)},
    -10: (_MEMORY, "it used more memory than it had asked for"),
    -11: (_WALLTIME, "its time limit was exceeded"),
    -12: (_WALLTIME, "it used more processor time than it had asked for"),
}

_HOLDERS = {
    "u": "its owner",
    "o": "an operator",
    "s": "an administrator or the system",
    "p": "PBS, because of a bad password",
}

_EXCEEDED = re.compile(
    r"exceeded resource (\w+)|job killed: (\w+) .*exceeded limit|(mem)(?:ory)? limit exceeded", re.IGNORECASE
)
_TOO_OFTEN = re.compile(r"failed attempts", re.IGNORECASE)
_NEVER = re.compile(r"can never run", re.IGNORECASE)


def report(letter: str, record: Record | None, *, torque: bool) -> Report:
    """What is known of a task.

    Args:
        letter: Its state in the short listing; empty if it was not there.
        record: Its full record, if there is one: it is newer.
        torque: Whether the codes are Torque's.
    """
    if record is None:
        return SHORT.get(letter, ODD)
    state = _STATES.get(record.get("job_state", letter), SchedulerState.UNKNOWN)
    if state is SchedulerState.ENDED:
        return _ended(record, torque=torque)
    comment = record.get("comment", "")
    failure = None
    if state is SchedulerState.HELD and not comment:
        comment = _held_by(record.get("Hold_Types", ""))
    if state is SchedulerState.HELD and _TOO_OFTEN.search(comment):
        failure = FailureKind.HELD  # nobody but an administrator releases it
    elif state is SchedulerState.QUEUED and _NEVER.search(comment):
        # Its scheduler is certain as long as the site stays as it is: a hold, of which people decide.
        state = SchedulerState.HELD
    return Report(state, reason=comment, failure=failure, host=_host(record))


def _held_by(types: str) -> str:
    """Who holds it, by the letters of ``Hold_Types``."""
    holders = [meaning for letter, meaning in _HOLDERS.items() if letter in types]
    return f"held by {' and '.join(holders)} (Hold_Types {types}); see qrls" if holders else "held by PBS"


def _ended(record: Record, *, torque: bool) -> Report:
    code = _number(record.get("Exit_status", record.get("exit_status", "")))
    exit_code, signal = _split(code)
    kind, reason = _why(record, code, signal, torque=torque)
    return Report(
        SchedulerState.ENDED,
        exit_code=exit_code,
        signal=signal,
        reason=reason,
        failure=kind,
        host=_host(record),
        peak_memory_mb=megabytes(record.get("resources_used.mem", "")),
    )


def _split(code: int | None) -> tuple[int | None, int | None]:
    """Exit code and signal; a shell adds 128 to the signal that ended its command, and PBS 256."""
    if code is None or code < 0:
        return None, None
    if code >= _KILLED:
        return None, code - _KILLED
    return code, None


def _why(record: Record, code: int | None, signal: int | None, *, torque: bool) -> tuple[str | None, str]:
    """Why it failed, as far as PBS says so, and its words."""
    comment = record.get("comment", "")
    if found := _EXCEEDED.search(comment):
        resource = next(filter(None, found.groups())).lower()
        return (_MEMORY if "mem" in resource else _WALLTIME), comment
    known = (_TORQUE_CODES if torque else _PBS_CODES).get(code if code is not None else 0)
    if known is not None:
        return known[0], f"{known[1]} (exit status {code})" if not comment else f"{known[1]}: {comment}"
    if code is not None and code < 0:
        return _LOST, comment or f"it was ended by PBS with exit status {code}"
    if record.get("substate") == _TERMINATED:
        return FailureKind.CANCELLED, comment or "deleted"
    # The job on the node ends in peace when it is told to, so it may say 0.
    if (signal or code in (0, 128 + SIGTERM, 128 + SIGKILL)) and _took_its_time(record):
        return _WALLTIME, comment or "it was ended when its time limit had passed"
    if signal == SIGTERM:
        return FailureKind.CANCELLED, comment or f"deleted (exit status {code})"
    if record.get("job_state") == "X" and code and not ("exec_host" in record or "run_count" in record):
        # Of a task of an array that ended on its node, PBS keeps where and how often it was started.
        return FailureKind.CANCELLED, f"deleted (exit status {code}, and no word of its node)"
    how = _how(code, signal)
    return None, f"{how} ({comment})" if how and comment else how or comment


def _how(code: int | None, signal: int | None) -> str:
    """How its script ended; empty if as it should."""
    if signal is None and code is not None and code > _SHELL:
        signal = code - _SHELL
    if signal:
        return f"killed by signal {signal} (Exit_status {code})"
    return f"its script ended with exit code {code}" if code else ""


def _took_its_time(record: Record) -> bool:
    """Whether it used up its time, for versions without an exit status of their own for that."""
    limit = seconds(record.get("Resource_List.walltime", ""))
    used = seconds(record.get("resources_used.walltime", ""))
    return limit is not None and used is not None and used >= limit


def seconds(text: str) -> int | None:
    """A time of PBS, ``[[HH:]MM:]SS`` [s]; ``None`` if it is none."""
    parts = text.split(":")
    if not all(part.isdigit() for part in parts):
        return None
    total = 0
    for part in parts:
        total = total * 60 + int(part)
    return total


_FACTORS = {"": 2**-20, "k": 2**-10, "m": 1.0, "g": 2.0**10, "t": 2.0**20}


def megabytes(text: str) -> float | None:
    """A size of PBS such as ``7400kb`` [MB of 2**20 bytes]; ``None`` if it is none, or was never measured."""
    found = re.fullmatch(r"(\d+)([kmgt]?)b?", text.strip(), re.IGNORECASE)
    if found is None or int(found[1]) == 0:
        return None  # PBS has not looked
    return int(found[1]) * _FACTORS[found[2].lower()]


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _host(record: Record) -> str:
    return record.get("exec_host", "").split("/")[0].split("+")[0]
