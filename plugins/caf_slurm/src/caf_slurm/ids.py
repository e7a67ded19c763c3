"""Slurm's ids: ``123`` for a job, ``123_4`` for a task of an array, ``123_[0-3,8%2]`` for several.

See https://slurm.schedmd.com/job_array.html.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from attrs import frozen

_BASE = re.compile(r"[1-9][0-9]*", re.ASCII)
_ID = re.compile(r"([1-9][0-9]*)(?:_([0-9]+))?", re.ASCII)
_SPAN = re.compile(r"([0-9]+)(?:-([0-9]+)(?::([0-9]+))?)?", re.ASCII)

TEXT_LIMIT = 4_000
"""Longest text of one expression in a command; the controller has limits of its own for it."""
TASK_LIMIT = 5_000_000
"""More tasks than any array has: an expression that says so is garbage."""


@frozen
class Expression:
    """Several tasks of one job.

    Args:
        base: The id of the job or of the array.
        indices: The tasks of the array; ``None`` for a job that is no array.
        whole: Whether nothing was left out: Slurm shortens long expressions.
    """

    base: str
    indices: Sequence[int] | None = None
    whole: bool = True

    def ids(self) -> Iterator[str]:
        """The id of each task."""
        if self.indices is None:
            yield self.base
        else:
            for index in self.indices:
                yield f"{self.base}_{index}"


def split(identity: str) -> tuple[str, int | None] | None:
    """The base and the index of an id; ``None`` if it is none of Slurm's."""
    match = _ID.fullmatch(identity)
    if match is None:
        return None
    return match[1], None if match[2] is None else int(match[2])


def position(identity: str) -> int:
    """The position in the manifest of the task with this id: its index, or 0 for a job that is no array."""
    return int(identity.partition("_")[2] or 0)


def read(text: str) -> Expression | None:
    """What an id or an expression names; ``None`` if it cannot be understood at all.

    An expression that was cut off (``123_[0,2,4...`` or without its last bracket) names what can be read for
    certain, and is not ``whole``.
    """
    base, underscore, rest = text.partition("_")
    if not _BASE.fullmatch(base):
        return None
    if not underscore:
        return Expression(base)
    cut = rest.startswith("[") and not rest.endswith("]")
    spans = rest.strip("[]").partition("%")[0].split(",")
    if cut:
        del spans[-1]
    numbers: list[int] = []
    for span in spans:
        part = _numbers(span)
        if part is None or len(numbers) + len(part) > TASK_LIMIT:
            cut = True
        else:
            numbers.extend(part)
    return Expression(base, numbers, whole=not cut)


def _numbers(span: str) -> range | None:
    """The numbers of ``7``, ``0-3`` or ``10-20:2``."""
    match = _SPAN.fullmatch(span)
    if match is None:
        return None
    first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
    return range(first, last + 1, step) if step and first <= last else None


def collapse(ids: Iterable[str]) -> list[str]:
    """The shortest texts that name these tasks, each shorter than ``TEXT_LIMIT``; what is no id of Slurm's is
    left out.
    """
    singles: dict[str, None] = {}
    arrays: dict[str, set[int]] = {}
    for identity in ids:
        parts = split(identity)
        if parts is None:
            continue
        base, index = parts
        if index is None:
            singles[base] = None
        else:
            arrays.setdefault(base, set()).add(index)
    texts = list(singles)
    for base, numbers in arrays.items():
        texts.extend(f"{base}_[{part}]" for part in _ranges(sorted(numbers)))
    return texts


def _ranges(numbers: Sequence[int]) -> Iterator[str]:
    """``0-3,8`` for sorted numbers, in parts that are not too long."""
    part = ""
    first = last = numbers[0]
    for number in (*numbers[1:], None):
        if number == last + 1:
            last = number
            continue
        span = str(first) if first == last else f"{first}-{last}"
        if len(part) + len(span) >= TEXT_LIMIT:
            yield part
            part = ""
        part = f"{part},{span}" if part else span
        if number is not None:
            first = last = number
    yield part


def chunks(texts: Sequence[str], limit: int) -> Iterator[list[str]]:
    """Texts in parts that a command line can carry.

    Args:
        texts: The texts.
        limit: Length of a part; it has one text at least.
    """
    part: list[str] = []
    length = 0
    for text in texts:
        if part and length + len(text) + 1 > limit:
            yield part
            part, length = [], 0
        part.append(text)
        length += len(text) + 1
    if part:
        yield part
