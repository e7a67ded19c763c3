"""Events in canonical order."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun
from caf_root import Events

ROWS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, 2),
        st.integers(0, 4),
        st.floats(width=32, allow_nan=True),
        st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


def events(rows):
    exp, run, event, x, flag = zip(*rows, strict=True) if rows else ((),) * 5
    return Events(
        {
            "experiment": np.array(exp, dtype=np.int32),
            "run": np.array(run, dtype=np.int32),
            "event": np.array(event, dtype=np.int64),
            "x": np.array(x, dtype=np.float32),
            "flag": np.array(flag, dtype=bool),
        }
    )


def raw(part):
    return {name: column.tobytes() for name, column in sorted(part.columns.items())}


@given(ROWS, st.data())
def test_the_order_does_not_depend_on_the_split(rows, data):
    shuffled = data.draw(st.permutations(rows))
    cut = data.draw(st.integers(0, len(rows)))
    merged = Events.merge([events(shuffled[:cut]), events(shuffled[cut:])])
    assert raw(merged) == raw(events(rows))
    keys = list(zip(*(merged[key].tolist() for key in ("experiment", "run", "event")), strict=True))
    assert keys == sorted(keys)


def test_runs_and_pickles():
    table = pickle.loads(
        pickle.dumps(events([(1, 2, 5, 0.5, True), (1, 1, 7, 1.5, False), (1, 2, 3, 2.5, True)]))
    )
    parts = dict(table.by_run())
    assert list(parts) == [ExpRun(1, 1), ExpRun(1, 2)]
    assert parts[ExpRun(1, 2)]["x"].tolist() == [2.5, 0.5] and len(table) == 3


def test_columns_of_vectors_and_other_names():
    table = Events(
        {"e": [1, 1], "r": [1, 1], "n": [2, 1], "p": [[1.0, 2.0], [3.0, 4.0]]}, keys=("e", "r", "n")
    )
    assert table["p"].tolist() == [[3.0, 4.0], [1.0, 2.0]]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigurationError, match="no column 'event'"):
        Events({"experiment": [1], "run": [1]})
    with pytest.raises(ConfigurationError, match="different lengths"):
        Events({"experiment": [1], "run": [1], "event": [1, 2]})
    with pytest.raises(ConfigurationError, match="different columns"):
        Events.merge([events([(1, 1, 1, 0.0, True)]), Events({"experiment": [1], "run": [1], "event": [1]})])
    with pytest.raises(ConfigurationError, match="at least one"):
        Events.merge([])
