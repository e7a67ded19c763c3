"""ROOT files as bytes that depend on their content only."""

import io
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_CLOCK = threading.Lock()
_NO_DATE = 1 << 22 | 1 << 17
"""ROOT's code for 1 January 1995, 00:00, the beginning of its calendar (TDatime)."""


class _Kept(io.BytesIO):
    """A buffer whose content outlives uproot's closing it."""

    content = b""

    def close(self) -> None:
        if not self.closed:
            self.content = self.getvalue()
        super().close()


def root_bytes(write: Callable[[Any], None]) -> bytes:
    """Write a ROOT file into memory; the same content gives the same bytes, in every process and at any time.

    A ROOT file holds its name, an identifier, the times at which its parts were made, and whatever the
    compression library of the day makes of the data. Here the name and the identifier are fixed, nothing is
    compressed, and every time is the same.

    Args:
        write: Given the file's top directory of uproot; writes the objects, in an order that follows from the
            content.
    Raises:
        RuntimeError: If this version of uproot would write the time all the same.
    """
    import uproot

    buffer = _Kept()
    with (
        _stopped_clock(uproot._util),
        uproot.recreate(buffer, compression=None, uuid_function=lambda: uuid.UUID(int=0)) as directory,
    ):
        write(directory)
    return buffer.content


@contextmanager
def _stopped_clock(util: Any) -> Iterator[None]:
    """Let uproot write one fixed date.

    It takes the time from the system wherever it writes a record, without a way to say otherwise, but all
    these times pass through one function. Threads that write ROOT files meanwhile get the fixed date too,
    which harms nobody.
    """
    with _CLOCK:
        original, used = util.datetime_to_code, []

        def fixed(_time: object) -> int:
            used.append(1)
            return _NO_DATE

        util.datetime_to_code = fixed
        try:
            yield
        finally:
            util.datetime_to_code = original
    if not used:
        raise RuntimeError(
            "this version of uproot writes times in a way that caf-root does not know; install another one"
        )
