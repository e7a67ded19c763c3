"""What a path pattern finds has to be two numbers."""

import pytest

from caf_core.calibration.filemap import by_path
from caf_core.errors import ConfigurationError
from caf_core.iov import IoV


def test_numbers_are_taken() -> None:
    assert by_path("e7_r12.root", r"e(?P<exp>\d+)_r(?P<run>\d+)") == IoV(7, 12, 7, 12)


@pytest.mark.parametrize("pattern", [r"(?P<exp>\w)(?P<run>\d*)", r"(?P<exp>)(?P<run>)"])
def test_anything_else_is_refused_in_words(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="not two numbers"):
        by_path("e7_r12.root", pattern)
