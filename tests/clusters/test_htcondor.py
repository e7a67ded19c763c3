"""The backend on a real HTCondor pool: the suite, and what only HTCondor does."""

import json
import os
import subprocess
from typing import ClassVar

import pytest

from caf_core.errors import BackendError, SubmissionError
from caf_core.jobs.backend import SchedulerState
from caf_core.jobs.ledger import FailureKind, TaskState
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.task import Resources, TaskSpec
from caf_core.testing.batch import BatchConformance
from caf_core.testing.bench import JobBench, records, shell, submission, wait_until
from caf_core.testing.faulty import until
from caf_htcondor import HTCondor
from clusters.conftest import PORTS, cluster_or_skip, in_environment
from clusters.experiment import Experiment

# Its jobs are counted, and its schedd is stopped: the instance is ours, and tests follow one another.
pytestmark = [pytest.mark.htcondor, pytest.mark.xdist_group("htcondor-plugin")]

SMALL = {"request_memory": 64, "poll_interval": 0.5, "grace": 5, "command_timeout": 30}
QUEUED, RUNNING, HELD = SchedulerState.QUEUED, SchedulerState.RUNNING, SchedulerState.HELD
ENDED, UNKNOWN = SchedulerState.ENDED, SchedulerState.UNKNOWN
PATIENCE = 60.0


@pytest.fixture(scope="module")
def own_pool():
    """A pool of this module's own."""
    variable, default = PORTS["htcondor"]
    port = int(os.environ.get(variable, default)) + 20
    for found in in_environment(cluster_or_skip("htcondor", "plugin", **{variable: str(port)})):
        call("condor_rm", "-all", check=False)
        yield found


@pytest.fixture(autouse=True)
def _on_it(own_pool):
    """Every test here needs it."""


def call(*command, check=True):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=check).stdout


def queue(*names):
    text = call("condor_q", "-json", *names)
    return json.loads(text) if text.strip() else []


def htcondor(**args):
    return HTCondor(backend_args={**SMALL, **args})


@pytest.fixture
def backend():
    return htcondor()


@pytest.fixture
def bench(backend, tmp_path):
    bench = JobBench(backend, tmp_path / "jobs", 120.0)
    yield bench
    bench.service.close()


@pytest.fixture
def start(backend, tmp_path):
    """Starts tasks of shell that wait for the file ``go``, as one submission."""

    def start(count=1, script="true", on=backend, **changes):
        tasks = [
            shell(tmp_path / "out" / str(i), f"{until(tmp_path / 'go')}; {script}") for i in range(count)
        ]
        one = submission(tmp_path / "job", tasks, on, **changes)
        return one, list(on.start(one))

    yield start
    (tmp_path / "go").touch()


def until_told(backend, ids, *states):
    """Wait until all tasks are in one of these states."""
    told = {}

    def there():
        told.update(backend.poll(ids))
        return all(one in told and told[one].state in states for one in ids)

    wait_until(there, PATIENCE, f"{ids} are {states}")
    return told


class TestConformance(BatchConformance):
    bad_backend_args: ClassVar = {"extra_lines": ["no_such_keyword = 1"]}
    refusal = "no_such_keyword"

    @pytest.fixture
    def make_backend(self):
        return htcondor

    def asked_for(self, backend, identity):
        (ad,) = queue(identity)
        return Resources(ad["RequestCpus"], ad["RequestMemory"], disk_mb=ad["RequestDisk"] // 1024)


class TestTransfer(TestConformance):
    """The same without a shared file system; what came back is put in place when the backend is asked."""

    @pytest.fixture
    def make_backend(self):
        return lambda **args: htcondor(transfer=True, **args)

    def _until_recorded(self, one):
        backend = htcondor()
        backend.adopt(one.token, one.directory)
        ids = list(backend.find(one.token).values())
        wait_until(
            lambda: backend.poll(ids) is not None and len(records(one)) == one.size, self.timeout, "all ended"
        )

    def test_a_submission_that_is_started_twice_is_executed_once(self):
        pytest.skip("nodes that share no file system cannot claim a task")

    test_two_executions_under_one_id_do_not_meet = test_a_submission_that_is_started_twice_is_executed_once

    def test_a_part_of_an_array_is_cancelled(self):
        pytest.skip("nobody asks here, so no record comes home")

    test_tasks_go_on_without_the_backend = test_a_part_of_an_array_is_cancelled
    test_tasks_that_end_without_a_controller_are_known_afterwards = test_a_part_of_an_array_is_cancelled


# What becomes of tasks


def test_states_come_from_the_event_log_alone(backend, start, monkeypatch, tmp_path):
    one, ids = start(3, "exit 4")
    monkeypatch.setenv("PATH", "/nowhere")
    told = until_told(backend, ids, RUNNING)
    assert all(report.host for report in told.values())
    (tmp_path / "go").touch()
    told = until_told(backend, ids, ENDED)
    assert {report.exit_code for report in told.values()} == {0}  # of the program that wrote the record
    assert {record["exit_code"] for record in records(one).values()} == {4}


def test_a_task_that_needs_more_memory_is_released_with_more(bench, tmp_path):
    # The site's policy, which looks now and then.
    lines = [
        "periodic_hold = JobStatus == 2 && RequestMemory < 100 && time() - JobCurrentStartDate > 5",
        'periodic_hold_reason = "memory usage exceeded request_memory"',
    ]
    first = tmp_path / "first"
    script = f"test -e {first} && exit 0; touch {first}; sleep 40"
    bench.submit(
        "hungry",
        [shell(tmp_path / "out", script)],
        {"extra_lines": lines, "request_memory": None},
        retry=RetryPolicy(),
        resources=Resources(memory_mb=80),
    )
    (status,) = bench.wait("hungry")
    (task,) = bench.tasks("hungry")
    assert status.success, task.reason
    assert task.attempt == 1
    wait_until(lambda: not queue(task.scheduler_id), PATIENCE, "it left the queue")
    assert call("condor_history", task.scheduler_id, "-af", "RequestMemory") == "121\n"
    (log,) = tmp_path.glob("jobs/hungry/submissions/*/events.log")
    assert log.read_text().count("Job was held") == 1


def test_a_task_that_can_never_start_fails_with_the_words(bench, tmp_path):
    bench.submit("job", [shell(tmp_path / "out", "true")], {"extra_lines": "input = /no/such/file"})
    bench.wait("job")
    (task,) = bench.tasks("job")
    assert (task.state, task.failure) == (TaskState.FAILED, FailureKind.SUBMISSION)
    assert "/no/such/file" in task.reason and "8/2" in task.reason
    wait_until(lambda: not queue(task.scheduler_id), PATIENCE, "it is removed from the queue")


def test_a_user_may_hold_and_release_a_task(backend, start, tmp_path):
    one, ids = start()
    until_told(backend, ids, RUNNING)
    call("condor_hold", *ids)
    (report,) = until_told(backend, ids, HELD).values()
    assert report.failure is None
    assert "condor_hold" in report.reason
    call("condor_release", *ids)
    until_told(backend, ids, QUEUED, RUNNING)
    (tmp_path / "go").touch()
    until_told(backend, ids, ENDED)
    assert records(one)[0]["exit_code"] == 0


def test_the_scheduler_ends_what_takes_too_long(bench, tmp_path):
    bench.submit("long", [shell(tmp_path / "out", "sleep 300")], {"max_runtime": 3})
    bench.wait("long")
    (task,) = bench.tasks("long")
    assert (task.state, task.failure) == (TaskState.FAILED, FailureKind.WALLTIME), task.reason


def test_time_limits_reach_the_scheduler(backend, start):
    _, (identity,) = start(on=htcondor(max_runtime=600, runtime_attribute="MaxRuntime"))
    (ad,) = queue(identity)
    assert (ad["AllowedJobDuration"], ad["MaxRuntime"]) == (600, 600)


def test_what_no_machine_can_take_is_told(start):
    asking = htcondor(request_memory="900 GB", quiet_interval=0, schedd_interval=0)
    _, ids = start(on=asking)
    wait_until(
        lambda: "no machine took it" in asking.poll(ids)[ids[0]].reason, PATIENCE, "the negotiator said no"
    )
    assert asking.poll(ids)[ids[0]].state is QUEUED
    asking.cancel(ids)
    until_told(asking, ids, ENDED)


# Late materialization


def test_many_tasks_a_few_at_a_time(bench, tmp_path):
    tasks = [shell(tmp_path / str(i), "true") for i in range(8)]
    bench.submit("many", tasks, {"max_materialize": 2})
    (status,) = bench.wait("many")
    assert status.success, [task.reason for task in bench.tasks("many")]


def test_cancelling_ends_what_was_not_made_yet(start):
    few = htcondor(max_materialize=2)
    one, ids = start(6, on=few)
    assert dict(few.find(one.token)) == dict(enumerate(ids))
    assert set(few.poll(ids)) == set(ids)
    until_told(few, ids[:2], RUNNING)
    assert {few.poll(ids)[one].state for one in ids[2:]} == {QUEUED}
    few.cancel(ids)
    until_told(few, ids, ENDED)
    assert queue(ids[0].partition(".")[0]) == []


# When things go wrong


def test_a_lost_log_is_replaced_by_the_schedd(start, tmp_path):
    asking = htcondor(schedd_interval=0)
    one, ids = start(2, on=asking)
    until_told(asking, ids, RUNNING)
    (one.directory / "events.log").rename(one.directory / "gone")
    assert {report.state for report in asking.poll(ids).values()} == {RUNNING}
    (tmp_path / "go").touch()
    until_told(asking, ids, ENDED)
    other = htcondor()
    assert dict(other.find(one.token)) == dict(enumerate(ids))
    other.adopt(one.token, one.directory)
    assert {report.state for report in other.poll(ids).values()} == {ENDED}


def test_a_log_that_was_cut_is_not_believed(start, tmp_path):
    asking = htcondor(schedd_interval=0)
    one, ids = start(2, on=asking)
    until_told(asking, ids, RUNNING)
    (one.directory / "events.log").write_bytes(b"")
    assert {report.state for report in asking.poll(ids).values()} == {RUNNING}
    (tmp_path / "go").touch()
    until_told(asking, ids, ENDED)
    other = htcondor()
    other.adopt(one.token, one.directory)
    assert dict(other.find(one.token)) == dict(enumerate(ids))
    assert [records(one)[position]["exit_code"] for position in (0, 1)] == [0, 0]


def test_a_stopped_schedd_loses_nothing(backend, bench, start, tmp_path):
    one, ids = start(2)
    until_told(backend, ids, RUNNING)
    call("condor_off", "-schedd", "-fast")
    wait_until(lambda: subprocess.run(["condor_q"], capture_output=True).returncode, PATIENCE, "it is down")
    try:
        assert {report.state for report in backend.poll(ids).values()} == {RUNNING}
        other = submission(tmp_path / "other", [shell(tmp_path / "late", "true")], backend)
        with pytest.raises(SubmissionError) as refusal:
            backend.start(other)
        assert refusal.value.transient
        with pytest.raises(BackendError):
            backend.find(other.token)
        with pytest.raises(BackendError):
            backend.cancel(ids)
        with pytest.raises(BackendError):
            backend.count()
    finally:
        call("condor_on", "-schedd")
    wait_until(lambda: not subprocess.run(["condor_q"], capture_output=True).returncode, PATIENCE, "it is up")
    assert dict(backend.find(other.token)) == {}
    (tmp_path / "go").touch()
    until_told(backend, ids, ENDED)
    assert [records(one)[position]["exit_code"] for position in (0, 1)] == [0, 0]


def test_mistakes_are_told_in_the_words_of_condor_submit(backend, tmp_path):
    for extra, words in (
        ({"requirements": "(Memory > "}, "Parse error in expression"),
        ({"universe": "nosuch"}, "I don't know about the 'nosuch' universe"),
        ({"extra_lines": "reqest_gpus = 1"}, "reqest_gpus"),
    ):
        wrong = htcondor(**extra)
        one = submission(tmp_path / words[:5], [shell(tmp_path / "out", "true")], wrong)
        with pytest.raises(SubmissionError, match=words) as refusal:
            wrong.start(one)
        assert not refusal.value.transient
    assert backend.count() is not None


def test_missing_credentials_pause(backend, tmp_path, monkeypatch):
    monkeypatch.setenv("_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS", "IDTOKENS")
    with pytest.raises(SubmissionError) as refusal:
        backend.start(submission(tmp_path / "job", [shell(tmp_path / "out", "true")], backend))
    assert refusal.value.credentials


# Without a shared file system


def test_what_a_task_needs_travels_and_what_it_made_comes_home(tmp_path):
    bench = JobBench(htcondor(transfer=True), tmp_path / "jobs", 120.0)
    data = tmp_path / "data, $(one).txt"
    data.write_text("content")
    tools = tmp_path / "tools"
    (tools / "sub").mkdir(parents=True)
    (tools / "sub" / "tool.sh").write_text("#!/bin/sh\necho tool")
    (tools / "sub" / "tool.sh").chmod(0o755)
    script = (
        "tools/sub/tool.sh > made; cat input_files.json > inputs; "
        'cat "$1" > copy; pwd > where; mkdir deep; echo x > deep/x'
    )
    task = TaskSpec(
        tmp_path / "out",
        argv=("/bin/sh", "-c", script, "sh", str(data)),
        input_files=(str(data), "root://host//file"),
        sandbox=(tools,),
        output_patterns=("made", "deep/*"),
    )
    bench.submit("job", [task])
    (status,) = bench.wait("job")
    assert status.success, bench.tasks("job")[0].reason
    ((_, attempt, outputs),) = bench.service.outputs("job")
    bench.service.close()
    assert (attempt, outputs) == (tmp_path / "out" / "attempt-1", ["deep/x", "made"])
    assert (attempt / "made").read_text() == "tool\n"
    assert (attempt / "copy").read_text() == "content"
    where = (attempt / "where").read_text()
    assert str(tmp_path) not in where
    inputs = json.loads((attempt / "inputs").read_text())
    assert inputs[0].endswith("/data, $(one).txt") and str(tmp_path) not in inputs[0]
    assert inputs[1] == "root://host//file"


def test_a_calibration_in_python_needs_no_shared_files(tmp_path):
    experiment = Experiment("htcondor", tmp_path)
    experiment.finish("travelling.py")
    # Three runs, then the same with the first iteration's sum added to each.
    payloads = [text for name, text in experiment.result().items() if name.endswith(".json")]
    assert [json.loads(text) for text in payloads] == [3 * 6 + 6]


# What it costs


def test_a_thousand_tasks_in_one_submission(backend, tmp_path):
    tasks = [shell(tmp_path / "out" / str(i), "true") for i in range(1000)]
    one = submission(tmp_path / "job", tasks, backend)
    answers = []
    backend.witness = answers.append
    ids = list(backend.start(one))
    (answer,) = answers
    assert answer.argv[0] == "condor_submit"
    assert len(set(ids)) == 1000
    backend.witness = None
    told = backend.poll(ids)
    assert set(told) == set(ids)
    backend.cancel(ids)
    until_told(backend, ids, ENDED)
