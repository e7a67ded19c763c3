"""Input files: names, globs, URIs, what is missing and what is not wanted; settings of a collection."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.calibration.collection import Collection, FileSelection, find_files, select_by_run
from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun, IoV
from caf_core.jobs.model import Job
from caf_core.jobs.splitters import MaxFilesSplitter

HOSTILE = [
    "with space.root",
    "quote'and\"both.root",
    "line\nbreak.root",
    "ümläut-日本.root",
    "[brackets]*.root",
    "~tilde.root",
    "-dash.root",
    "semi;colon&pipe|$(x).root",
    "back\\slash.root",
    "undecodable-\udcff.root",
]


def nothing(context):
    """Collects nothing."""


def found(names, **settings) -> FileSelection:
    return find_files(Collection(nothing, names, **settings), "calibration 'cal', collection 'default'")


def test_globs_are_sorted_and_files_come_once(tmp_path) -> None:
    for name in ("b.root", "a.root", "c.txt"):
        (tmp_path / name).touch()
    selection = found([tmp_path / "b.root", f"{tmp_path}/*.root", f"{tmp_path}/a.root"])
    assert selection.files == (f"{tmp_path}/b.root", f"{tmp_path}/a.root")


def test_globs_reach_into_folders(tmp_path) -> None:
    (tmp_path / "x" / "y").mkdir(parents=True)
    (tmp_path / "x" / "y" / "deep.root").touch()
    assert found([f"{tmp_path}/**/*.root"]).files == (f"{tmp_path}/x/y/deep.root",)


def test_relative_names_and_the_home_folder_become_absolute(tmp_path, monkeypatch) -> None:
    (tmp_path / "a.root").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert found(["a.root", "~/a.root", "*.root"]).files == (f"{tmp_path}/a.root",)


def test_one_name_needs_no_list(tmp_path) -> None:
    (tmp_path / "a.root").touch()
    assert found(tmp_path / "a.root").files == found(f"{tmp_path}/a.root").files == (f"{tmp_path}/a.root",)


def test_uris_pass_through_unseen() -> None:
    uris = ["root://server//store/a.root", "https://server/[b]*.root"]
    assert found(uris).files == tuple(uris)


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_names_are_taken_as_they_are(tmp_path, monkeypatch, name) -> None:
    (tmp_path / name).touch()
    (tmp_path / "decoy.root").touch()
    assert found([str(tmp_path / name)]).files == (str(tmp_path / name),)
    monkeypatch.chdir(tmp_path)
    assert found([name]).files == (f"{tmp_path}/{name}",)


@pytest.mark.parametrize("name", ["nowhere.root", "x" * 5000, "nul\0byte", "~nobody-here/file", "*.nothing"])
def test_a_missing_file_is_an_error_with_its_name_and_the_remedy(tmp_path, monkeypatch, name) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"1 input file\(s\) do not exist: .*on_missing='skip'"):
        found([name])


def test_missing_files_can_be_skipped_and_are_listed(tmp_path) -> None:
    (tmp_path / "a.root").touch()
    selection = found([f"{tmp_path}/a.root", f"{tmp_path}/gone.root"], on_missing="skip")
    assert selection == FileSelection((f"{tmp_path}/a.root",), (f"{tmp_path}/gone.root",))
    with pytest.raises(ConfigurationError, match=r"none of its 1 input file\(s\) exist"):
        found([f"{tmp_path}/gone.root"], on_missing="skip")


def test_a_long_list_of_missing_files_is_cut_short() -> None:
    with pytest.raises(ConfigurationError) as caught:
        found([f"/gone/{number}" for number in range(1000)])
    assert len(str(caught.value)) < 300
    assert "1000 input file(s)" in str(caught.value)


def test_files_that_hold_nothing_that_is_wanted_are_left_out() -> None:
    iovs = {
        "one": IoV(1, 1, 1, 1),
        "two": IoV(1, 2, 1, 3),
        "three": IoV(1, 3, 1, 4),
        "open": IoV(1, 2, 1, -1),
        "two experiments": IoV(1, 2, 2, 1),
        "far": IoV(9, 1, 9, 1),
        "unknown": None,
    }
    ignored = frozenset({ExpRun(1, 2), ExpRun(1, 3), ExpRun(1, 1)})
    selection = select_by_run(FileSelection(tuple(iovs)), iovs, ignored, IoV(1, 0, 2, -1))
    assert selection.unwanted == ("one", "two", "far")
    assert selection.files == ("three", "open", "two experiments", "unknown")


RUNS = st.builds(ExpRun, st.integers(0, 2), st.integers(0, 5))
IOVS = st.builds(lambda a, b: IoV(*min(a, b), *max(a, b)), RUNS, RUNS)


@given(st.lists(IOVS | st.none(), max_size=6), st.frozensets(RUNS), st.none() | IOVS)
def test_no_file_with_a_wanted_run_is_left_out(iovs, ignored, requested) -> None:
    files = {f"file{number}": iov for number, iov in enumerate(iovs)}
    selection = select_by_run(FileSelection(tuple(files)), files, ignored, requested)
    assert sorted((*selection.files, *selection.unwanted)) == sorted(files)
    runs = [ExpRun(exp, run) for exp in range(3) for run in range(6)]
    for name in selection.unwanted:
        held = [run for run in runs if files[name].contains(run)]
        assert not [
            run for run in held if run not in ignored and (requested is None or requested.contains(run))
        ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"collector": None}, "has no collector"),
        ({"collector": 5}, "int cannot collect"),
        ({"granularity": "event"}, "granularity is 'event'; it can be 'run' or 'all'"),
        ({"on_missing": "ignore"}, "on_missing is 'ignore'"),
        ({"min_fraction": "0.5"}, "min_fraction is '0.5'; it lies above 0"),
        ({"params": 5}, "params is 5; it is a table"),
        ({"keep_collector_output": "none"}, "it can be 'all', 'last', 'failed'"),
        ({"min_fraction": 0}, "min_fraction is 0"),
        ({"min_fraction": 1.5}, "min_fraction is 1.5"),
        (
            {"max_collector_jobs": 3, "max_files_per_collector_job": 2},
            "give one of max_files_per_collector_job",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words) -> None:
    collection = Collection(**{"collector": nothing, **settings})
    with pytest.raises(ConfigurationError, match=words):
        collection.check("calibration 'cal', collection 'default'")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux")
def test_a_name_without_text_is_found_by_a_glob(tmp_path) -> None:
    (tmp_path / HOSTILE[-1]).touch()
    assert found([f"{tmp_path}/*.root"]).files == (str(tmp_path / HOSTILE[-1]),)


@pytest.fixture
def one_file(tmp_path, monkeypatch):
    """A folder with the file ``data/a b.root``, and a link to a folder elsewhere."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a b.root").write_text("1")
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "deep")
    monkeypatch.chdir(tmp_path)
    return f"{tmp_path}/data/a b.root"


SPELLINGS = [
    "data/a b.root",
    "./data/a b.root",
    "data/../data/./a b.root",
    "data//a b.root",
    "//{folder}/data/a b.root",
    "elsewhere/deep/../../data/a b.root",
    "data/a b.root\n",
    " data/a b.root ",
    "data/*.root",
    "data/../da*/a b.root",
    "file:data/a b.root",
    "file:{folder}/data/a%20b.root",
    "file://{folder}/data/a b.root",
    "file://{folder}/data/*.root",
    "FILE://localhost{folder}/data/a%20b.root",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_file_has_one_name_however_it_is_written(one_file, tmp_path, spelling) -> None:
    selection = found([one_file, spelling.format(folder=tmp_path)])
    assert selection == FileSelection((one_file,))
    job = Job("job", cmd=["true"], input_files=[spelling.format(folder=tmp_path), one_file])
    if "*" not in spelling:
        MaxFilesSplitter(1).create_subjobs(job)
        assert [subjob.input_files for subjob in job.subjobs.values()] == [job.input_files[:1]]
        job.subjobs.clear()
        job.working_dir = tmp_path
        assert job.spec().input_files == (one_file,)


@pytest.mark.parametrize("make", [Path.symlink_to, Path.hardlink_to])
def test_a_file_under_two_names_is_taken_once_and_told(one_file, tmp_path, make) -> None:
    make(tmp_path / "other.root", one_file)
    selection = found(["other.root", one_file, "data/*"])
    assert selection.files == (f"{tmp_path}/other.root",)
    assert selection.doubles == {one_file: f"{tmp_path}/other.root"}


def test_a_folder_that_is_a_link_leads_elsewhere_than_the_text_says(one_file, tmp_path) -> None:
    (tmp_path / "elsewhere" / "x.root").write_text("2")
    (tmp_path / "x.root").write_text("1")
    assert found(["link/../x.root"]).files == (f"{tmp_path}/elsewhere/x.root",)
    assert found(["data/../x.root", "x.root"]).files == (f"{tmp_path}/x.root",)


def test_files_of_equal_content_and_time_are_two(tmp_path) -> None:
    for name in ("a.root", "b.root"):
        (tmp_path / name).write_text("1")
        os.utime(tmp_path / name, (1, 1))
    assert len(found([f"{tmp_path}/*.root"]).files) == 2


def test_uris_of_one_file() -> None:
    same = ["root://Host//store/a.root", "root://host:1094/store//a.root", "xroot://host//store/a.root\n"]
    assert found(same).files == (same[0],)
    different = [
        "root://host//a.root",
        "root://host//A.root",
        "root://host:99//a.root",
        "https://host//a.root",
    ]
    different += ["https://host/a.root", "root://host//a.root?svcClass=x"]
    assert found(different).files == tuple(different)


@pytest.mark.parametrize("blank", ["", " ", "\n", "\t"])
def test_a_blank_name_is_no_file(one_file, blank) -> None:
    with pytest.raises(ConfigurationError, match=r"default': the name .* of an input file is blank"):
        found([one_file, blank], on_missing="skip")
    with pytest.raises(ConfigurationError, match="is blank"):
        Job("job", cmd=["true"], input_files=[one_file, blank])


def test_a_file_on_another_host_is_refused(one_file) -> None:
    with pytest.raises(ConfigurationError, match=r"is on the host 'data'.*write the path alone"):
        found(["file://data/a b.root"])


def test_a_link_that_leads_nowhere_is_missing(one_file, tmp_path) -> None:
    (tmp_path / "data" / "b.root").symlink_to("gone")
    with pytest.raises(ConfigurationError, match=r"1 input file\(s\) do not exist: '.*data/b.root'"):
        found(["data/*.root"])
    assert found(["data/*.root"], on_missing="skip").missing == (f"{tmp_path}/data/b.root",)
