"""Job ids: ``12.server``, and ``12[3].server`` for a task of the array ``12[].server``."""

import re
from collections.abc import Iterable, Iterator

from attrs import frozen

_ID = re.compile(r"(\d+)(\[\d*\])?(\.\S+)?\Z")


@frozen
class JobId:
    """A job id in its parts.

    Args:
        number: The number, as text.
        index: The index in brackets, ``[3]``; ``[]`` for a whole array; empty for a single job.
        server: The server with its dot; empty where it was left out.
    """

    number: str
    index: str = ""
    server: str = ""

    @property
    def key(self) -> str:
        """The part before the server, which no listing cuts off."""
        return self.number + self.index

    @property
    def parent(self) -> "JobId":
        """The array that it belongs to; a single job itself."""
        return JobId(self.number, "[]" if self.index else "", self.server)

    @property
    def position(self) -> int | None:
        """Its index as a number, 0 for a single job; ``None`` for a whole array."""
        if not self.index:
            return 0
        return int(self.index[1:-1]) if len(self.index) > 2 else None

    def element(self, position: int) -> "JobId":
        """A task of this array."""
        return JobId(self.number, f"[{position}]", self.server)

    def __str__(self) -> str:
        return self.number + self.index + self.server


def parse(text: str) -> JobId | None:
    """The parts of an id; ``None`` if it is none of PBS."""
    found = _ID.match(text.strip())
    return JobId(found[1], found[2] or "", found[3] or "") if found else None


def printed_ids(text: str) -> Iterator[JobId]:
    """The ids that ``qsub`` may have printed: whole lines, with the server (``sequence_number.server``, says
    its manual), which is no number. What a site prints around the id must not be taken for it.
    """
    for line in text.splitlines(keepends=True):
        found = parse(line)
        # A line without its end may have been cut off in the middle.
        if line.endswith("\n") and found is not None and re.search("[A-Za-z]", found.server):
            yield found


def all_in(text: str) -> Iterator[JobId]:
    """The ids of an answer that has one a line."""
    for line in text.splitlines():
        found = parse(line)
        if found is not None:
            yield found


def bundled(ids: Iterable[JobId], most: int) -> Iterator[list[JobId]]:
    """Ids in bundles that fit a command line."""
    bundle: list[JobId] = []
    for one in ids:
        bundle.append(one)
        if len(bundle) == most:
            yield bundle
            bundle = []
    if bundle:
        yield bundle
