"""Reading trees in chunks, and what is said of files that cannot be read."""

import gc
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun
from caf_root import RootFileError, read_chunks, split_runs
from caf_root.files import reading

HOSTILE_NAMES = [
    "a b.root",
    "q'\"uote.root",
    "new\nline.root",
    "Größe µ.root",
    "p%20c.root",
    "b[1]*.root",
    "a::b.root",
    "x.root:y",
]


def columns(chunks, name):
    return np.concatenate([chunk[name] for chunk in chunks])


@pytest.mark.parametrize("step_size", [1, 2, 1000, "1 MB"])
def test_chunks_hold_every_event_once_and_in_order(run_file, step_size):
    chunks = list(read_chunks([str(run_file)] * 2, "events", ["event", "x"], step_size=step_size))
    assert columns(chunks, "event").tolist() == [10, 11, 12, 1, 2] * 2
    assert columns(chunks, "x").tolist() == [0.5, 1.5, 2.5, 3.5, 4.5] * 2
    assert all(set(chunk) == {"event", "x"} for chunk in chunks)
    if isinstance(step_size, int):
        assert all(len(chunk["x"]) <= step_size for chunk in chunks)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_are_taken_literally(run_file, name):
    path = run_file.rename(run_file.with_name(name))
    assert columns(read_chunks([str(path)], "events", ["x"]), "x").size == 5


def test_patterns_and_optional_branches(write_root):
    path = write_root(
        "hlt.root", events={"run": [1, 2], "HLT_Mu5_v1": [True, False], "HLT_Mu5_v2": [False, False]}
    )
    (chunk,) = read_chunks([str(path)], "events", ["run"], optional=["HLT_Mu5_v*", "HLT_Ele*", "run"])
    assert list(chunk) == ["run", "HLT_Mu5_v1", "HLT_Mu5_v2"]


def test_awkward_arrays_on_request(run_file):
    (chunk,) = read_chunks([str(run_file)], "events", ["x"], library="ak")
    assert type(chunk["x"]).__module__.startswith("awkward") and chunk["x"].tolist()[0] == 0.5


def test_an_empty_tree_gives_no_chunk(write_root):
    path = write_root("none.root", events={"x": np.zeros(0)})
    assert list(read_chunks([str(path)], "events", ["x"])) == []


def bad_files(good: Path) -> dict[str, bytes]:
    whole = good.read_bytes()
    return {
        "empty (0 bytes)": b"",
        "not a ROOT file": b"experiment,run,x\n" * 50,
        "truncated (12 of 20 bytes)": whole[:12],
        f"truncated ({len(whole) // 2} of {len(whole)} bytes)": whole[: len(whole) // 2],
        f"truncated ({len(whole) - 1} of {len(whole)} bytes)": whole[:-1],
    }


@pytest.mark.parametrize("number", range(5))
def test_bad_files_are_told_in_one_sentence_with_the_remedy(run_file, tmp_path, number):
    problem, content = list(bad_files(run_file).items())[number]
    path = tmp_path / "bad one.root"
    path.write_bytes(content)
    with pytest.raises(RootFileError) as caught:
        list(read_chunks([str(path)], "events", ["x"]))
    message = str(caught.value)
    assert repr(str(path)) in message and problem in message and "take it out of the input files" in message
    assert "\n" not in message and caught.value.path == str(path)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(RootFileError, match=r"gone.root' does not exist; correct its name"):
        list(read_chunks([str(tmp_path / "gone.root")], "events", ["x"]))
    with pytest.raises(RootFileError, match=r"cannot be opened \(Is a directory\)"):
        list(read_chunks([str(tmp_path)], "events", ["x"]))


def test_damaged_data_are_told_with_the_file(write_root):
    path = write_root("damaged.root", events={"x": np.random.default_rng(1).integers(0, 9, 100_000)})
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    path.write_bytes(content)
    with pytest.raises(
        RootFileError, match=r"damaged.root' cannot be read \(.*\); check it and copy it again"
    ):
        list(read_chunks([str(path)], "events", ["x"]))


def test_a_missing_tree_or_branch_names_what_is_there(run_file):
    with pytest.raises(RootFileError, match=r"has no tree 'Events'; it has events\. Give"):
        list(read_chunks([str(run_file)], "Events", ["x"]))
    with pytest.raises(
        RootFileError, match=r"has no branch 'runs' in its tree 'events'; it has run, experiment"
    ):
        list(read_chunks([str(run_file)], "events", ["runs"]))
    with pytest.raises(RootFileError, match=r"has no branch 'HLT_\*'"):
        list(read_chunks([str(run_file)], "events", ["HLT_*"]))


def test_a_remote_file_that_cannot_be_had_is_told_with_its_name():
    with pytest.raises(
        RootFileError, match=r"input file 'nowhere://host/file.root' cannot be read \(ValueError: "
    ):
        list(read_chunks(["nowhere://host/file.root"], "events", ["x"]))


def test_a_missing_package_is_not_blamed_on_the_file():
    words = r"a package is missing \(no fsspec-xrootd\); install it"
    with pytest.raises(RootFileError, match=words), reading("root://host/file.root"):
        raise ImportError("no fsspec-xrootd")


def test_runs_that_are_none_are_told():
    ones = np.ones(2, int)
    with pytest.raises(ConfigurationError, match="'run' holds -1"):
        list(split_runs({"experiment": ones, "run": np.array([3, -1])}))
    with pytest.raises(ConfigurationError, match="'run' does not hold one number an event"):
        list(split_runs({"experiment": ones, "run": ak.Array([[1], [2, 3]])}))


def test_a_uri_is_passed_through(run_file):
    assert columns(read_chunks([f"file://{run_file}"], "events", ["x"]), "x").size == 5


def test_files_are_closed_when_reading_stops_early(run_file):
    chunks = read_chunks([str(run_file)], "events", ["x"], step_size=1)
    next(chunks)
    chunks.close()
    gc.collect()  # an open file would warn here, and warnings are errors


def test_split_runs_gives_each_run_in_order(run_file):
    (chunk,) = read_chunks([str(run_file)], "events", ["experiment", "run", "event", "x"])
    split = {run: part["event"].tolist() for run, part in split_runs(chunk)}
    assert list(split.items()) == [(ExpRun(1, 3), [11]), (ExpRun(1, 7), [10, 12]), (ExpRun(2, 1), [1, 2])]
    assert list(split_runs({"experiment": np.zeros(0), "run": np.zeros(0)})) == []
