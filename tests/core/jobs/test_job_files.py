"""The files of jobs and submissions, and reading records back."""

import itertools
import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.calibration.execution import collect, dotted
from caf_core.calibration.plan_task import carry_out_plan
from caf_core.control.preloading import basic_preloads
from caf_core.errors import CheckpointError, ConfigurationError
from caf_core.jobs import files
from caf_core.jobs.claims import claim, latest_folder
from caf_core.jobs.node import read_spec, write_record
from caf_core.jobs.records import RecordReader
from caf_core.jobs.task import Call, Resources, TaskSpec
from caf_core.jobs.tokens import new_token
from caf_core.plugins.registry import Registry

ODD = "a b'\"\\\n\t$x;é漢\udcff"
SPEC = TaskSpec(
    Path("/out/0"),
    argv=("run", ODD),
    input_files=("root://host//f.root", ODD),
    setup_cmds=("source x",),
    sandbox=(Path("/s/a.py"),),
    json_files={"runs.json": {"a": [1, 2.5, None]}},
    env={"A": "b"},
    output_patterns=("*.root",),
    fingerprint="f",
)
PRELOAD = ("caf_core.jobs.call", "uproot", "pkg.mod")
CALL = TaskSpec(Path("/out/1"), call=Call("pkg.mod:f", {"x": 1}, ("uproot",), ("/here",)))


def test_tasks_come_back_as_they_were(tmp_path):
    job = files.write_tasks(tmp_path, [SPEC, CALL])
    assert files.read_job(tmp_path) == job == files.JobFiles(2, PRELOAD, ("/here",))
    assert [files.task_spec(line) for line in files.read_tasks(tmp_path, [0, 1])] == [SPEC, CALL]


def test_collectors_and_plans_find_one_process_that_has_imported_everything():
    modules = (*basic_preloads(Registry.load()), "hist", "uproot")
    entries = [dotted(function) for function in (collect, carry_out_plan)]
    first, second = (files.preload_of(Call(entry, preload=modules)) for entry in entries)
    assert first == second


texts = st.text(max_size=8)


@given(
    st.lists(
        st.builds(TaskSpec, st.just(Path("/o")), argv=st.tuples(texts), input_files=st.tuples(texts, texts))
    ),
    st.data(),
)
def test_any_line_of_any_job_can_be_read(tmp_path_factory, specs, data):
    directory = tmp_path_factory.mktemp("job")
    files.write_tasks(directory, specs)
    if specs:
        chosen = data.draw(st.lists(st.integers(0, len(specs) - 1), max_size=5))
        assert [files.task_spec(line) for line in files.read_tasks(directory, chosen)] == [
            specs[i] for i in chosen
        ]


def test_a_job_that_was_not_written_to_its_end_does_not_exist(tmp_path):
    def broken():
        yield SPEC
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        files.write_tasks(tmp_path, broken())
    assert files.read_job(tmp_path) is None
    files.write_tasks(tmp_path, [SPEC, CALL])
    assert files.read_task(tmp_path, 1)["task"] == 1


def test_a_directory_holds_one_job(tmp_path):
    files.write_tasks(tmp_path, [SPEC])
    with pytest.raises(ConfigurationError, match="holds a job already"):
        files.write_tasks(tmp_path, [SPEC])


def test_damaged_and_newer_jobs_are_named(tmp_path):
    (tmp_path / "job.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        files.read_job(tmp_path)
    (tmp_path / "job.json").write_text('{"schema": 99}')
    with pytest.raises(CheckpointError, match="newer caf"):
        files.read_job(tmp_path)


def test_the_node_reads_what_is_written_here(tmp_path):
    files.write_tasks(tmp_path, [SPEC, CALL, SPEC])
    asked = Resources(cpus=2, memory_mb=500, walltime=timedelta(minutes=2), disk_mb=7)
    directory = files.write_submission(tmp_path, "tok", [2, 1], [3, 1], asked)
    first = read_spec(str(directory), 0)
    assert (first["task"], first["attempt"], first["token"]) == (2, 3, "tok")
    assert (first["cpus"], first["walltime_s"], first["memory_mb"]) == (2, 120.0, 500)
    assert first["argv"] == list(SPEC.argv)
    assert read_spec(str(directory), 1)["call"]["entry"] == "pkg.mod:f"
    assert files.submission_resources(directory, Resources()) == asked
    assert sorted(entry.name for entry in directory.iterdir()) == [
        "claims",
        "manifest.idx",
        "manifest.jsonl",
        "records",
    ]


def test_what_a_submission_needs_no_more_is_removed_killed_at_any_step(tmp_path, monkeypatch):
    files.write_tasks(tmp_path, [SPEC] * 3)
    late = set()
    for steps in itertools.count():
        directory = files.write_submission(tmp_path, f"tok{steps}", [0, 1, 2], [1, 1, 1], Resources())
        for task in range(3):
            assert claim(str(directory), task, "7", "/out/attempt-1")[0]
            write_record(str(directory), task, {"attempt": 1})
        with monkeypatch.context() as patch:
            killed_after(steps, patch)
            try:
                files.fold_submission(directory)
                whole = True
            except Killed:
                whole = False
        if steps:
            # Whoever comes late under another or the same id does nothing.
            late |= {
                claim(str(directory), task, name, "/out/attempt-1") for task in range(3) for name in "78"
            }
        files.fold_submission(directory)
        assert sorted(path.name for path in directory.iterdir()) == ["manifest.idx", "manifest.jsonl"]
        files.fold_submission(directory)
        if whole:
            break
    assert steps > 6
    assert late == {(None, "its submission is over")}


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def killed_after(number, patch):
    """Stop what changes the file system after so many steps."""
    steps = iter(range(number))

    def stopping(function):
        def step(*args, **kwargs):
            if next(steps, None) is None:
                raise Killed
            return function(*args, **kwargs)

        return step

    for name in ("rename", "unlink", "rmdir"):
        patch.setattr(os, name, stopping(getattr(os, name)))


def test_where_a_task_that_was_begun_again_worked_is_kept(tmp_path):
    files.write_tasks(tmp_path, [SPEC])
    directory = files.write_submission(tmp_path, "tok", [0], [1], Resources())
    claim(str(directory), 0, "7", "/out/attempt-1")
    again, _ = claim(str(directory), 0, "7", "/out/attempt-1")
    assert again.folder == "/out/attempt-1.2"
    files.fold_submission(directory)
    assert latest_folder(str(directory), 0, "/out/attempt-1") == "/out/attempt-1.2"


def test_splitting_a_task_adds_two_lines(tmp_path):
    files.write_tasks(tmp_path, [TaskSpec(tmp_path / "0", argv=("x",), input_files=("a", "b", "c"))])
    split = files.split_task(tmp_path, 0, (1, 2))
    assert files.read_splits(tmp_path) == [split] == [files.Split(0, (1, 2), (2, 1))]
    halves = [files.task_spec(line) for line in files.read_tasks(tmp_path, [1, 2])]
    assert [half.input_files for half in halves] == [("a", "b"), ("c",)]
    assert len({half.output_dir for half in halves}) == 2


def test_a_split_that_was_not_finished_is_done_again(tmp_path):
    files.write_tasks(tmp_path, [TaskSpec(tmp_path / "0", argv=("x",), input_files=("a", "b"))])
    files.split_task(tmp_path, 0, (1, 2))
    (tmp_path / "splits.jsonl").write_text('{"parent":0,"chil')  # killed while it was written
    assert files.read_splits(tmp_path) == []
    (tmp_path / "splits.jsonl").unlink()
    files.split_task(tmp_path, 0, (1, 2))
    assert files.read_task(tmp_path, 2)["input_files"] == ["b"]


# Records


@pytest.fixture
def reader(tmp_path):
    (tmp_path / "records").mkdir()
    return RecordReader(tmp_path, "tok")


def put(reader, place, **fields):
    content = {"schema": 1, "token": "tok", "position": place, "attempt": 1, **fields}
    (reader.directory / "records" / f"{place}.json").write_text(json.dumps(content))


def test_only_new_records_are_read(reader):
    put(reader, 0)
    put(reader, 7)
    assert set(reader.scan(1.0).records) == {0, 7}
    put(reader, 3)
    again = reader.scan(2.0)
    assert set(again.records) == {3} and again.began == 2.0


def test_records_that_came_another_way_are_not_opened(reader):
    put(reader, 0)
    reader.mark(0)
    assert reader.scan(0.0).records == {}


def test_half_written_and_foreign_files_are_left_alone(reader):
    for name in (".5.1234", ".5.json", "5.json.tmp", "notes.json", "5"):
        (reader.directory / "records" / name).write_text("{")
    scan = reader.scan(0.0)
    assert scan.records == {} and scan.broken == {}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"attempt": "x"}', '{"attempt": 1, "schema": 99}']
)
def test_a_corrupt_record_is_named_and_tried_again(reader, content):
    path = reader.directory / "records" / "4.json"
    path.write_text(content)
    assert str(path) in reader.scan(0.0).broken[4]
    put(reader, 4)
    assert set(reader.scan(1.0).records) == {4}


def test_a_record_of_another_submission_is_broken(reader):
    put(reader, 0, token="other")
    put(reader, 1, position=2)
    scan = reader.scan(0.0)
    assert set(scan.broken) == {0, 1} and scan.records == {}


def test_a_directory_that_cannot_be_read_proves_nothing(tmp_path):
    assert "records" in RecordReader(tmp_path / "gone", "tok").scan(0.0).error


def test_tokens_suit_every_scheduler():
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(
        len(token) == 15 and token.isalnum() and token.isascii() and token[0].isalpha() for token in tokens
    )
