"""What ``squeue`` prints: one line a job, one line for all tasks of an array that wait."""

from collections.abc import Iterable, Iterator, Mapping

from attrs import field, frozen

from caf_slurm import ids
from caf_slurm.states import Row

FORMAT = "%i|%A|%j|%T|%r|%B"
"""Id, Slurm's inner id, name, state, reason, host; the reason is free text, so it is found from both ends."""

WHOLE = {"SLURM_BITSTR_LEN": "0"}
"""Keeps Slurm from shortening long expressions such as ``123_[1,3,5,...]``."""

STATUS_WIDTH = 24
STATUS_FORMAT = f"jobarrayid:{STATUS_WIDTH},exit_code:{STATUS_WIDTH}"
"""For ``-O``, which alone knows exit codes; only fixed columns are understood by every version."""


@frozen
class Line:
    """One line.

    Args:
        expression: The tasks that it is about.
        raw: Slurm's inner id, which its messages use.
        name: The name of the job: a token.
        row: What it says.
    """

    expression: ids.Expression
    raw: str
    name: str
    row: Row


@frozen
class Listing:
    """What ``squeue`` knows.

    Args:
        lines: What could be read.
        garbled: Bases of which something could not be read; their tasks are not gone when not listed.
    """

    lines: list[Line] = field(factory=list)
    garbled: set[str] = field(factory=set)


def read(text: str) -> Listing:
    """Read the answer for ``FORMAT``; a line that cannot be read spoils no other."""
    listing = Listing()
    rows: dict[str, Row] = {}
    for text_line in text.splitlines():
        parts = text_line.split("|", 3)
        expression = ids.read(parts[0].strip())
        if expression is None:
            continue
        if not expression.whole:
            listing.garbled.add(expression.base)
        row = None
        if len(parts) == 4:
            tail = parts[3]
            # Thousands of lines have the same end; it is read once.
            row = rows.get(tail) or _row(tail)
        if row is None:
            listing.garbled.add(expression.base)
            continue
        rows[parts[3]] = row
        listing.lines.append(Line(expression, parts[1].strip(), parts[2].strip(), row))
    return listing


def _row(tail: str) -> Row | None:
    state, _, rest = tail.partition("|")
    reason, separator, host = rest.rpartition("|")
    state = state.strip()
    if not separator or not state.replace("_", "").isalpha():
        return None
    return Row(state, reason.strip(), "" if host.strip() in ("n/a", "(null)") else host.strip())


def statuses(text: str) -> Mapping[str, tuple[int, int]]:
    """Exit code and signal of each id, from the answer for ``STATUS_FORMAT``.

    ``squeue`` prints the status as ``wait`` gives it.
    """
    found = {}
    for line in text.splitlines():
        identity, status = line[:STATUS_WIDTH].strip(), line[STATUS_WIDTH:].strip()
        if ids.split(identity) and status.isdecimal():
            number = int(status)
            signal = number & 0x7F
            found[identity] = (0 if signal else number >> 8 & 0xFF, signal)
    return found


def count(lines: Iterable[str]) -> int:
    """How many tasks the expressions name."""
    return sum(_size(line.strip()) for line in lines if line.strip())


def _size(text: str) -> int:
    expression = ids.read(text)
    if expression is None or expression.indices is None:
        return 1
    return len(expression.indices)


def positions(lines: Iterable[Line], token: str) -> Iterator[tuple[int, str]]:
    """Position and id of each task of the submission with this token."""
    for line in lines:
        if line.name == token:
            for identity in line.expression.ids():
                yield ids.position(identity), identity
