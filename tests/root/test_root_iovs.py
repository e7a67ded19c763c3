"""Which runs a file holds."""

import numpy as np
import pytest

from caf_core.calibration import filemap
from caf_core.cli.app import execute
from caf_core.errors import ConfigurationError
from caf_core.iov import IoV
from caf_root import IoVReader, RootFileError, caf_iov_of_file


def test_from_the_first_to_the_last_run(run_file):
    assert caf_iov_of_file(str(run_file)) == IoV(1, 3, 2, 1)


def test_runs_within_one_experiment_and_other_branch_names(write_root):
    path = write_root("belle.root", ntuple={"__experiment__": [8, 8], "__run__": [20, 4], "x": [1.0, 2.0]})
    assert caf_iov_of_file(str(path)) == IoV(8, 4, 8, 20)
    path = write_root("own.root", t={"period": [2], "number": [3]})
    assert caf_iov_of_file(str(path)) is None
    assert IoVReader(experiment="period", run="number")(str(path)) == IoV(2, 3, 2, 3)


def test_an_experiment_that_the_file_does_not_tell(write_root):
    path = write_root("nano.root", Events={"run": np.array([160957, 160940], dtype=np.uint32)})
    assert caf_iov_of_file(str(path)) is None
    assert IoVReader(experiment=2011)(str(path)) == IoV(2011, 160940, 2011, 160957)


def test_all_trees_with_both_branches_count(write_root):
    path = write_root(
        "trees.root",
        meta={"run": [1]},
        none={"exp": np.zeros(0, int), "run": np.zeros(0, int)},
        a={"exp": [1], "run": [5]},
        b={"exp": [1], "run": [9]},
        vectors={"exp": np.ones((1, 2)), "run": np.ones((1, 2))},
        **{"folder/c": {"exp": [1, 2], "run": [7, 3]}},
    )
    assert caf_iov_of_file(str(path)) == IoV(1, 5, 2, 3)
    assert IoVReader(tree="a")(str(path)) == IoV(1, 5, 1, 5)
    assert IoVReader(tree="b")(str(path)) == IoV(1, 9, 1, 9)
    with pytest.raises(RootFileError, match="no tree 'c'; it has"):
        IoVReader(tree="c")(str(path))


@pytest.mark.parametrize("processes", ["1", "2"])
def test_files_without_an_experiment_are_mapped_with_the_one_that_is_named(
    write_root, tmp_path, capsys, processes
):
    """As NanoAOD is: runs in the trees Runs, LuminosityBlocks and Events, and no experiment."""
    nano = {"Runs": {"run": [273158]}, "Events": {"run": [273158, 273302], "event": [1, 2]}}
    names = [str(write_root(f"{number}.root", **nano)) for number in (1, 2)]
    words = ["filemap", "-j", processes, "-o", str(tmp_path / "map.json"), *names]
    assert execute(words) == 1
    assert "such as NanoAOD: --experiment N)" in capsys.readouterr().err
    assert execute([*words, "--experiment", "2016"]) == 0
    assert filemap.load(tmp_path / "map.json") == dict.fromkeys(names, IoV(2016, 273158, 2016, 273302))
    told = str(write_root("told.root", t={"exp": [1], "run": [5]}))
    assert caf_iov_of_file(told, 2016) == IoV(1, 5, 1, 5)  # what the file tells counts


def test_a_tree_without_entries_holds_no_run(write_root):
    assert caf_iov_of_file(
        str(write_root("none.root", t={"exp": np.zeros(0, int), "run": np.zeros(0, int)}))
    ).empty


@pytest.mark.parametrize(
    ("runs", "words"),
    [([-1, 4], "value -1, but"), ([1.5], "value 1.5, but"), ([[1, 2]], "not hold one number an entry")],
)
def test_branches_that_tell_no_runs(write_root, runs, words):
    path = write_root("odd.root", t={"exp": np.ones(len(runs), int), "run": runs})
    with pytest.raises(RootFileError, match=words) as caught:
        caf_iov_of_file(str(path))
    assert "copy it again" not in str(caught.value) and "IoVReader(tree=" in str(caught.value)


def test_other_files_are_left_to_others(tmp_path):
    (tmp_path / "notes.txt").write_text("run 5")
    assert caf_iov_of_file(str(tmp_path / "notes.txt")) is None
    assert caf_iov_of_file(str(tmp_path / "gone.dat")) is None
    (tmp_path / "empty.root").touch()
    with pytest.raises(RootFileError, match="empty"):
        caf_iov_of_file(str(tmp_path / "empty.root"))


def test_only_the_two_branches_are_read(run_file, monkeypatch):
    import uproot

    read = set()
    original = uproot.behaviors.TBranch.HasBranches.iterate

    def watched(self, expressions, **options):
        read.update(expressions)
        return original(self, expressions, **options)

    monkeypatch.setattr(uproot.behaviors.TBranch.HasBranches, "iterate", watched)
    caf_iov_of_file(str(run_file))
    assert read == {"experiment", "run"}


def test_a_map_for_a_collection(run_file, write_root):
    other = write_root("dark.root", t={"x": [1.0]})
    assert IoVReader().files_to_iovs([str(run_file)]) == {str(run_file): IoV(1, 3, 2, 1)}
    with pytest.raises(ConfigurationError, match=r"dark.root' does not tell its runs"):
        IoVReader().files_to_iovs([str(run_file), str(other)])


def test_real_files(zmumu_files):
    iovs = IoVReader().files_to_iovs(zmumu_files)
    assert len(iovs) == 19 and all(
        iov.exp_low == 2011 and iov.run_low == iov.run_high for iov in iovs.values()
    )
