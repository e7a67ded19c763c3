"""How the commands say that something is wrong.

PBS exits with the last byte of its error number (15000 + n gives 152 + n, and starts again at 256). Torque
counts otherwise since version 4, so that the words decide for it, and help for PBS.

Source:
    ``pbs_error.h`` of OpenPBS, ``pbs_error_db.h`` of Torque.
"""

import re
from enum import Enum, auto

from caf_core.jobs.batch.dialogue import NOT_FOUND
from caf_core.processes.command import CommandResult


class Trouble(Enum):
    """What is wrong."""

    DOWN = auto()
    """Nobody knows whether the server heard the question."""
    FULL = auto()
    """It has too many jobs now; later it may take more."""
    CREDENTIALS = auto()
    QUEUE = auto()
    LIMITS = auto()
    RESOURCE = auto()
    ARRAY = auto()
    MISSING = auto()
    """The command is not there."""
    OTHER = auto()


_WORDS = (
    (Trouble.QUEUE, r"unknown queue|queue is not enabled|no default queue|access.*queue|cannot locate queue"),
    (Trouble.FULL, r"maximum number of jobs|would exceed .*limit|jobs already in queue|limit on .*queued"),
    (Trouble.ARRAY, r"array job exceeds|max array size|array size"),
    (Trouble.LIMITS, r"violates queue|exceeds? queue|resource limits"),
    (Trouble.RESOURCE, r"unknown resource|invalid resource|illegal attribute or resource"),
    (Trouble.CREDENTIALS, r"credential|kerberos|ticket|munge|unable to authenticate"),
    (
        Trouble.DOWN,
        r"cannot connect|could ?n.t connect|connection|communication|no server|server.*shut|timed? ?out"
        r"|end of file|protocol error|trqauthd|try again",
    ),
)
_TROUBLES = tuple((trouble, re.compile(pattern, re.IGNORECASE)) for trouble, pattern in _WORDS)

_CODES = {
    162: Trouble.DOWN,  # system error, cannot connect
    163: Trouble.DOWN,  # internal error
    183: Trouble.DOWN,  # protocol
    185: Trouble.DOWN,  # no free connection
    186: Trouble.DOWN,  # no server
    212: Trouble.DOWN,  # shutting down
    104: Trouble.DOWN,  # try again
    13: Trouble.DOWN,  # its table of connections is full
    255: Trouble.DOWN,
    198: Trouble.FULL,
    38: Trouble.FULL,
    39: Trouble.FULL,
    171: Trouble.CREDENTIALS,
    172: Trouble.CREDENTIALS,
    170: Trouble.QUEUE,
    173: Trouble.QUEUE,  # not enabled
    174: Trouble.QUEUE,  # no access
    189: Trouble.QUEUE,  # no default
    187: Trouble.RESOURCE,
    188: Trouble.LIMITS,
    3: Trouble.ARRAY,
}

_GONE = re.compile(
    r"unknown job|has finished|finished array subjob|invalid for state|history deleted|already exit",
    re.IGNORECASE,
)
_NO_HISTORY = re.compile(r"not configured to maintain job history", re.IGNORECASE)

UNKNOWN_JOB = 153
"""The exit code for a job that the server does not know."""

FINISHED_JOB = 35
"""The exit code for a job that only the history knows."""

USAGE = 2
"""The exit code for an option that is not known."""


def trouble(answer: CommandResult, *, torque: bool = False) -> Trouble:
    """What is wrong, by an answer whose exit code is not 0."""
    code = answer.returncode
    if code == NOT_FOUND:
        return Trouble.MISSING
    if code is None or code < 0:
        return Trouble.DOWN
    if not torque and code in _CODES:
        return _CODES[code]
    for kind, pattern in _TROUBLES:
        if pattern.search(answer.stderr):
            return kind
    return Trouble.OTHER


def only_gone(answer: CommandResult) -> bool:
    """Whether all that is wrong is that jobs have ended or are not known."""
    lines = [line for line in answer.stderr.splitlines() if line.strip()]
    if not lines:
        return answer.returncode in (0, UNKNOWN_JOB, FINISHED_JOB)
    return answer.returncode is not None and all(_GONE.search(line) for line in lines)


def without_history(answer: CommandResult) -> bool:
    """Whether the server says that it keeps no history; it then says nothing else, and exits with 0."""
    return bool(_NO_HISTORY.search(answer.stderr + answer.stdout))
