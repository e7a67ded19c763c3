"""The backend on a real Slurm that forgets finished jobs soon: the suite, and what only Slurm does."""

import os
import re
import signal
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from shlex import quote
from typing import ClassVar

import pytest
from attrs import evolve

from caf_core.errors import BackendError, PollError, SubmissionError
from caf_core.jobs.backend import SchedulerState
from caf_core.jobs.ledger import FailureKind, TaskState
from caf_core.jobs.task import Resources
from caf_core.testing.batch import BatchConformance
from caf_core.testing.bench import JobBench, records, shell, submission, wait_until
from caf_core.testing.faulty import until
from caf_slurm import Slurm
from clusters.conftest import PORTS, cluster_or_skip, in_environment

# Its jobs are counted, and its controller is stopped: the instance is ours, and tests follow one another.
pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm-plugin")]

MIN_JOB_AGE = 10
QUICK = {"poll_interval": 0.5, "grace": 5, "memory": 50, "command_timeout": 30}
ENDED, QUEUED, HELD = SchedulerState.ENDED, SchedulerState.QUEUED, SchedulerState.HELD


@pytest.fixture(scope="module")
def forgetful():
    """A Slurm that forgets finished jobs after some seconds."""
    variable, default = PORTS["slurm"]
    port = int(os.environ.get(variable, default)) + 20
    settings = {variable: str(port), "CAF_SLURM_MIN_JOB_AGE": str(MIN_JOB_AGE)}
    cluster = cluster_or_skip("slurm", "forgetful", **settings)
    for found in in_environment(cluster):
        # A controller that was killed in an earlier time may have taken its node out of service.
        resume = ("scontrol", "update", f"NodeName={os.uname().nodename.partition('.')[0]}", "State=RESUME")
        subprocess.run(resume, capture_output=True, timeout=30, check=False)
        yield found, settings


@pytest.fixture(autouse=True)
def _empty(forgetful):
    """Every test here finds it without jobs."""
    call("scancel", "-u", str(os.getuid()))
    wait_until(lambda: not call("squeue", "-h", "-o", "%i"), 60, "the queue was empty")


@pytest.fixture
def backend():
    return Slurm(backend_args=QUICK)


@pytest.fixture
def bench(backend, tmp_path):
    bench = JobBench(backend, tmp_path / "jobs", 120.0)
    yield bench
    bench.service.close()


def call(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def started(backend, place, *scripts, **backend_args):
    """A submission of shell tasks with these further arguments, and its ids."""
    tasks = [shell(place / "out" / str(i), script) for i, script in enumerate(scripts)]
    one = submission(place / "job", tasks, backend)
    one = evolve(one, backend_args={**one.backend_args, **backend_args})
    return one, list(backend.start(one))


def until_told(backend, identity, condition, timeout=60.0):
    """Poll until the report of a task is as wanted."""
    told = []

    def is_so():
        told.append(backend.poll([identity]).get(identity))
        return condition(told[-1])

    try:
        wait_until(is_so, timeout, "Slurm told what was expected")
    except TimeoutError:
        pytest.fail(f"{told[-1]}")
    return told[-1]


def has_ended(report):
    return report is not None and report.state is ENDED


def is_alive(process):
    """Whether a process is there and no zombie, which nobody may reap in a container."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class TestConformance(BatchConformance):
    bad_backend_args: ClassVar = {"partition": "nosuch"}
    refusal: ClassVar = "(?i)invalid partition.*sinfo"

    @pytest.fixture
    def make_backend(self):
        return lambda **more: Slurm(backend_args={**QUICK, **more})

    def asked_for(self, backend, identity):
        job = call("scontrol", "show", "job", "-o", identity)
        found = {key: re.search(rf"\b{key}=(\S+)", job)[1] for key in ("CPUs/Task", "TimeLimit")}
        memory = re.search(r"mem=(\d+)M", job)[1]
        hours, minutes, _ = found["TimeLimit"].split(":")
        return Resources(
            int(found["CPUs/Task"]),
            int(memory),
            timedelta(hours=int(hours), minutes=int(minutes)),
            None,  # the node does not say how large its disk is, so none is asked for
        )


# What ends a task


def test_memory_and_time(bench, tmp_path):
    """Slurm kills what takes more than it asked for; both at once, for the time is a minute at least."""
    hog = "python3 -c 'import time; taken = bytearray(b\"x\" * (400 << 20)); time.sleep(30)'"
    bench.submit("memory", [shell(tmp_path / "memory", hog)], {"memory": 100})
    # The node would end it by its own clock if the limit were the task's.
    bench.submit("time", [shell(tmp_path / "time", "sleep 200")], {"time": 1})
    bench.wait("memory", "time")
    (memory,), (limit,) = bench.tasks("memory"), bench.tasks("time")
    assert (memory.state, memory.failure) == (TaskState.FAILED, FailureKind.OUT_OF_MEMORY), memory.reason
    assert (limit.state, limit.failure) == (TaskState.FAILED, FailureKind.WALLTIME), limit.reason
    assert "TIMEOUT" in limit.reason


def test_how_tasks_fail_that_leave_no_record(backend, tmp_path):
    """Their scripts are replaced, so that nothing is recorded."""
    scripts = {"code": "exit 7", "signal": "kill -11 $$", "well": "exit 0"}
    known = {}
    for name, script in scripts.items():
        _, (known[name],) = started(backend, tmp_path / name, "true", extra_lines=[script])
    code = until_told(backend, known["code"], has_ended)
    assert (code.exit_code, code.signal, code.failure) == (7, None, "exit_code")
    crash = until_told(backend, known["signal"], has_ended)
    assert (crash.exit_code, crash.signal) == (None, 11)
    assert "signal 11" in crash.reason
    well = until_told(backend, known["well"], has_ended)
    assert (well.exit_code, well.failure) == (0, None)


def test_a_log_that_cannot_be_written_is_explained(backend, tmp_path):
    more = {"extra_args": ["--output=/nowhere/at/all"]}
    _, (identity,) = started(backend, tmp_path, "true", **more)
    told = until_told(backend, identity, has_ended)
    assert told.failure == "submission"
    assert "cannot be written" in told.reason


def test_preempted_tasks(backend, tmp_path):
    """One makes way for good, the other one is queued again and executes later."""
    go, log = tmp_path / "go", tmp_path / "log"
    script = f"echo x >> {quote(str(log))}; {until(go)}"
    lost, (first,) = started(backend, tmp_path / "a", script, cpus=32, partition="scavenge")
    again, (second,) = started(backend, tmp_path / "b", script, cpus=32, partition="requeue")
    wait_until(lambda: log.exists() and len(log.read_text()) == 4, 30, "both execute")
    urgent, _ = started(backend, tmp_path / "c", "true", cpus=64, partition="urgent")
    assert until_told(backend, first, has_ended).failure == "node_lost"
    wait_until(lambda: records(urgent), 30, "the urgent one ended")
    assert not has_ended(backend.poll([second]).get(second))
    go.touch()
    wait_until(lambda: records(again).get(0, {}).get("exit_code") == 0, 90, "the other one went on")
    assert records(again)[0]["scheduler_id"] == second
    assert records(lost).get(0, {}).get("exit_code") != 0


def test_a_requeued_task_is_waited_for(bench, tmp_path):
    """By hand, in the middle: it executes again under the same id, in the same attempt."""
    go, log = tmp_path / "go", tmp_path / "log"
    bench.submit("job", [shell(tmp_path / "out", f"echo x >> {quote(str(log))}; {until(go)}")])
    bench.pump(log.exists, "it executes")
    identity = bench.identity("job")
    call("scontrol", "requeue", identity)

    def is_over():
        return len(log.read_text()) == 4 or bench.service.status("job").ended

    bench.pump(is_over, "it executes again")
    assert len(log.read_text()) == 4, bench.tasks("job")[0]
    go.touch()
    (status,) = bench.wait("job")
    (task,) = bench.tasks("job")
    assert status.success, task.reason
    assert (task.attempt, task.scheduler_id) == (1, identity)


def test_a_task_that_waits_is_cancelled_by_somebody_else(backend, tmp_path):
    """Slurm keeps no record of a task of an array that never started."""
    more = {"array_throttle": 1}
    go = tmp_path / "go"
    one, ids = started(backend, tmp_path, *[until(go)] * 4, **more)
    assert backend.poll(ids)[ids[3]].state is QUEUED
    call("scancel", ids[3])
    told = until_told(backend, ids[3], has_ended)
    assert told.failure == "cancelled"
    assert has_ended(backend.poll(ids)[ids[3]])
    go.touch()
    wait_until(lambda: len(records(one)) == 3, 60, "the others ended")


def test_a_held_task_is_held(backend, tmp_path):
    more = {"extra_args": ["--hold"]}
    _, (identity,) = started(backend, tmp_path, "true", **more)
    told = backend.poll([identity])[identity]
    assert (told.state, told.failure) == (HELD, None)
    backend.cancel([identity])


# Waiting for ever


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        ({"cpus": 1000}, "PartitionConfig"),
        ({"partition": "short", "time": 60}, "PartitionTimeLimit|PartitionConfig"),
    ],
)
def test_what_can_never_start_fails_with_the_reason(bench, tmp_path, request_, word):
    bench.submit("never", [shell(tmp_path / "out", "true")], request_)
    bench.wait("never")
    (task,) = bench.tasks("never")
    assert (task.state, task.failure) == (TaskState.FAILED, FailureKind.SUBMISSION)
    assert re.search(word, task.reason)
    ask = ("squeue", "-h", "-t", "all", "-j", task.scheduler_id, "-o", "%T")
    wait_until(lambda: call(*ask).strip() != "PENDING", 10, "it was taken out of the queue")


def test_a_partition_that_is_down_is_explained(backend, tmp_path):
    more = {"partition": "off"}
    _, ids = started(backend, tmp_path, *["true"] * 300, **more)
    odd = ids[1::2]
    backend.cancel(odd)
    told = backend.poll(ids)
    waiting = [identity for identity in ids if told[identity].state is QUEUED]
    assert waiting == ids[0::2], "long expressions are read to their end"
    assert all("partition is down" in told[identity].reason for identity in waiting)
    assert all(told[identity].failure == "cancelled" for identity in odd)
    assert backend.count() >= 150
    backend.cancel(ids)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"partition": "nosuch"}, "sinfo -s"),
        ({"memory": "90T"}, "sinfo"),
        ({"constraint": "nosuch"}, "constraint"),
        ({"reservation": "nosuch"}, "scontrol show reservation"),
        ({"licenses": "nosuch:1"}, "scontrol show licenses"),
        ({"extra_args": ["--nosuch"]}, "extra_args"),
    ],
)
def test_refusals_name_the_remedy(backend, tmp_path, request_, words):
    with pytest.raises(SubmissionError, match=re.escape(words)) as refusal:
        started(backend, tmp_path, "true", **request_)
    assert not refusal.value.transient


# What Slurm forgets, and when it is away


def test_forgotten_endings_are_remembered_elsewhere(backend, tmp_path):
    """After MinJobAge only the completion record tells, about arrays and single jobs."""
    lines = ['test "${SLURM_ARRAY_TASK_ID:-7}" = 1 || exit "${SLURM_ARRAY_TASK_ID:-7}"', "kill -9 $$"]
    more = {"extra_lines": lines}
    array, ids = started(backend, tmp_path / "array", *["true"] * 4, **more)
    single, (alone,) = started(backend, tmp_path / "single", "true", **more)
    asked = [*ids, alone]

    def is_forgotten():
        return not call("squeue", "-h", "-t", "all", "-n", f"{array.token},{single.token}", "-o", "%i")

    wait_until(is_forgotten, 90, "Slurm forgot the jobs")
    told = backend.poll([*asked, "999999_3", "999998"])
    assert set(told) == set(asked)
    assert [told[identity].exit_code for identity in asked] == [0, None, 2, 3, 7]
    assert told[ids[1]].signal == 9
    another = Slurm(backend_args=QUICK)
    assert another.find(array.token) == dict(enumerate(ids))
    assert another.find(single.token) == {0: alone}
    assert set(another.poll(asked)) == set(asked)
    another.cancel(asked)


def test_the_controller_is_away(forgetful, backend, tmp_path):
    """Nothing is known then, and nothing that was submitted is lost."""
    cluster, settings = forgetful
    hasty = Slurm(backend_args={**QUICK, "command_timeout": 2})
    go = tmp_path / "go"
    one, ids = started(hasty, tmp_path / "one", *[until(go)] * 2)
    wait_until(lambda: len(list((one.directory / "claims").iterdir())) == 2, 30, "they execute")
    controller = int((cluster.place / "run" / "slurmctld.pid").read_text())
    os.kill(controller, signal.SIGTERM)
    wait_until(lambda: not is_alive(controller), 30, "the controller ended")
    try:
        with pytest.raises(PollError):
            hasty.poll(ids)
        with pytest.raises(BackendError):
            hasty.find(one.token)
        with pytest.raises(BackendError):
            hasty.cancel(ids)
        with pytest.raises(BackendError):
            hasty.count()
        with pytest.raises(SubmissionError) as doubt:
            started(hasty, tmp_path / "two", "true")
        assert doubt.value.transient
        assert Slurm(backend_args={**QUICK, "command_timeout": 2}).capabilities().array_limit == 1000
        go.touch()
        wait_until(lambda: len(records(one)) == 2, 30, "tasks end without it")
    finally:
        script = Path(__file__).with_name("slurm-up")
        subprocess.run(
            [script, cluster.instance],
            check=True,
            capture_output=True,
            timeout=120,
            env={**os.environ, **settings},
        )
    for identity in ids:
        assert until_told(backend, identity, has_ended).failure is None
    assert backend.capabilities().array_limit == 99999


# What it costs


def test_what_is_asked_of_slurm(backend, tmp_path, request):
    """A thousand tasks: one command each to submit, poll and cancel."""
    commands = []
    execute = backend._execute
    backend._execute = lambda command, lock: commands.append(command) or execute(command, lock)
    more = {"partition": "off"}
    begin = time.perf_counter()
    _, ids = started(backend, tmp_path, *["true"] * 1000, **more)
    submitted = time.perf_counter() - begin
    assert [command.argv[0] for command in commands] == ["sbatch"]
    backend.poll(ids)
    backend.poll(ids)
    backend.cancel(ids)
    survey = ["scontrol", "sinfo", "grep"]
    assert [command.argv[0] for command in commands] == ["sbatch", *survey, "squeue", "squeue", "scancel"]
    request.node.user_properties.append(("milliseconds to submit", round(1000 * submitted)))
