"""The job event log: bytes in, events out.

An event is a header such as ``005 (012.003.000) 2026-03-01 10:00:00 Job terminated.``, lines that are
indented, and a line of three dots. Nothing here knows what an event means (see ``caf_htcondor.states``).
"""

import re
from collections.abc import Iterator

from attrs import define, frozen

_END = b"\n...\n"
_HEADER = re.compile(r"(\d{3}) \((-?\d+)\.(-?\d+)\.-?\d+\) ")
_NEXT_HEADER = re.compile(r"\n(?=\d{3} \(-?\d+\.-?\d+\.-?\d+\) )")


@frozen
class Event:
    """One event.

    Args:
        number: Its kind.
        cluster: The cluster that it is about.
        proc: The job in the cluster; negative for an event about the cluster itself.
        text: All of it, without the dots.
    """

    number: int
    cluster: int
    proc: int
    text: str

    @property
    def lines(self) -> list[str]:
        """The lines after the header, without what indents them."""
        return [line.strip() for line in self.text.split("\n")[1:]]


@define
class EventReader:
    """Cuts a log that grows into events; the last one is kept until it is complete.

    What is no event is left out. An event that was not finished before the next one began, as happens on a
    file system that was full for a moment, spoils only itself.
    """

    _rest: bytes = b""

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take the next bytes of the log.

        Returns:
            The events that they complete.
        """
        *complete, self._rest = (self._rest + data).split(_END)
        for block in complete:
            text = block.decode("utf-8", "replace")
            # Only a header begins a line with a digit, and today's numbers all begin with a zero.
            parts = _NEXT_HEADER.split(text) if "\n0" in text else (text,)
            for part in parts:
                header = _HEADER.match(part)
                if header:
                    number, cluster, proc = map(int, header.groups())
                    yield Event(number, cluster, proc, part)
