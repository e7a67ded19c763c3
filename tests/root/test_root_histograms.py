"""Per-run histograms: the same sums in whatever way they are made."""

import pickle

import boost_histogram as bh
import hist
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun
from caf_root import Counts, RunHistograms

MASS = hist.axis.Regular(6, 60, 120, name="mass", label="m [GeV]")
ETA = bh.axis.Variable([-2.4, 0.0, 1.0, 2.4])

EVENTS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 5), st.floats(50, 130, width=32), st.floats(-3, 3, width=32)),
    max_size=60,
)


def columns(events):
    table = np.array(events, dtype=float).reshape(-1, 4)
    return [*table[:, :2].astype(int).T, *table[:, 2:].T]


def direct(events):
    """Filled by hist itself, all at once."""
    histogram = bh.Histogram(MASS, ETA, storage=bh.storage.Int64())
    histogram.fill(*columns(events)[2:])
    return histogram.view(flow=True)


@given(EVENTS, st.data())
def test_merging_any_split_equals_direct_filling(events, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=4)))
    pieces = [events[a:b] for a, b in zip([0, *cuts], [*cuts, len(events)], strict=True)]
    order = data.draw(st.permutations(pieces))
    merged = Counts.merge([Counts.of((MASS, ETA), *columns(piece)[2:]) for piece in order])
    assert np.array_equal(merged.values, direct(events))
    assert merged.entries == len(events)
    assert merged.values.dtype == np.int64


@given(EVENTS, st.data())
def test_per_run_histograms_do_not_depend_on_the_split(events, data):
    cut = data.draw(st.integers(0, len(events)))
    parts = []
    for piece in (events[cut:], events[:cut]):
        part = RunHistograms(MASS, ETA)
        part.fill_events(*columns(piece))
        parts.append(pickle.loads(pickle.dumps(part)))
    merged = RunHistograms.merge(parts)
    for run in merged.runs:
        assert np.array_equal(merged[run].values, direct([event for event in events if event[:2] == run]))
    assert merged.runs == tuple(sorted({ExpRun(*event[:2]) for event in events}))


@given(
    EVENTS, st.tuples(st.integers(0, 2), st.integers(0, 5)), st.tuples(st.integers(0, 2), st.integers(0, 5))
)
def test_any_range_of_runs(events, first, last):
    histograms = RunHistograms(MASS, ETA)
    histograms.fill_events(*columns(events))
    inside = [event for event in events if first <= event[:2] <= last]
    assert np.array_equal(histograms.between(ExpRun(*first), ExpRun(*last)).values, direct(inside))


@given(EVENTS, st.sets(st.tuples(st.integers(0, 2), st.integers(0, 5))))
def test_any_set_of_runs(events, wanted):
    histograms = RunHistograms(MASS, ETA)
    for event in events:
        histograms.fill(ExpRun(*event[:2]), [event[2]], [event[3]])
    runs = [run for run in histograms.runs if run in wanted]
    inside = [event for event in events if event[:2] in wanted]
    assert np.array_equal(histograms.of(runs).values, direct(inside))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1), st.integers(0, 4), st.lists(st.integers(0, 2**60), min_size=8, max_size=8)
        ),
        min_size=1,
        max_size=6,
    ),
    st.data(),
)
def test_every_way_to_a_sum_gives_the_same_bits(rows, data):
    """Merged at once, one after the other, by cumulative sums, from pickles; with numbers beyond 2**53."""
    parts = [(ExpRun(exp, run), Counts((MASS,), np.array(row))) for exp, run, row in rows]
    first, last = sorted(data.draw(st.tuples(*2 * [st.sampled_from([run for run, _ in parts])])))
    wanted = [counts for run, counts in parts if first <= run <= last]
    exact = [sum(column) for column in zip(*(counts.values.tolist() for counts in wanted), strict=True)]
    histograms = RunHistograms(MASS)
    for run, counts in data.draw(st.permutations(parts)):
        histograms.add(run, counts)
        histograms.between(first, last)
    grown = wanted[0]
    for counts in wanted[1:]:
        grown = Counts.merge([pickle.loads(pickle.dumps(grown)), counts])
    inside = [run for run in histograms.runs if first <= run <= last]
    ways = [
        Counts.merge(wanted),
        grown,
        histograms.between(first, last),
        histograms.of(inside),
        pickle.loads(pickle.dumps(histograms)).between(first, last),
        RunHistograms.merge([histograms]).of(reversed(inside)),
    ]
    assert all(way.values.tolist() == exact and way.values.dtype == np.int64 for way in ways)


def test_narrow_numbers_are_added_up_as_wide_ones():
    axis = bh.axis.Integer(0, 2, underflow=False, overflow=False)
    for kind in (np.int8, np.uint8, np.uint64):
        full = Counts((axis,), np.array([100, 100], dtype=kind))
        assert Counts.merge(3 * [full]).values.tolist() == [300, 300]
        histograms = RunHistograms(axis)
        histograms.add(ExpRun(1, 1), full)
        assert histograms[ExpRun(1, 1)] == full
    with pytest.raises(ConfigurationError, match=r"at most 2\*\*63 - 1 entries, not 9223372036854775808"):
        Counts((axis,), np.array([2**63, 1], dtype=np.uint64))


def test_sums_follow_what_is_filled_later():
    histograms = RunHistograms(MASS)
    histograms.fill(ExpRun(1, 1), [70.0, 80.0])
    assert histograms.between(ExpRun(0, 0), ExpRun(9, 9)).entries == 2
    histograms.fill(ExpRun(1, 2), [200.0])
    assert histograms.between(ExpRun(0, 0), ExpRun(9, 9)).entries == 3
    assert histograms.entries() == {ExpRun(1, 1): 2, ExpRun(1, 2): 1}


def test_a_run_without_events_is_known():
    histograms = RunHistograms(MASS)
    histograms.fill(ExpRun(1, 4), [])
    assert dict(histograms.items())[ExpRun(1, 4)].entries == 0
    assert len(histograms) == 1


def test_what_is_given_out_is_a_copy():
    histograms = RunHistograms(MASS)
    histograms.fill(ExpRun(1, 1), [70.0])
    histograms[ExpRun(1, 1)].values[:] = 9
    assert histograms[ExpRun(1, 1)].entries == 1


def test_axes_of_other_kinds():
    counts = Counts.of(
        [bh.axis.StrCategory(["barrel", "endcap"]), bh.axis.Integer(0, 3)],
        ["endcap", "barrel", "other"],
        [1, 1, 5],
    )
    assert counts.values.sum() == 3 and counts.to_hist()[bh.loc("endcap"), bh.loc(1)] == 1


def test_conversion_to_hist_keeps_everything():
    counts = Counts.of([MASS], [10.0, 65.0, 66.0, 500.0])
    histogram = counts.to_hist()
    assert isinstance(histogram, hist.Hist) and histogram.axes["mass"].label == "m [GeV]"
    assert histogram.values(flow=True).tolist() == [1, 2, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("number", [0, 1, 3, 300, 100_000])
def test_pickles_are_small_and_whole(number):
    axis = bh.axis.Regular(240, 60, 120)
    counts = Counts.of([axis], np.random.default_rng(number).normal(91, 3, number))
    packed = pickle.dumps(counts)
    assert pickle.loads(packed) == counts
    assert len(packed) < 600 + min(4 * number, 480)


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=40))
def test_any_whole_numbers_survive_pickling(values):
    axis = bh.axis.Integer(0, len(values), underflow=False, overflow=False)
    counts = Counts((axis,), np.array(values, dtype=np.int64))
    assert pickle.loads(pickle.dumps(counts)) == counts


def test_what_does_not_fit_is_refused():
    one, other = Counts.of([MASS], [70.0]), Counts.of([bh.axis.Regular(7, 60, 120)], [70.0])
    with pytest.raises(ConfigurationError, match="different axes cannot be merged"):
        one + other
    with pytest.raises(ConfigurationError, match="run 1,1 has other axes"):
        RunHistograms.from_runs({ExpRun(1, 0): one, ExpRun(1, 1): other})
    with pytest.raises(ConfigurationError, match="at least one"):
        Counts.merge([])
    with pytest.raises(ConfigurationError, match="growth=True"):
        RunHistograms(bh.axis.Regular(7, 60, 120, growth=True))
    with pytest.raises(KeyError):
        RunHistograms(MASS).of([ExpRun(1, 1)])
    assert one != other and one == Counts.of([MASS], [71.0])
