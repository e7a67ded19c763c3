"""What collectors left, as an algorithm sees it."""

import itertools
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caf_core.calibration.collected import (
    Collected,
    Index,
    RunsFile,
    TaskOutput,
    read_index,
    read_runs_file,
    write_index,
)
from caf_core.calibration.collector import DATA_FILE, RUNS_FILE, CollectorContext, RunSelection
from caf_core.calibration.merging import merge
from caf_core.calibration.plans import Statistics
from caf_core.conditions.chain import Chain
from caf_core.errors import AlgorithmError, ConfigurationError
from caf_core.iov import ExpRun, IoV


def task(folder: Path, puts, *, collection="default", files=(), selection=None) -> TaskOutput:
    """Execute a collector that makes these puts: (run, data, entries)."""
    folder.mkdir(parents=True, exist_ok=True)
    context = CollectorContext((), selection or RunSelection(), Chain([]), {}, 0, folder, "cal", collection)
    for run, data, entries in puts:
        context.put(run, data, entries=entries)
    context.finish()
    found = read_runs_file(folder / RUNS_FILE)
    runs, chunks = found.runs, found.chunks
    return TaskOutput(collection, folder, tuple(files), runs, chunks)


def collected(outputs, runs=None) -> Collected:
    every = sorted({run for out in outputs for run in out.runs})
    return Collected(tuple(every if runs is None else (ExpRun(*run) for run in runs)), tuple(outputs))


def test_chunks_come_by_experiment_run_task_and_put(tmp_path) -> None:
    first = task(tmp_path / "0", [((2, 1), ["d"], 1), ((1, 2), ["b"], 1), ((1, 1), ["a"], 1)])
    second = task(tmp_path / "1", [((1, 2), ["c1"], 1), ((1, 2), ["c2"], 1)])
    data = collected([first, second])
    assert [(tuple(run), item) for run, item in data.chunks()] == [
        ((1, 1), ["a"]),
        ((1, 2), ["b"]),
        ((1, 2), ["c1"]),
        ((1, 2), ["c2"]),
        ((2, 1), ["d"]),
    ]
    assert data.merged() == ["a", "b", "c1", "c2", "d"]
    assert data.by_run() == {(1, 1): ["a"], (1, 2): ["b", "c1", "c2"], (2, 1): ["d"]}
    assert data.entries == 5


def test_data_that_others_may_have_written_are_refused_before_they_are_unpickled(tmp_path) -> None:
    before = os.umask(0o000)
    try:
        output = task(tmp_path, [((1, 1), ["a"], 1)])
    finally:
        os.umask(before)
    path = tmp_path / DATA_FILE
    assert path.stat().st_mode & 0o777 == 0o644, "whatever the umask is"
    assert collected([output]).merged() == ["a"]
    path.chmod(0o664)
    with pytest.raises(ConfigurationError, match=r"collected\.caf holds pickled data, and others may write"):
        collected([output]).merged()
    path.chmod(0o644)
    if os.geteuid() == 0:  # only root gives files away
        os.chown(path, 12345, -1)
        with pytest.raises(ConfigurationError, match=r"belongs to another user \(12345\)"):
            collected([output]).merged()


def test_only_the_given_runs_are_seen(tmp_path) -> None:
    out = task(tmp_path / "0", [((1, run), [run], 10 * run) for run in (1, 2, 3)])
    part = collected([out], [(1, 2)])
    assert (part.merged(), part.entries) == ([2], 20)


RUNS = st.tuples(st.integers(1, 2), st.integers(0, 3))


@settings(deadline=None, max_examples=30)
@given(events=st.lists(RUNS, min_size=1, max_size=12), cuts=st.sets(st.integers(1, 11)), data=st.data())
def test_the_cut_into_tasks_does_not_matter(tmp_path_factory, events, cuts, data) -> None:
    """Events in the order of their files give the same merged data, wherever files end."""
    folder = tmp_path_factory.mktemp("cut")
    numbered = [(run, [number], 1) for number, run in enumerate(events)]
    borders = [0, *sorted(cut for cut in cuts if cut < len(numbered)), len(numbered)]
    pieces = [numbered[low:high] for low, high in itertools.pairwise(borders)]
    whole = collected([task(folder / "whole", numbered)])
    split = collected([task(folder / str(number), piece) for number, piece in enumerate(pieces)])
    assert list(split.by_run()) == sorted(set(events))
    assert split.merged() == whole.merged()
    assert split.entries == len(events)


def test_ignored_and_unrequested_runs_are_never_kept(tmp_path) -> None:
    selection = RunSelection([(1, 2)], IoV(1, 1, 1, 3))
    out = task(tmp_path, [((1, run), [run], 1) for run in range(6)], selection=selection)
    assert set(out.runs) == {(1, 1), (1, 3)}


def test_entries_without_data_are_counted_and_merging_says_what_is_missing(tmp_path) -> None:
    out = task(tmp_path, [((1, 1), None, 7)])
    assert collected([out]).entries == 7
    assert not (tmp_path / DATA_FILE).exists()
    with pytest.raises(AlgorithmError, match=r"no data was kept for 1 run\(s\) from 1,1|no data was kept"):
        collected([out]).merged()


def test_files_come_in_the_order_of_the_first_run_that_is_wanted(tmp_path) -> None:
    late = task(tmp_path / "0", [((1, 5), None, 1), ((1, 9), None, 1)], files=["a.root"])
    early = task(tmp_path / "1", [((1, 1), None, 1), ((1, 9), None, 1)], files=["b.root", "c.root"])
    other = task(tmp_path / "2", [((7, 7), None, 1)], files=["d.root"])
    names = [path.name for path in collected([late, early, other], [(1, 1), (1, 5)]).files]
    assert names == ["b.root", "c.root", "a.root"]
    assert [path.name for path in collected([late, early, other], [(1, 9)]).files] == [
        "a.root",
        "b.root",
        "c.root",
    ]


class Histogram:
    """Merges by a method of its class."""

    def __init__(self, counts):
        self.counts = counts

    @staticmethod
    def merge(items):
        return Histogram([sum(values) for values in zip(*(item.counts for item in items), strict=True)])


def test_sequences_merge_in_time_that_grows_with_them() -> None:
    """As by ``+``; copying the beginning for each of so many would take an hour."""
    number = 100_000
    assert merge([[n, n] for n in range(number)]) == [n for n in range(number) for _ in "ab"]
    assert merge(number * ["abc"]) == number * "abc"
    assert merge(number * [b"abc"]) == number * b"abc"
    assert merge(number * [(1, 2)]) == number * (1, 2)
    with pytest.raises(TypeError, match="concatenate list"):
        merge([[1], (2,)])


def test_objects_merge_by_their_class_or_from_the_left() -> None:
    assert merge([Histogram([1, 2]), Histogram([3, 4])]).counts == [4, 6]
    assert merge(["a", "b", "c"]) == "abc"
    assert merge([0.1, 0.2, 0.3]) == (0.1 + 0.2) + 0.3
    single = Histogram([1])
    assert merge([single]) is single


class Bag:
    """Merges by its class, exactly; counts how often one was unpickled."""

    merges_exactly = True
    unpickled = 0

    def __init__(self, values):
        self.values = values

    @classmethod
    def merge(cls, items):
        return cls([value for item in items for value in item.values])

    def __setstate__(self, state):
        type(self).unpickled += 1
        self.__dict__.update(state)

    def __repr__(self):
        return f"{type(self).__name__}({self.values!r})"


class Mean(Bag):
    """Merges to what depends on the grouping, and says nothing about it."""

    merges_exactly = False

    @classmethod
    def merge(cls, items):
        return cls([sum(item.values[0] for item in items) / len(items)])


NUMBERS = st.floats(-1e9, 1e9)
CHUNKS = st.sampled_from(
    [
        lambda x: x,
        lambda x: [x, "text", None],
        lambda x: [[x]],
        lambda x: np.array([x, 1 / 3]),
        lambda x: np.array([int(x), 2], dtype=np.int16 if abs(x) < 2**15 else np.int64),
        lambda x: np.asfortranarray([[x, 0.1], [x / 3, 1.0]]),
        lambda x: Bag([x]),
        lambda x: Mean([x]),
        lambda x: Mean([x]) if x > 0 else Bag([x]),
    ]
)


def spoil(merged) -> None:
    """What an algorithm may do to data that it was given."""
    if isinstance(merged, Bag):
        merged.values.append("spoilt")
        merged.spoilt = True
    elif isinstance(merged, list):
        if isinstance(merged[0], list):
            merged[0].append("spoilt")
        merged.append("spoilt")
    elif isinstance(merged, np.ndarray):
        merged[...] = 17


@settings(deadline=None, max_examples=60)
@given(values=st.lists(NUMBERS, min_size=2, max_size=8), chunk=CHUNKS, data=st.data())
def test_whatever_was_asked_for_before_merged_data_are_the_same(
    tmp_path_factory, values, chunk, data
) -> None:
    """Any requests, most of them for the runs of the one before and more, and data that are spoilt."""
    folder = tmp_path_factory.mktemp("growing")
    puts = [((1, number // 2), chunk(value), 1) for number, value in enumerate(values)]
    outputs = (task(folder, puts),)
    index = Index(outputs)
    for first, number in data.draw(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), max_size=4)):
        for last in range(first + 1, first + 1 + number):
            runs = index.runs[first:last]
            if runs:
                asked, alone = Collected(runs, index).merged(), Collected(runs, Index(outputs)).merged()
                assert (type(asked), repr(asked)) == (type(alone), repr(alone))
                if isinstance(asked, np.ndarray):
                    assert (asked.dtype, asked.flags.f_contiguous) == (alone.dtype, alone.flags.f_contiguous)
                    assert asked.tobytes() == alone.tobytes()
                spoil(asked)


def test_what_grows_is_added_to_and_not_read_again(tmp_path) -> None:
    number = 100
    index = Index((task(tmp_path, [((1, run), Bag([run]), 1) for run in range(number)]),))
    Bag.unpickled = 0
    for last in range(1, number + 1):
        assert Collected(index.runs[:last], index).merged().values == list(range(last))
    assert Bag.unpickled < 3 * number, "each run, and what is kept of those before it"
    Bag.unpickled = 0
    for run in index.runs:
        Collected((run,), index).merged()
    assert Bag.unpickled == number


def test_a_merge_that_breaks_says_so_itself(tmp_path) -> None:
    index = Index((task(tmp_path, [((1, run), Mean([]), 1) for run in (1, 2)]),))
    with pytest.raises(IndexError):
        Collected(index.runs, index).merged()


def test_the_index_survives_writing(tmp_path) -> None:
    outputs = (
        task(tmp_path / "na\nme é", [((1, 2), [1], 3)], files=["ü.root"]),
        TaskOutput("second", tmp_path, (), {}, ()),
    )
    write_index(tmp_path / "index.json", outputs)
    assert read_index(tmp_path / "index.json") == outputs


def test_entries_that_nobody_counted_are_not_known(tmp_path) -> None:
    tracks = task(tmp_path / "tracks", [((1, 1), None, 5), ((1, 2), None, 0)], collection="tracks")
    files = TaskOutput("files", tmp_path, ("a.root",), {ExpRun(1, 1): None, ExpRun(1, 3): None}, ())
    write_index(tmp_path / "index.json", [tracks, files])
    index = Index(read_index(tmp_path / "index.json"))
    one, two, three = (ExpRun(1, run) for run in (1, 2, 3))
    assert index.entries([one, two]) == 5
    assert index.entries([one, three]) is None
    assert Collected((one, three), index).entries == 5
    assert index.statistics(Statistics((one, two))) == {one: 5, two: 0}
    assert index.statistics(Statistics((one,), "tracks")) == {one: 5}
    for request in (Statistics((two, three)), Statistics((one,), "files"), Statistics((ExpRun(9, 9),))):
        with pytest.raises(AlgorithmError, match=r"the entries of run .*, and nobody counted any; let the"):
            index.statistics(request)


@pytest.mark.parametrize(
    "text", ["[[1, 2]]", "{}", "17", '[["a", 1, 1]]', "[[1, 1", "", '[[1, 1, "many"]]', "[[-3, 1, 1]]"]
)
def test_a_bad_runs_file_is_named_with_its_form(tmp_path, text) -> None:
    path = tmp_path / RUNS_FILE
    path.write_text(text)
    with pytest.raises(
        AlgorithmError, match=r"runs\.json is not a list of runs .*\[\[experiment, run, entries\]"
    ):
        read_runs_file(path)


def test_the_list_of_a_command_adds_up(tmp_path) -> None:
    path = tmp_path / RUNS_FILE
    path.write_text(json.dumps([[1, 1, 5], [1, 2, 1], [1, 1, 2]]))
    assert read_runs_file(path) == RunsFile({ExpRun(1, 1): 7, ExpRun(1, 2): 1})


def test_the_data_are_plain_pickles_behind_one_another(tmp_path) -> None:
    task(tmp_path, [((1, 1), {"a": 1}, 1), ((1, 2), [2], 1)])
    with (tmp_path / DATA_FILE).open("rb") as file:
        assert [pickle.load(file), pickle.load(file)] == [{"a": 1}, [2]]
