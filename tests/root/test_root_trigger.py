"""Selecting events by trigger lines."""

from itertools import pairwise

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.errors import ConfigurationError
from caf_root import TriggerLine, TriggerSkim, read_chunks
from caf_root.trigger import event_hash

CHUNK = {
    "HLT_Mu15_v1": np.array([True, False, False, True]),
    "HLT_Mu15_v2": np.array([False, True, False, False]),
    "HLT_Ele8": np.array([1, 0, -1, 0]),
}


def numbered(length, run=1):
    return {
        "experiment": np.full(length, 3),
        "run": np.full(length, run),
        "event": np.arange(length),
        "HLT_a": np.ones(length, dtype=bool),
        "HLT_b": np.ones(length, dtype=bool),
    }


@pytest.mark.parametrize(
    ("skim", "passed"),
    [
        (TriggerSkim("HLT_Mu15_v1"), [1, 0, 0, 1]),
        (TriggerSkim(["HLT_Mu15_v*"]), [1, 1, 0, 1]),
        (TriggerSkim(["HLT_Mu15_v?", "HLT_Ele8"], "and"), [1, 0, 0, 0]),
        (TriggerSkim(["HLT_Mu15_v2", "HLT_Ele8"], "or"), [1, 1, 0, 0]),
        (TriggerSkim(["HLT_Mu15_v*", "HLT_Ele8"], "and", False), [0, 0, 1, 0]),
        (TriggerSkim(["HLT_Mu15_v1", "HLT_Ele8"], "or", expected=False), [0, 1, 1, 1]),
        (TriggerSkim(["HLT_Mu15_v1", ("HLT_Ele8", 0)]), [1, 0, 0, 1]),
        (TriggerSkim(["HLT_Mu15_v1", TriggerLine("HLT_Ele8", 0)], "and"), [0, 0, 0, 0]),
    ],
)
def test_logic_patterns_and_results(skim, passed):
    assert skim.mask(CHUNK).tolist() == [bool(value) for value in passed]


@pytest.mark.parametrize(
    ("logic", "on_missing", "passed"),
    [
        ("or", "fail", [1, 0, 0, 1]),
        ("or", "pass", [1, 1, 1, 1]),
        ("and", "fail", [0, 0, 0, 0]),
        ("and", "pass", [1, 0, 0, 1]),
    ],
)
def test_missing_lines(logic, on_missing, passed):
    skim = TriggerSkim(["HLT_Mu15_v1", "HLT_Photon*"], logic, on_missing=on_missing)
    assert skim.mask(CHUNK).tolist() == [bool(value) for value in passed]
    with pytest.raises(
        ConfigurationError, match=r"no trigger line 'HLT_Photon\*'.*on_missing='fail' or 'pass'"
    ):
        TriggerSkim(["HLT_Mu15_v1", "HLT_Photon*"], logic).mask(CHUNK)


@given(
    st.lists(st.integers(0, 500), max_size=4),
    st.integers(1, 9),
    st.integers(0, 3),
    st.permutations(range(50)),
)
def test_prescales_do_not_depend_on_the_split(cuts, prescale, seed, order):
    whole = numbered(500)
    skim = TriggerSkim([("HLT_a", prescale)], seed=seed)
    edges = [0, *sorted(cuts), 500]
    parts = [{k: v[a:b] for k, v in whole.items()} for a, b in pairwise(edges)]
    passed = np.concatenate([skim.mask(part) for part in parts])
    assert np.array_equal(passed, skim.mask(whole))
    shuffled = {k: v[list(order)] for k, v in whole.items()}
    assert np.array_equal(skim.mask(shuffled), skim.mask(whole)[list(order)])


@pytest.mark.parametrize("prescale", [2, 10, 1000])
def test_prescales_keep_one_event_in_so_many(prescale):
    length = 400_000
    kept = TriggerSkim([("HLT_a", prescale)]).mask(numbered(length))
    expected, sigma = length / prescale, np.sqrt(length / prescale * (1 - 1 / prescale))
    assert abs(kept.sum() - expected) < 4 * sigma
    assert abs(kept[1:][kept[:-1]].mean() - 1 / prescale) < 5 * np.sqrt(1 / prescale / kept.sum())


def test_lines_seeds_and_runs_draw_independently():
    length = 100_000
    one = TriggerSkim([("HLT_a", 2)]).mask(numbered(length))
    others = [
        TriggerSkim([("HLT_b", 2)]).mask(numbered(length)),
        TriggerSkim([("HLT_a", 2)], seed=1).mask(numbered(length)),
        TriggerSkim([("HLT_a", 2)]).mask(numbered(length, run=2)),
    ]
    assert all(abs((one == other).mean() - 0.5) < 0.01 for other in others)


def test_the_hash_is_the_same_for_ever():
    """Other values would select other events than in the years before."""
    numbers = event_hash(
        [np.array([7, 7], dtype=np.int32), np.array([1, 2], dtype=np.uint32), np.array([-1, 5])], "0:HLT_a"
    )
    assert numbers.tolist() == PINNED


PINNED = [9539796339880440624, 80259831078776876]


def test_select_and_reading_together(write_root):
    path = write_root("skim.root", Events={"run": [1, 1], "x": [0.5, 1.5], "HLT_Mu9": [False, True]})
    skim = TriggerSkim(["HLT_Mu9", "HLT_New"], on_missing="fail")
    (chunk,) = read_chunks([str(path)], "Events", ["run", "x"], optional=skim.branches)
    assert skim.select(chunk)["x"].tolist() == [1.5]


def test_jagged_columns_are_selected():
    jets = ak.Array([[1.0], [2.0, 3.0], []])
    for line in (np.array([True, False, True]), ak.Array([True, False, True])):
        selected = TriggerSkim("HLT_a").select({"HLT_a": line, "jets": jets, "word": ["x", "y", "z"]})
        assert selected["jets"].tolist() == [[1.0], []] and selected["word"].tolist() == ["x", "z"]


def test_what_cannot_be_meant_is_refused():
    for wrong in ({"logic": "xor"}, {"on_missing": "ignore"}):
        with pytest.raises(ConfigurationError, match=r"give '(or|error)'"):
            TriggerSkim(["a"], **wrong)
    for wrong in ("fired", 1, None):
        with pytest.raises(ConfigurationError, match="give True or False"):
            TriggerSkim(["a"], expected=wrong)
    for line in (np.ones((2, 2), dtype=bool), ak.Array([[True], []]), np.array(["a", "b"])):
        with pytest.raises(ConfigurationError, match="'a' does not hold one number an event"):
            TriggerSkim("a").mask({"a": line})
    with pytest.raises(ConfigurationError, match="at least one"):
        TriggerSkim([])
    with pytest.raises(ConfigurationError, match="prescale -1"):
        TriggerSkim([("a", -1)])
    with pytest.raises(ConfigurationError, match="needs the column 'run'"):
        TriggerSkim([("HLT_Ele8", 2)]).mask(CHUNK)
