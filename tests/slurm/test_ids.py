"""Ids, and expressions that name several."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_slurm import ids

BASES = st.integers(1, 67_000_000).map(str)
INDICES = st.sets(st.integers(0, 3000), min_size=1)


def named(texts):
    return [identity for text in texts for identity in ids.read(text).ids()]


@given(BASES, INDICES)
def test_what_is_collapsed_is_read_again(base, indices):
    texts = ids.collapse(f"{base}_{index}" for index in indices)
    assert sorted(named(texts)) == sorted(f"{base}_{index}" for index in indices)
    assert all(ids.read(text).whole for text in texts)


@given(st.lists(st.tuples(BASES, st.none() | st.integers(0, 50))))
def test_jobs_and_arrays_together(parts):
    asked = [base if index is None else f"{base}_{index}" for base, index in parts]
    texts = ids.collapse(asked)
    assert set(named(texts)) == set(asked)
    assert len(texts) <= len({base for base, _ in parts}) * 2


def test_ranges_are_short():
    assert ids.collapse(f"7_{index}" for index in (*range(1000), 2000, 2001)) == ["7_[0-999,2000-2001]"]
    assert ids.collapse(["5", "7_3", "5"]) == ["5", "7_[3]"]
    assert ids.collapse(["", "no-such-id", "7_", "_3", "7_x", "0", "-1"]) == []


def test_long_expressions_are_cut_into_several():
    texts = ids.collapse(f"7_{index}" for index in range(0, 20_000, 2))
    assert len(texts) > 1
    assert max(map(len, texts)) < ids.TEXT_LIMIT + 30
    assert len(named(texts)) == 10_000


@given(BASES, INDICES, st.data())
def test_an_expression_that_is_cut_off_names_nothing_wrong(base, indices, data):
    (text,) = ids.collapse(f"{base}_{index}" for index in indices)
    place = data.draw(st.integers(len(base) + 1, len(text) - 1))
    for cut in (text[:place], f"{text[:place]}...%4]"):
        expression = ids.read(cut)
        if expression is not None:
            assert not expression.whole or cut == base
            assert set(expression.indices or ()) <= indices


@given(st.text())
def test_any_text_can_be_read(text):
    expression = ids.read(text)
    assert expression is None or re.fullmatch("[0-9]+", expression.base)


@pytest.mark.parametrize(
    ("text", "base", "indices", "whole"),
    [
        ("12", "12", None, True),
        ("12_4", "12", [4], True),
        ("12_[4]", "12", [4], True),
        ("12_[0-2,9%2]", "12", [0, 1, 2, 9], True),
        ("12_[0-8:4]", "12", [0, 4, 8], True),
        ("12_[0,2,4...%2]", "12", [0, 2], False),
        ("12_[0,2,4", "12", [0, 2], False),
        ("12_[0-2,x,5]", "12", [0, 1, 2, 5], False),
        ("12_[5-2]", "12", [], False),
        ("12_[0-99999999999]", "12", [], False),
        ("12_[0-5:0]", "12", [], False),
    ],
)
def test_expressions(text, base, indices, whole):
    expression = ids.read(text)
    found = None if expression.indices is None else list(expression.indices)
    assert (expression.base, found, expression.whole) == (base, indices, whole)


def test_positions():
    assert [ids.position(identity) for identity in ("12", "12_0", "12_7")] == [0, 0, 7]


@given(st.lists(st.text(min_size=1, max_size=9)), st.integers(1, 30))
def test_chunks_hold_everything(texts, limit):
    parts = list(ids.chunks(texts, limit))
    assert [text for part in parts for text in part] == texts
    assert all(len(part) == 1 or len(" ".join(part)) <= limit for part in parts)
