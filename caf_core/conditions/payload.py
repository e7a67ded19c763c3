"""What is stored: a payload, the line that names it, and its encoded form."""

import re
from typing import Any

from attrs import Attribute, evolve, field, frozen
from attrs.converters import optional

from caf_core.conditions.provenance import Provenance
from caf_core.errors import InvalidIoVError, PayloadError
from caf_core.iov import IoV, as_iov

# A name becomes part of a file name, of a line with blanks between its fields, and of an SQL row: plain
# ASCII keeps it the same in all three.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,149}")
_REVISION = re.compile(r"[0-9a-f]{16}")
# Of basf2: the name behind ``dbstore/``, and the revision a number or the beginning of an MD5 sum.
_BASF2_LINE = re.compile(r"\s*dbstore/([^\s/#]+)\s+([0-9A-Za-z]+)\s+(-?\d+,-?\d+,-?\d+,-?\d+)\s*", re.ASCII)
_LINE = re.compile(rf"({_NAME.pattern}) ({_REVISION.pattern}) (-?\d+,-?\d+,-?\d+,-?\d+)", re.ASCII)


def check_name(name: object) -> str:
    """Return a payload's name if it can be one.

    Raises:
        PayloadError: If it has other characters than letters, digits and ``_ . + -``, or is too long.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PayloadError(
            f"{name!r} cannot be the name of a payload: use at most 150 of the ASCII letters, "
            f"digits, and '_', '.', '+', '-', "
            "and begin with a letter, a digit or '_'."
        )
    return name


def _valid_name(_instance: object, _attribute: "Attribute[str]", value: str) -> None:
    check_name(value)


@frozen
class Payload:
    """Constants on their way into a database.

    Args:
        name: What the constants are called.
        content: Plain values, attrs objects, numpy arrays, bytes, or whatever an installed codec accepts.
        iov: Where they hold; ``None`` leaves it to whoever commits them.
        codec: The name of the codec; ``None`` takes the first that accepts the content.
    """

    name: str = field(validator=_valid_name)
    content: Any
    iov: IoV | None = field(default=None, converter=optional(as_iov))
    codec: str | None = None


@frozen(cache_hash=True)
class Entry:
    """One line of ``database.txt``: which revision of a payload holds where."""

    name: str
    revision: str
    iov: IoV

    def line(self) -> str:
        """The line, without its end."""
        return f"{'dbstore/' * self.of_basf2}{self.name} {self.revision} {self.iov}"

    @property
    def of_basf2(self) -> bool:
        """Whether it stands in a database that basf2 wrote: its revision is no hash of caf's."""
        return not _REVISION.fullmatch(self.revision)

    @classmethod
    def parse(cls, line: str) -> "Entry":
        """Read a line, of caf or of basf2.

        Raises:
            PayloadError: If it is not as ``line`` writes it (basf2's may have other blanks).
        """
        match = _LINE.fullmatch(line)
        if match is None:
            match = _BASF2_LINE.fullmatch(line)
            if match is None or _REVISION.fullmatch(match[2]):
                raise PayloadError(
                    f"{line!r} is not '<name> <revision> <exp_low>,<run_low>,<exp_high>,<run_high>'."
                )
        return cls(match[1], match[2], _interval(line, match[3]))


def _interval(line: str, text: str) -> IoV:
    try:
        iov = IoV.parse(text)
    except InvalidIoVError as error:
        raise PayloadError(f"{line!r} has an impossible interval: {error}") from error
    if iov.empty:
        raise PayloadError(f"{line!r} has an empty interval.")
    return iov


@frozen
class StoredPayload:
    """A payload as a database keeps it: encoded, and with its origin.

    Args:
        entry: Name, revision and interval.
        suffix: The suffix of the codec that wrote it, which names the codec that can read it.
        data: The canonical bytes.
        provenance: Where it came from.
    """

    entry: Entry
    suffix: str
    data: bytes = field(repr=False)
    provenance: Provenance = field(factory=Provenance)

    def valid_for(self, iov: IoV) -> "StoredPayload":
        """The same constants for another interval."""
        return evolve(self, entry=evolve(self.entry, iov=iov))
