"""The short listings: what ``qstat -u USER`` and ``qstat -Q`` print.

Their columns are cut to a width that differs from version to version, but the first one always holds the
part of the id before the server, and no column can be empty or hold a blank. The listing costs a tenth of
full records, at the server as well as here.

Source:
    The manual pages qstat(1B) of PBS Professional and of Torque, section on the alternate display.
"""

from attrs import frozen

_STATE = 9
"""The column of the state: id, user, queue, name, session, nodes, tasks, memory, time, state, elapsed."""

_NAME = 3


@frozen
class Row:
    """One job of a listing.

    Args:
        key: Its id without the server.
        name: Its name, or the first part of it.
        state: The letter of its state; empty if it cannot be told.
    """

    key: str
    name: str
    state: str


def is_whole(text: str, *, ids: bool = False, exact: bool = False) -> bool:
    """Whether an answer is a listing, and was not cut off in the middle.

    Args:
        text: The answer; an empty one is a listing of nothing.
        ids: Whether it has an id a line and no header, and must be free of damage.
        exact: Whether a listing with a header must be free of damage, too.
    """
    if not text.strip():
        return True
    if (ids or exact) and "\ufffd" in text:
        return False
    if not text.endswith("\n"):
        return False
    if ids:
        return all(_key(line) for line in text.split())
    return any(line.lower().startswith("job id") for line in text.splitlines())


def rows(text: str) -> list[Row]:
    """The jobs of ``qstat -u USER``; headers and lines that cannot be read are left out."""
    found = []
    for line in text.splitlines():
        if not line[:1].isdigit():
            continue
        words = line.split()
        key = _key(words[0])
        if key and len(words) > _STATE and len(words[_STATE]) == 1:
            found.append(Row(key, words[_NAME], words[_STATE]))
    return found


def states(text: str) -> dict[str, str]:
    """The same for those who need nothing but the states: key -> letter."""
    found = {}
    for line in text.splitlines():
        if line[:1].isdigit():
            words = line.split(None, _STATE + 1)
            if len(words) > _STATE and len(words[_STATE]) == 1 and (key := _key(words[0])):
                found[key] = words[_STATE]
    return found


def keys(text: str) -> list[str]:
    """The first column of any listing of jobs."""
    return [key for line in text.splitlines() if line[:1].isdigit() and (key := _key(line.split()[0]))]


def queues(text: str) -> list[str]:
    """The names of ``qstat -Q``."""
    lines = text.splitlines()
    ruler = next((number for number, line in enumerate(lines) if line.startswith("---")), None)
    return [] if ruler is None else [line.split()[0] for line in lines[ruler + 1 :] if line.strip()]


def _key(word: str) -> str:
    """The id without its server; empty if even that was cut."""
    key = word.partition(".")[0]
    return key if key.isdigit() or key.endswith("]") else ""
