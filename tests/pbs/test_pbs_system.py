"""What happens to tasks on a server that does what a PBS does, through the core."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from caf_core.jobs.backend import SchedulerState
from caf_core.jobs.ledger import FailureKind, TaskState
from caf_core.jobs.task import Resources
from caf_core.testing.bench import JobBench, records, shell, submission, wait_until
from caf_core.testing.faulty import AGAIN, until
from caf_pbs import PBS
from fakes.cluster import Cluster

LIMIT = 120.0
"""How long anything may take on a busy machine [s]."""
TOO_OFTEN = "job held, too many failed attempts to run"


@pytest.fixture
def make_cluster(tmp_path, request):
    def make(place="fakes.pbs:OpenPBS", **settings):
        cluster = Cluster(place, tmp_path / "cluster", **settings)
        request.addfinalizer(cluster.close)
        return cluster

    return make


@pytest.fixture
def make_bench(tmp_path, request):
    def make(cluster, **backend_args):
        quick = {"path_prefix": cluster.path_prefix, "poll_interval": 0.3, "grace": 2.0}
        bench = JobBench(PBS(backend_args={**quick, **backend_args}), tmp_path / "jobs", LIMIT)
        request.addfinalizer(lambda: bench.service.close())
        return bench

    return make


def only_task(bench):
    bench.wait("job")
    (task,) = bench.tasks("job")
    return task


@pytest.mark.parametrize(
    ("place", "settings"),
    [("fakes.pbs:OpenPBS", {"job_history": True}), ("fakes.torque:Torque", {})],
)
def test_a_task_that_the_server_ends_for_its_time(make_cluster, make_bench, tmp_path, place, settings):
    bench = make_bench(make_cluster(place, **settings))
    bench.submit("job", [shell(tmp_path / "out", "sleep 300")], {"resource_list": "walltime=00:00:01"})
    task = only_task(bench)
    assert (task.state, task.failure) == (TaskState.FAILED, FailureKind.WALLTIME), task.reason


def test_without_history_a_task_is_the_first_to_see_that_its_time_is_up(make_cluster, make_bench, tmp_path):
    cluster = make_cluster()
    bench = make_bench(cluster)
    limit = Resources(walltime=timedelta(seconds=1))
    bench.submit("job", [shell(tmp_path / "out", "sleep 300")], resources=limit)
    assert only_task(bench).failure is FailureKind.WALLTIME
    assert cluster.jobs()[0].spec["resources"]["walltime"] == "00:01:01"


def test_a_queue_without_time_to_spare_takes_the_tasks_all_the_same(make_cluster, make_bench, tmp_path):
    cluster = make_cluster(queues={"workq": {"walltime": 60}})
    bench = make_bench(cluster)
    bench.submit("job", [shell(tmp_path / "out", "true")], resources=Resources(walltime=timedelta(minutes=1)))
    assert only_task(bench).state is TaskState.COMPLETED
    assert cluster.jobs()[0].spec["resources"]["walltime"] == "00:01:00"


def test_a_hold_after_failed_attempts_fails_the_task_and_removes_the_job(make_cluster, make_bench, tmp_path):
    cluster = make_cluster(slots=0, job_history=True)
    bench = make_bench(cluster)
    bench.submit("job", [shell(tmp_path / "out", "true")])
    bench.pump(lambda: bool(cluster.jobs()), "the job was taken")
    cluster.hold(cluster.jobs()[0], TOO_OFTEN)
    task = only_task(bench)
    assert (task.failure, task.reason) == (FailureKind.HELD, TOO_OFTEN)
    wait_until(lambda: not cluster.jobs(state="held"), LIMIT, "the job was removed")


def test_a_hold_of_a_user_is_waited_for(make_cluster, make_bench, tmp_path):
    cluster = make_cluster(slots=0)
    bench = make_bench(cluster)
    bench.submit("job", [shell(tmp_path / "out", "true")])
    bench.pump(lambda: bool(cluster.jobs()), "the job was taken")
    cluster.hold(cluster.jobs()[0], "held by the operator")
    bench.pump(lambda: "operator" in bench.tasks("job")[0].reason, "the hold was told")
    cluster.set(slots=1)
    cluster.release(cluster.jobs()[0])
    assert only_task(bench).state is TaskState.COMPLETED


@pytest.mark.parametrize("count", [1, 3])
def test_what_can_never_start_is_told(make_cluster, make_bench, tmp_path, count):
    words = "Can Never Run: Insufficient amount of resource: ncpus (R: 64 A: 8 T: 8)"
    cluster = make_cluster(never=words)
    bench = make_bench(cluster)
    bench.submit("job", [shell(tmp_path / str(i), "true") for i in range(count)])
    bench.pump(lambda: all(task.reason == words for task in bench.tasks("job")), "the reason was told")
    assert all(task.state is TaskState.SUBMITTED for task in bench.tasks("job"))


def test_a_full_server_is_tried_again(make_cluster, make_bench, tmp_path):
    cluster = make_cluster(max_queued=0)
    bench = make_bench(cluster, command_timeout=3.0, check_interval=0.5)
    bench.submit("job", [shell(tmp_path / "out", "true")], retry=AGAIN)
    bench.pump(lambda: bool(cluster.calls("qsub")), "it was tried")
    cluster.set(max_queued=10)
    assert only_task(bench).state is TaskState.COMPLETED


def test_history_that_is_switched_off_meanwhile_loses_nothing(make_cluster, make_bench, tmp_path):
    cluster = make_cluster(job_history=True)
    bench = make_bench(cluster)
    go = tmp_path / "go"
    bench.submit("job", [shell(tmp_path / str(i), until(go)) for i in range(3)])
    bench.pump(lambda: len(bench.running("job")) == 3, "all tasks execute")
    cluster.set(job_history=False)
    bench.pump_for(1.0)
    go.touch()
    (status,) = bench.wait("job")
    assert status.success
    assert bench.service._lines["bench"].backend.find("cNosuchtoken99") == {}


def test_a_folder_without_a_text_name(make_cluster, tmp_path):
    cluster = make_cluster()
    backend = PBS(backend_args={"path_prefix": cluster.path_prefix})
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xe9 job"))
    one = submission(folder, [shell(tmp_path / str(i), "true") for i in range(2)], backend)
    backend.start(one)
    wait_until(lambda: len(records(one)) == 2, LIMIT, "both tasks were recorded")
    backend.close()


def test_the_log_of_the_server_is_one_file(make_cluster, tmp_path):
    cluster = make_cluster(job_history=True)
    backend = PBS(backend_args={"path_prefix": cluster.path_prefix, "extra_lines": ["echo before"]})
    one = submission(tmp_path / "job", [shell(tmp_path / str(i), "true") for i in range(3)], backend)
    ids = backend.start(one)
    wait_until(
        lambda: all(report.state is SchedulerState.ENDED for report in backend.poll(ids).values()),
        LIMIT,
        "the tasks ended",
    )
    assert {path.name for path in one.directory.iterdir()} >= {"scheduler.log", "pbs.sh", "records"}
    assert backend.count() == 0
    backend.close()
