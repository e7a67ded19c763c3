"""What ``squeue`` prints: one line a job, one line for all tasks of an array that wait."""

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from caf_slurm import ids
from caf_slurm.clusters import HERE
from caf_slurm.states import Row, is_launch_hold

FORMAT = "%i|%A|%j|%T|%r|%B"
"""Id, Slurm's inner id, name, state, reason, host; the reason is free text, so it is found from both ends."""

_HIDING = ("ACCOUNT", "NAMES", "PARTITION", "QOS", "STATES", "USERS", "LICENSES", "FORMAT", "FORMAT2", "SORT")
WHOLE: Mapping[str, str | None] = {
    # Keeps Slurm from shortening long expressions such as ``123_[1,3,5,...]``.
    "SLURM_BITSTR_LEN": "0",
    # What a user has set for ``squeue`` would hide jobs.
    **{f"SQUEUE_{name}": None for name in _HIDING},
    **HERE,
}
"""The environment in which ``squeue`` tells everything."""

STATUS_WIDTH = 24
STATUS_FORMAT = f"jobarrayid:{STATUS_WIDTH},exit_code:{STATUS_WIDTH}"
"""For ``-O``, which alone knows exit codes; only fixed columns are understood by every version."""


@frozen
class Origin:
    """Where a task of interest comes from.

    Args:
        raw: Slurm's inner id, which its messages use.
        name: The name of its job: a token.
    """

    raw: str
    name: str


@frozen
class Listing:
    """What ``squeue`` knows.

    Args:
        rows: What it says of each task, by id.
        origins: The origin of those tasks of which somebody may ask more.
        bases: The jobs and arrays that are listed.
        garbled: Those of which something could not be read; their tasks are not gone when not listed.
    """

    rows: dict[str, Row] = field(factory=dict)
    origins: dict[str, Origin] = field(factory=dict)
    bases: set[str] = field(factory=set)
    garbled: set[str] = field(factory=set)


def read(text: str, name: str | None = None) -> Listing:
    """Read the answer for ``FORMAT``; a line that cannot be read spoils no other.

    Args:
        text: The answer.
        name: Only jobs of this name; all of them by default.
    """
    listing = Listing()
    rows: dict[str, Row | None] = {}
    for line in text.splitlines():
        try:
            identity, raw, job, tail = line.split("|", 3)
        except ValueError:
            base = line.partition("|")[0].partition("_")[0]
            if ids.split(base):
                listing.garbled.add(base)
            continue
        if name is not None and job != name:
            continue
        # Thousands of lines have the same end; it is read once.
        row = rows[tail] if tail in rows else rows.setdefault(tail, _row(tail))
        base = identity.partition("_")[0]
        if row is None:
            listing.garbled.add(base)
            continue
        listing.bases.add(base)
        if "[" not in identity:
            listing.rows[identity] = row
            if row.state == "FAILED" or is_launch_hold(row):
                listing.origins[identity] = Origin(raw, job)
            continue
        expression = ids.read(identity)
        if expression is None or not expression.whole:
            listing.garbled.add(base)
        if expression is not None:
            listing.rows.update(dict.fromkeys(expression.ids(), row))
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
    return sum(_size(line.strip()) for line in lines if line.strip()[:1].isdecimal())


def _size(text: str) -> int:
    expression = ids.read(text)
    if expression is None or expression.indices is None:
        return 1
    return len(expression.indices)
