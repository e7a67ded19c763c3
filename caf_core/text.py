"""Text that comes from users, files and programs."""

from pathlib import Path

_TAIL = 16_384
_LONGEST = 500


def storable(text: object) -> str:
    """A text that databases, JSON files and terminals take.

    Python stands lone surrogates in for bytes of file names that are no UTF-8, and UTF-8 has no form for
    them: they are written as escapes (``\\udce9``).
    """
    return str(text).encode("utf-8", "backslashreplace").decode()


def clause(text: object) -> str:
    """A sentence of somebody else's, such as an error's, as a part of another one: without the full stop."""
    words = str(text).rstrip()
    return words if words.endswith("..") else words.removesuffix(".")


def counted(entries: int | None) -> str:
    """``1 entry``, ``5 entries``, or that nobody counted them."""
    if entries is None:
        return "entries were not counted"
    return f"{entries} {'entry' if entries == 1 else 'entries'}"


def in_a_sentence(line: str) -> str:
    """A line of a program as part of a sentence, without what would confuse a terminal."""
    plain = clause("".join(one if one.isprintable() else " " for one in line).strip())
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]} ..."


def last_lines(path: Path, count: int = 1, part: tuple[int, int | None] = (0, None)) -> list[str]:
    """The last lines of a log that are not empty; none if it cannot be read.

    Args:
        path: The log.
        count: How many lines.
        part: Where the part begins and ends that counts [bytes].
    """
    begin, end = part
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2) if end is None else end
            begin = file.seek(max(begin, end - _TAIL))
            text = file.read(max(0, end - begin)).decode("utf-8", errors="replace")
    except OSError:
        return []
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return lines[-count:] if count else []


def with_last_line(what: str, path: Path, begin: int = 0) -> str:
    """What ended a program, and the last line that it wrote to its log.

    Args:
        what: What ended it.
        path: The log.
        begin: Where its part of the log begins [bytes].
    """
    said = [in_a_sentence(line) for line in last_lines(path, part=(begin, None))]
    if not said or said[0] in what:
        return what
    return said[0] if what in said[0] else f"{what}: {said[0]}"
