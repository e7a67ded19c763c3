"""Ids of tasks as LSF writes them: ``123`` for a job, ``123[4]`` for an element of an array."""

import re
from collections.abc import Iterable
from functools import lru_cache

_ID = re.compile(r"(\d+)(?:\[(\d+)\])?")

ARGUMENT = 400
"""How long one list of indices may be; the open versions copy it into 512 bytes without looking."""


@lru_cache(maxsize=1 << 17)
def split_id(one: str) -> tuple[str, int] | None:
    """The number and the index of an id, 0 for a plain job; ``None`` for what is no id of LSF."""
    match = _ID.fullmatch(one)
    return (match[1], int(match[2] or 0)) if match else None


def join_id(number: str, index: int) -> str:
    """The id of a task."""
    return f"{number}[{index}]" if index else number


def element_lists(number: str, indices: Iterable[int], most: int) -> list[tuple[str, int]]:
    """Elements of an array as LSF's commands take them, such as ``123[1-4,7]``.

    Args:
        number: The number of the array.
        indices: The indices of the elements, from 1.
        most: So many elements in one list at most.
    Returns:
        The lists, each with the number of its elements.
    """
    lists: list[tuple[str, int]] = []
    parts: list[str] = []
    count = length = 0
    for first, last in _ranges(sorted(set(indices)), most):
        part = str(first) if first == last else f"{first}-{last}"
        size = last - first + 1
        if parts and (length + len(part) > ARGUMENT or count + size > most):
            lists.append((f"{number}[{','.join(parts)}]", count))
            parts, count, length = [], 0, 0
        parts.append(part)
        count += size
        length += len(part) + 1
    if parts:
        lists.append((f"{number}[{','.join(parts)}]", count))
    return lists


def _ranges(indices: list[int], most: int) -> list[tuple[int, int]]:
    """Sorted numbers as ranges of limited length."""
    ranges: list[tuple[int, int]] = []
    for index in indices:
        if ranges and index == ranges[-1][1] + 1 and index - ranges[-1][0] < most:
            ranges[-1] = (ranges[-1][0], index)
        else:
            ranges.append((index, index))
    return ranges
