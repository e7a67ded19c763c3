"""What caf writes for machines is JSON, whatever numbers are in it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from caf_core.errors import ConfigurationError
from caf_core.json_text import exact_json, json_text
from caf_core.processes.lean import dump_json
from caf_core.processes.protocol import dumps

KEYS = st.text() | st.integers() | st.floats() | st.none() | st.booleans() | st.tuples(st.integers())
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers()
)
VALUES = st.recursive(
    SCALARS | SCALARS.map(lambda value: np.asarray(value)) | st.floats(width=32).map(np.float32),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner) | st.lists(inner).map(tuple),
    max_leaves=8,
)


def read(text: str):
    """As a reader does that keeps to the standard."""

    def refuse(word: str):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@given(VALUES)
def test_whatever_there_is_becomes_json(value) -> None:
    read(json_text(value))
    read(json_text(value, indent=2))


@given(st.floats())
def test_a_number_can_be_read_back(value) -> None:
    again = float(read(json_text([value]))[0])
    assert again == value or (math.isnan(again) and math.isnan(value))


def test_arrays_objects_and_paths_are_written_as_what_they_hold() -> None:
    @frozen
    class Fit:
        mean: float
        channels: np.ndarray

    content = {(1, 2): Fit(math.inf, np.array([1.0, np.nan])), "at": Path("/x"), "numbers": {3, 1}}
    assert read(json_text(content)) == {
        "(1, 2)": {"mean": "inf", "channels": [1.0, "nan"]},
        "at": "/x",
        "numbers": [1, 3],
    }


def test_what_must_come_back_as_it_was_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"^\['a'\]\[1\]: nan cannot be written as JSON"):
        exact_json({"a": [1.0, math.nan]})
    assert exact_json({"a": [1.0]}) == '{"a": [1.0]}'


@pytest.mark.parametrize("write", [dump_json, dumps])
def test_messages_between_processes_hold_finite_numbers(write) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write([math.nan])
