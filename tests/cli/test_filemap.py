"""``caf filemap``, and the maps that it writes."""

import json
import os
import pickle
import sys
import types
from collections import namedtuple
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caf_core.calibration import filemap
from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun, IoV


@pytest.fixture
def tree(tmp_path):
    """Raw files with the run in their path, and hostile names."""
    for run, name in ((42, "a b'\".root"), (43, "two\nlines.root"), (44, "größe [1].root")):
        folder = tmp_path / "e0003" / "4S" / f"r{run:05}"
        folder.mkdir(parents=True)
        (folder / name).touch()
    (tmp_path / "e0003/4S/r00042" / os.fsdecode(b"\xff.root")).touch()
    return tmp_path


@pytest.mark.parametrize("suffix", ["json", "pkl"])
def test_paths_to_a_file_that_can_be_loaded(tree, caf, suffix):
    target = tree / f"map.{suffix}"
    called = caf("filemap", "--method", "raw", tree / "**" / "*.root", "-o", target)
    assert called.code == 0, called.err
    assert called.out == ""
    found = filemap.load(target)
    assert sorted(found.values()) == [IoV(3, run, 3, run) for run in (42, 42, 43, 44)]
    assert all(Path(name).exists() for name in found)


def test_the_map_is_printed_a_line_a_file(tree, caf):
    lines = caf("filemap", "-m", "raw", "-p", "-f", tree / "m.pkl", tree / "**" / "*.root").out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("3,42,3,42\t")


def test_paths_may_tell_the_run_alone(tree, caf):
    words = (
        "filemap",
        "-m",
        "raw",
        "-o",
        tree / "m.json",
        "--path-regex",
        r"/r(?P<run>\d+)/",
        tree / "**" / "*.root",
    )
    assert "has no group exp" in caf(*words).err
    assert caf(*words, "--experiment", "7").code == 0
    assert {iov.exp_low for iov in filemap.load(tree / "m.json").values()} == {7}


def test_the_default_is_the_file_that_scripts_for_basf2_read(tree, caf, monkeypatch):
    monkeypatch.chdir(tree)
    assert caf("filemap", "-m", "raw", "e0003/../e0003/**/a*.root").out == ""
    assert pickle.loads((tree / "file_iov_map.pkl").read_bytes()) == {
        f"{tree}/e0003/4S/r00042/a b'\".root": IoV(3, 42, 3, 42)
    }


def test_a_map_of_b2caf_filemap_is_read_without_basf2(tmp_path, monkeypatch):
    module = types.ModuleType("caf.utils")
    former = namedtuple("IoV", ["exp_low", "run_low", "exp_high", "run_high"])
    former.__module__ = "caf.utils"
    module.IoV = former
    with monkeypatch.context() as there:
        there.setitem(sys.modules, "caf", types.ModuleType("caf"))
        there.setitem(sys.modules, "caf.utils", module)
        (tmp_path / "map.pkl").write_bytes(pickle.dumps({"/a.root": former(3, 1, 3, -1)}))
    assert filemap.load(tmp_path / "map.pkl") == {"/a.root": IoV(3, 1, 3, -1)}


class Wicked:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickled_map_holds_files_and_runs_and_executes_nothing(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    content = {tmp_path / "a.root": IoV(3, 1, 3, 2), "b.root": ExpRun(3, 7), "c.root": (3, 8)}
    (tmp_path / "map.pkl").write_bytes(pickle.dumps(content, protocol))
    assert [iov.run_low for iov in filemap.load("map.pkl").values()] == [1, 7, 8]
    (tmp_path / "map.pkl").write_bytes(pickle.dumps({"a.root": Wicked()}, protocol))
    with pytest.raises(ConfigurationError, match=r"is no file map .*which is no file, run or interval"):
        filemap.load("map.pkl")
    assert not (tmp_path / "executed").exists()


def test_brackets_in_a_name_are_no_trap(tree, caf):
    (name,) = (tree / "e0003" / "4S" / "r00044").iterdir()
    assert caf("filemap", "-m", "raw", "-p", "-o", tree / "m.json", name).out.startswith("3,44,3,44")


def test_what_cannot_be_mapped_is_listed(tree, caf):
    (tree / "other.root").touch()
    called = caf("filemap", "--method", "raw", tree / "**" / "*.root", "-o", tree / "map.json")
    assert called.code == 1
    assert "other.root: its path does not match" in called.err
    assert "1 of 5 files could not be mapped" in called.err
    assert len(filemap.load(tree / "map.json")) == 4
    words = ("-m", "raw", "-re", "oth.*root$", "-f", tree / "map.pkl")
    assert caf("filemap", *words, tree / "**" / "*.root").code == 0


def test_no_map_without_a_file_in_it_is_written(tree, caf):
    (tree / "map.json").write_text("an older map")
    (tree / "other.root").touch()
    called = caf("filemap", "-m", "raw", tree / "other.root", "-o", tree / "map.json")
    assert called.code == 1
    assert called.err.endswith(f"1 of 1 files could not be mapped; {tree / 'map.json'} is not written.\n")
    called = caf("filemap", "-m", "raw", "-re", "root", tree / "**" / "*.root", "-o", tree / "map.json")
    assert called.code == 2
    assert "--filter-regex 'root' leaves out all 5 files" in called.err
    assert (tree / "map.json").read_text() == "an older map"


@pytest.mark.parametrize("processes", [1, 2])
def test_metadata_come_from_plugins(tree, run_caf, processes):
    """No plugin knows these: every one is listed, none is lost, whatever the number of processes."""
    for number in range(9):
        (tree / f"{number}.unknown").touch()
    done = run_caf("filemap", "-j", processes, "-o", tree / "map.json", tree / "*.unknown")
    assert done.returncode == 1
    assert done.stderr.count("no plugin can tell its runs") == 9


@pytest.mark.parametrize("processes", [1, 2])
def test_metadata_of_root_files(tmp_path, run_caf, processes):
    uproot = pytest.importorskip("uproot")
    numpy = pytest.importorskip("numpy")
    pytest.importorskip("caf_root")
    for run in range(5):
        with uproot.recreate(tmp_path / f"{run}.root") as file:
            file["events"] = {"experiment": numpy.full(3, 7), "run": numpy.arange(run, run + 3)}
    (tmp_path / "bad.root").write_bytes(b"root" + b"\0" * 50)
    done = run_caf("filemap", "-j", processes, tmp_path / "*.root", "-o", tmp_path / "map.json")
    assert done.returncode == 1
    assert "bad.root" in done.stderr
    assert "1 of 6 files could not be mapped" in done.stderr
    assert filemap.load(tmp_path / "map.json") == {
        str(tmp_path / f"{run}.root"): IoV(7, run, 7, run + 2) for run in range(5)
    }


@pytest.mark.parametrize(
    "words",
    [
        ("nothing*.root",),
        ("--method", "raw", "--path-regex", "(", "x"),
        ("--method", "raw", "--path-regex", "e(?P<exp>.)", "x"),
        ("--path-regex", "e(?P<exp>.)(?P<run>.)", "x"),
        ("--filter-regex", "(", "x"),
        (),
    ],
)
def test_wrong_wishes(tmp_path, caf, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").touch()
    called = caf("filemap", *words)
    assert called.code == 2
    assert called.err.count("\n") == 1


@pytest.mark.parametrize(
    "content", ["", "[]", '{"x": [1, 2, 3]}', '{"x": "soon"}', '{"schema": 1, "iovs": {"x": null}}']
)
def test_a_file_that_is_no_map(tmp_path, content):
    (tmp_path / "map.json").write_text(content)
    with pytest.raises(ConfigurationError, match=r"map\.json"):
        filemap.load(tmp_path / "map.json")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        filemap.load(tmp_path / "nothing.json")
    (tmp_path / "map.pkl").write_bytes(b"no pickle")
    with pytest.raises(ConfigurationError, match=r"map\.pkl"):
        filemap.load(tmp_path / "map.pkl")


def test_a_map_written_by_hand_or_by_basf2(tmp_path):
    (tmp_path / "map.json").write_text(json.dumps({"/a": [1, 2, 1, 3], "/b": "1,4,1,-1"}))
    assert filemap.load(tmp_path / "map.json") == {"/a": IoV(1, 2, 1, 3), "/b": IoV(1, 4, 1, -1)}
    (tmp_path / "map.pickle").write_bytes(pickle.dumps({"/a": (1, 2, 1, 3)}))
    assert filemap.load(tmp_path / "map.pickle") == {"/a": IoV(1, 2, 1, 3)}


names = st.text(st.characters(exclude_characters="\0", exclude_categories=())).filter(bool)
iovs = st.tuples(st.integers(0, 99), st.integers(0, 999)).map(lambda run: IoV(*run, *run))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(content=st.dictionaries(names, iovs, max_size=5), suffix=st.sampled_from(["json", "pkl"]))
def test_what_is_saved_is_loaded(tmp_path, content, suffix):
    encodable = {name: iov for name, iov in content.items() if suffix == "json" or name.isprintable()}
    filemap.save(tmp_path / f"map.{suffix}", encodable)
    assert filemap.load(tmp_path / f"map.{suffix}") == encodable
