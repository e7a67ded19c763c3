"""Whole numbers at the edge: what users, files and numpy hand over as experiment and run."""

from operator import index
from typing import SupportsIndex

from caf_core.errors import InvalidIoVError

LARGEST = 2**63 - 2
"""The largest experiment and run: files and databases store 64 bits, and the run after it must be one too."""


def whole(value: SupportsIndex) -> int:
    """An ``int`` from anything that is a whole number, numpy's included.

    Raises:
        InvalidIoVError: If it is not one (``1.0`` and ``"1"`` are not), or too large to be stored.
    """
    try:
        number = index(value)
    except TypeError as error:
        raise InvalidIoVError(f"{value!r} is not a whole number; experiments and runs are.") from error
    if abs(number) > LARGEST:
        raise InvalidIoVError(
            f"{number} is too large for an experiment or a run; at most {LARGEST} is stored."
        )
    return number


def split_numbers(text: str, count: int, form: str) -> list[int]:
    """The numbers of a comma-separated text.

    Args:
        text: Such as ``"1,0,1,-1"``; blanks around the numbers do no harm.
        count: How many numbers there must be.
        form: How the text should look, for the error.
    Raises:
        InvalidIoVError: If the text does not look like that.
    """
    parts = text.split(",")
    try:
        numbers = [int(part) for part in parts]
    except ValueError as error:
        raise InvalidIoVError(f"{text!r} cannot be read; write it as {form}.") from error
    if len(numbers) != count:
        raise InvalidIoVError(f"{text!r} has {len(numbers)} numbers instead of {count}; write it as {form}.")
    return numbers
