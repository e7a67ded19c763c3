"""The fake schedulers do what the tests that use them rely on."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from caf_core.processes.command import execute
from caf_core.testing.bench import wait_until
from fakes.cluster import TESTS, Cluster

LIMIT = 120.0
"""How long anything may take on a busy machine [s]."""


@pytest.fixture
def cluster(tmp_path):
    with Cluster("fakes.tiny:Tiny", tmp_path / "cluster", slots=4, kill_wait=0.3) as cluster:
        yield cluster


@pytest.fixture
def submit(cluster, tmp_path):
    def submit(script, *options):
        file = tmp_path / "job.sh"
        file.write_text(script)
        return cluster.run("tsub", *options, str(file)).strip()

    return submit


def ended(cluster, count=1):
    wait_until(lambda: len(cluster.jobs(state="ended")) == count, LIMIT, "the jobs ended")
    return cluster.jobs()


def running(cluster, count=1):
    wait_until(lambda: len(cluster.jobs(state="running")) == count, LIMIT, "the jobs started")
    return cluster.jobs(state="running")


def test_jobs_are_executed_and_their_ends_are_known(cluster, submit, tmp_path):
    submit(f"echo $TINY_JOB > {tmp_path}/out; exit 3", "-N", "one")
    submit("kill -9 $$")
    first, second = ended(cluster, 2)
    assert (tmp_path / "out").read_text() == "1\n"
    assert (first.name, first.ending, first.exit_code, first.signal) == ("one", "exit", 3, None)
    assert (second.exit_code, second.signal) == (None, 9)
    assert first.ended >= first.started >= first.submitted


def test_an_array_has_a_job_for_each_index_and_slots_limit_it(cluster, submit, tmp_path):
    (tmp_path / "out").mkdir()
    submit(f"touch {tmp_path}/out/$TINY_INDEX; until test -e {tmp_path}/go; do sleep 0.02; done", "-a", "6")
    running(cluster, 4)
    assert len(cluster.jobs(state="pending")) == 2
    (tmp_path / "go").touch()
    assert [job.index for job in ended(cluster, 6)] == [0, 1, 2, 3, 4, 5]
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_a_job_that_ignores_sigterm_is_killed(cluster, submit, tmp_path):
    submit(f"trap '' TERM; touch {tmp_path}/ignores; while :; do sleep 0.05; done")
    wait_until((tmp_path / "ignores").exists, LIMIT, "the job ignores it")
    (job,) = running(cluster)
    cluster.run("tdel", str(job.number))
    (job,) = ended(cluster)
    assert (job.ending, job.signal) == ("cancelled", 9)


def test_walltime_memory_and_nodes_end_jobs(cluster, submit):
    submit("sleep 600", "-w", "0.2")
    submit("sleep 600")
    submit("sleep 600")
    wait_until(lambda: all(job.pid or job.ending for job in cluster.jobs()), LIMIT, "all started")
    cluster.exhaust(cluster.jobs()[1])
    cluster.crash(cluster.jobs()[2])
    assert [job.ending for job in ended(cluster, 3)] == ["walltime", "memory", "node"]


def test_holds_and_requeues(cluster, submit, tmp_path):
    cluster.set(start_delay=600)
    submit(f"echo started >> {tmp_path}/log; sleep 600")
    cluster.run("thold", "1")
    cluster.set(start_delay=0)
    assert [job.state for job in cluster.jobs()] == ["held"]
    cluster.run("trls", "1")
    (job,) = running(cluster)
    wait_until((tmp_path / "log").exists, LIMIT, "the job wrote")
    cluster.requeue(job)
    wait_until(lambda: (tmp_path / "log").read_text().count("started") == 2, LIMIT, "it started again")
    wait_until(lambda: cluster.jobs()[0].runs == 2, LIMIT, "that was written down")


def test_suspended_jobs_go_on(cluster, submit, tmp_path):
    submit(f"until test -e {tmp_path}/go; do sleep 0.02; done")
    (job,) = running(cluster)
    cluster.stop(job)
    wait_until(lambda: cluster.jobs(state="suspended"), LIMIT, "it was suspended")
    (tmp_path / "go").touch()
    cluster.go_on(job)
    ended(cluster)


def test_finished_jobs_are_forgotten(cluster, submit):
    submit("true")
    ended(cluster)
    assert "|ended|" in cluster.run("tstat")
    cluster.set(keep=0)
    assert cluster.run("tstat") == ""
    assert len(cluster.store.jobs(history=True)) == 1
    cluster.set(history=False)
    assert cluster.store.jobs(history=True) == []


def test_faults_of_answers(cluster, submit):
    faults = cluster.faults
    faults.fail("tstat", rc=7, stderr="no\n", skip=1)
    faults.garbage("tstat")
    faults.invalid("tstat", times=2)
    submit("true")
    job = ended(cluster)[0]
    good = cluster.run("tstat")
    assert good.startswith("1|tiny|ended|exit|0|"), job

    def answer():
        return execute([f"{cluster.path_prefix}/tstat"], timeout=LIMIT)

    failed, garbage, invalid = answer(), answer(), answer()
    assert (failed.returncode, failed.stdout, failed.stderr) == (7, "", "no\n")
    assert garbage.ok and "1|tiny" not in garbage.stdout
    assert invalid.ok and "\ufffd" in invalid.stdout
    faults.clear()
    assert answer().stdout == good
    faults.list_twice()
    assert answer().stdout == good * 2
    faults.cut_polls()
    assert answer().stdout == good[: len(good) // 2]
    faults.list_nothing()
    assert answer().stdout == ""


def test_commands_at_the_same_time_do_not_disturb_each_other(cluster, tmp_path):
    job = tmp_path / "job.sh"
    job.write_text("true")
    argv = [f"{cluster.path_prefix}/tsub", "-a", "3", str(job)]
    processes = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    numbers = sorted(int(process.communicate(timeout=LIMIT)[0]) for process in processes)
    assert numbers == list(range(1, 9))
    assert all(job.exit_code == 0 and job.runs == 1 for job in ended(cluster, 24))


@pytest.fixture
def hanging(cluster):
    """Calls a command that hangs, waits until it was called, and gives it back."""
    called = []

    def call(*argv):
        before = len(cluster.calls())
        process = subprocess.Popen([f"{cluster.path_prefix}/{argv[0]}", *argv[1:]], stdout=subprocess.PIPE)
        called.append(process)
        wait_until(lambda: len(cluster.calls()) > before, LIMIT, "the command was called")
        return process

    yield call
    for process in called:
        process.kill()
        assert process.communicate()[0] == b""
        assert process.returncode == -9, "it did not hang"


def test_hanging_commands_hang_until_they_are_killed(cluster, hanging, tmp_path):
    job = tmp_path / "job.sh"
    job.write_text("true")
    cluster.faults.hang("tstat")
    hanging("tstat")
    cluster.faults.lose_answer()
    lost = hanging("tsub", str(job))
    ended(cluster)  # accepted, and executed though the command has not answered
    lost.kill()
    cluster.faults.down()
    hanging("tsub", str(job))
    cluster.faults.up()
    assert len(cluster.jobs()) == 1
    assert cluster.faults.submissions() == 2


def test_late_and_double_acceptance(cluster, hanging, tmp_path):
    job = tmp_path / "job.sh"
    job.write_text("true")
    cluster.faults.accept_late(2.0)
    late = hanging("tsub", str(job))
    wait_until(cluster.jobs, LIMIT, "the scheduler knows by itself")
    listed, now = cluster.run("tstat"), time.time()
    assert listed == "" or now >= cluster.jobs()[0].submitted + 2.0
    late.kill()
    (accepted,) = ended(cluster)
    assert accepted.started >= accepted.submitted + 2.0
    cluster.faults.accept_twice()
    assert cluster.run("tsub", str(job)) == "3\n"
    ended(cluster, 3)


@pytest.mark.parametrize("after", [0.3, None])
def test_late_records(cluster, submit, tmp_path, after):
    directory = tmp_path / "a folder"
    (directory / "records").mkdir(parents=True)
    task = directory / "task.sh"
    task.write_text('here=$(cd "$(dirname "$0")" && pwd); echo done > "$here/records/0.json"\n')
    cluster.faults.delay_records(after)
    submit(f"exec /bin/sh '{task}' 0")
    (job,) = ended(cluster)
    record = directory / "records" / "0.json"
    if after is None:
        assert not record.exists()
    else:
        wait_until(record.exists, LIMIT, "the record appeared")
        assert record.stat().st_mtime >= job.ended + after - 0.05
    submit(f"exec /bin/sh '{task}' 0")
    ended(cluster, 2)
    assert record.exists()


def test_the_pump_ends_with_its_work_and_holds_nothing_of_its_caller(cluster, submit, tmp_path):
    lock = tmp_path / "lock"
    with lock.open("w") as held:
        os.set_inheritable(held.fileno(), True)
        file = tmp_path / "job.sh"
        file.write_text("sleep 600")
        # communicate() returns only when nobody holds the pipes open any more
        argv = [f"{cluster.path_prefix}/tsub", str(file)]
        subprocess.run(argv, capture_output=True, timeout=LIMIT, check=True, pass_fds=[held.fileno()])
        others = [one for one in Path("/proc").glob("[0-9]*") if int(one.name) != os.getpid()]
        assert str(lock) not in {target for one in others for target in _targets(one / "fd")}
    (job,) = running(cluster)
    cluster.cancel(job)
    ended(cluster)
    assert cluster._idle(LIMIT)


def _targets(descriptors):
    """What a process has open, unless it ends meanwhile."""
    with suppress(OSError):
        for link in descriptors.iterdir():
            with suppress(OSError):
                yield str(link.readlink())


def test_commands_import_nothing_slow():
    """A real command answers in milliseconds; Python alone needs twenty."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import fakes.tiny, fakes.pump; print(*sys.modules)"
    )
    argv = [sys.executable, "-S", "-E", "-c", program, str(TESTS)]
    loaded = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    assert not {"argparse", "dataclasses", "inspect", "pathlib", "subprocess", "typing"} & set(loaded)
