"""Jobs as users write them, without executing them."""

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.errors import ConfigurationError
from caf_core.jobs.input_data import get_input_data
from caf_core.jobs.ledger import FailureKind, TaskState
from caf_core.jobs.model import ORDER, Job
from caf_core.jobs.retry import Remedy, RetryPolicy, Rule
from caf_core.jobs.splitters import MaxFilesSplitter
from caf_core.jobs.task import Resources


@given(st.lists(st.sampled_from(TaskState), min_size=1))
def test_a_job_is_in_the_lowest_state_of_its_subjobs(states):
    job = Job("job", cmd=["true"])
    for id, state in enumerate(states):
        job.create_subjob(id).status = state
    assert job.status == min(states, key=["init", "submitted", "running", "failed", "completed"].index)


def test_the_order_of_states():
    assert [state.value for state in ORDER] == ["init", "submitted", "running", "failed", "completed"]


def test_subjobs_have_what_is_not_their_own_from_the_job():
    job = Job(
        "job",
        cmd=["cat"],
        args=["-n"],
        setup_cmds=["source x"],
        backend_args={"queue": "s"},
        input_files=["a"],
    )
    own, plain = job.create_subjob(0, input_files=["b"], args=[1]), job.create_subjob(1)
    assert own.full_command == ["cat", "1"] and own.input_files == ["b"]
    assert plain.full_command == ["cat", "-n"] and plain.input_files == ["a"]
    assert plain.setup_cmds == ["source x"] and plain.backend_args == {"queue": "s"}
    with pytest.raises(AttributeError):
        _ = plain.no_such_thing


def test_two_subjobs_of_one_number_are_refused():
    job = Job("job")
    job.create_subjob(0)
    with pytest.raises(ConfigurationError, match="has a subjob 0 already"):
        job.create_subjob(0)


def test_short_ways_to_a_splitter():
    job = Job("job")
    assert job.max_subjobs is None and job.max_files_per_subjob is None
    job.max_subjobs = 3
    assert job.max_subjobs == 3 and job.max_files_per_subjob is None
    job.max_files_per_subjob = 2
    assert isinstance(job.splitter, MaxFilesSplitter) and job.max_files_per_subjob == 2


def test_splitting_to_nothing_is_an_error():
    job = Job("job", splitter=MaxFilesSplitter(2))
    with pytest.raises(ConfigurationError, match="makes no subjob of 'job', which has 0 input files"):
        job.split()


def test_missing_files_are_left_out_with_a_warning(tmp_path, caplog):
    here = tmp_path / "here.root"
    here.touch()
    gone = str(tmp_path / "gone.root")
    job = Job("job", input_files=[here, gone, "root://host//x.root", here])
    job.check_input_data_files()
    assert job.input_files == [str(here), "root://host//x.root"]
    assert f"the input file {gone} of 'job' does not exist" in caplog.text


def test_a_task_has_absolute_paths_and_uris_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = Job("job", cmd=["x"], input_files=["a.root", "root://h//b"], working_dir="w", env={"N": 1})
    spec = job.spec()
    assert spec.input_files == (str(tmp_path / "a.root"), "root://h//b")
    assert spec.env == {"N": "1"}


JOB = Job(
    "full",
    cmd=["a", "b"],
    args=["c d", "é\n"],
    input_files=["root://x"],
    working_dir="w",
    output_dir="o",
    output_patterns=["*.root"],
    setup_cmds=["s"],
    input_sandbox_files=["f"],
    backend_args={"queue": "l", "extra": [1, {"x": None}]},
    env={"A": "B"},
    resources=Resources(2, 100, timedelta(hours=1.5), 3),
    retry=RetryPolicy().with_rule(FailureKind.EXIT_CODE, Rule(Remedy.AGAIN, 2, timedelta(seconds=5))),
)


def test_a_job_comes_back_from_its_file(tmp_path):
    JOB.subjobs.clear()
    JOB.create_subjob(0, input_files=["x"])
    JOB.create_subjob(4, args=["y"])
    JOB.dump_to_json(tmp_path / "job.json")
    job = Job.from_json(tmp_path / "job.json")
    for name in (
        "name",
        "cmd",
        "args",
        "input_files",
        "working_dir",
        "output_dir",
        "output_patterns",
        "setup_cmds",
    ):
        assert getattr(job, name) == getattr(JOB, name)
    for name in ("input_sandbox_files", "backend_args", "env", "resources", "retry"):
        assert getattr(job, name) == getattr(JOB, name)
    assert [(sub.id, sub.own_args, sub.own_input_files) for sub in job.subjobs.values()] == [
        (0, None, ["x"]),
        (4, ["y"], None),
    ]
    job.dump_to_json(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "job.json").read_bytes()


def test_a_job_file_of_a_newer_version_is_refused(tmp_path):
    JOB.dump_to_json(tmp_path / "job.json")
    content = json.loads((tmp_path / "job.json").read_text())
    assert content["schema"] == 1
    (tmp_path / "job.json").write_text(json.dumps({**content, "schema": 2}))
    with pytest.raises(ConfigurationError, match="newer caf"):
        Job.from_json(tmp_path / "job.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"cmd": 3}, "cmd"), ({"colour": "red"}, "colour"), ({"resources": {"cpus": "many"}}, "cpus")],
)
def test_a_job_file_that_is_wrong_says_where(tmp_path, change, message):
    JOB.dump_to_json(tmp_path / "job.json")
    content = json.loads((tmp_path / "job.json").read_text()) | change
    (tmp_path / "job.json").write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match=message):
        Job.from_json(tmp_path / "job.json")


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_what_is_not_a_job_file_is_refused(tmp_path, content):
    (tmp_path / "job.json").write_text(content)
    with pytest.raises(ConfigurationError, match=str(tmp_path)):
        Job.from_json(tmp_path / "job.json")


def test_backend_args_that_are_not_json_are_named(tmp_path):
    with pytest.raises(ConfigurationError, match="plain values"):
        Job("job", backend_args={"queue": object()}).dump_to_json(tmp_path / "job.json")


def test_get_input_data(tmp_path):
    (tmp_path / "input_files.json").write_text('["a", "b c"]')
    assert get_input_data(tmp_path) == ["a", "b c"]
    with pytest.raises(FileNotFoundError):
        get_input_data(tmp_path / "elsewhere")


@pytest.mark.parametrize("name", ["../esc", "a/b", "", " a", "a\nb", ".hidden", "x" * 101, 7, None])
def test_a_job_has_a_name_that_can_be_a_folder(name):
    with pytest.raises(ConfigurationError, match="cannot be the name of a job"):
        Job(name, cmd=["true"])
    job = Job("good", cmd=["true"])
    with pytest.raises(ConfigurationError, match="cannot be the name of a job"):
        job.name = name


def test_a_misspelt_attribute_is_refused():
    job = Job("job", cmd=["true"])
    with pytest.raises(ConfigurationError, match="no setting 'input_file'; do you mean 'input_files'"):
        job.input_file = ["a"]
    with pytest.raises(ConfigurationError, match="no setting 'xyz'; it has: args, "):
        job.xyz = 1
    job.input_files = ("a", "b")
    assert job.input_files == ["a", "b"]
    with pytest.raises(AttributeError):
        job.create_subjob(0).outputdir = "x"


def test_a_subclass_of_a_job_may_have_more():
    class Mine(Job):
        pass

    job = Mine("job", cmd=["true"])
    job.note = "mine"
    assert job.note == "mine"
