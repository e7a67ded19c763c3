"""The short ways to JSON and to the C library: the same as by the standard library's own."""

import ctypes
import errno
import json
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.processes import lean

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_texts_and_values_are_those_of_the_standard_library(value: object) -> None:
    text = json.dumps(value)
    assert lean.dump_json(value) == text
    assert lean.dump_json(lean.load_json(text)) == text
    assert lean.dump_json(lean.load_json(f" {text}\n".encode())) == text


@pytest.mark.parametrize("text", ["", " ", "{", '{"a": 1} x', "[1,]", "nul", '{"a" 1}', '"\n"', "\\"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        lean.load_json(text)


def test_a_value_without_a_form_is_refused() -> None:
    with pytest.raises(TypeError, match="set"):
        lean.dump_json({1})


def test_python_without_the_parts_in_c_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean, "in_c", None)
    assert lean.load_json(b'[1, {"a": null}]') == [1, {"a": None}]
    assert lean.dump_json([1, {"a": None}]) == '[1, {"a": null}]'


@pytest.mark.parametrize("in_c", [True, False])
def test_functions_of_the_c_library_are_called(monkeypatch, in_c):
    if not in_c:
        monkeypatch.setitem(sys.modules, "_ctypes", None)
        monkeypatch.setitem(sys.modules, "ctypes", ctypes)
    assert lean.call_libc("getpid") == os.getpid()
    with pytest.raises(OSError, match=r"Bad file descriptor.*close\(-1,\)") as caught:
        lean.call_libc("close", -1)
    assert caught.value.errno == errno.EBADF
