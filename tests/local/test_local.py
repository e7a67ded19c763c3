"""The Local backend with its real resident process."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import time
from typing import ClassVar

import psutil
import pytest

from caf_core.clock import steady
from caf_core.errors import ConfigurationError
from caf_core.jobs.arguments import ArgumentsGenerator, range_arguments
from caf_core.jobs.batch.settings import Setting
from caf_core.jobs.inbox import Inbox
from caf_core.jobs.ledger import FailureKind, MemoryLedger, TaskState
from caf_core.jobs.local import ResidentBackend
from caf_core.jobs.model import Job
from caf_core.jobs.residence import Residence
from caf_core.jobs.service import JobRequest, JobService, Tick
from caf_core.jobs.splitters import ArgumentsSplitter
from caf_core.jobs.task import Call, TaskSpec
from caf_core.processes.client import ResidentClient
from caf_local import Local


@pytest.fixture
def local(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backend = Local(max_processes=2)
    yield backend
    if backend.session is not None:
        backend.session.close()


def test_hello(local):
    job = Job("hello", cmd=["echo", "hi"])
    assert job.status == "init" and not job.ready()
    local.submit(job)
    assert local.join(30)
    assert job.ready() and job.status == "completed"
    assert (job.attempt_dir / "stdout").read_text() == "hi\n"
    assert job.result.exit_code == 0 and job.result.peak_memory_mb > 0


def test_a_job_is_followed_without_blocking(local, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    job = Job("slow", cmd=["cat", str(tmp_path / "pipe")])
    local.submit([job])
    assert not local.join(0.0)
    assert job.update_status() in ("submitted", "running") and not job.ready()
    assert local.can_submit(10_000)
    with (tmp_path / "pipe").open("w"):
        pass
    assert local.join(30) and job.status == "completed"


def test_subjobs_have_their_arguments_files_and_outputs(local, tmp_path):
    for name in "abc":
        (tmp_path / name).write_text(name)
    job = Job(
        "cut", cmd=["sh", "-c", "cp input_files.json $0.json"], input_files=list("abc"), output_dir="out"
    )
    job.output_patterns = ["*.json"]
    job.max_files_per_subjob = 2
    job.splitter.arguments_generator = ArgumentsGenerator(range_arguments, 10)
    local.submit(job)
    assert local.join(30) and job.status == "completed"
    assert sorted(job.subjobs) == [0, 1] and job.subjobs[1].name == "cut_1"
    assert json.loads((tmp_path / "out/0/10.json").read_text()) == [str(tmp_path / "a"), str(tmp_path / "b")]
    assert json.loads((tmp_path / "out/1/11.json").read_text()) == [str(tmp_path / "c")]
    assert job.subjobs[1].attempt_dir == tmp_path / "cut" / "1" / "attempt-1"


def test_a_failed_subjob_fails_the_job_and_is_tried_again_alone(local, tmp_path):
    job = Job("three", cmd=["sh", "-c", 'echo x >> ../../$0; test -e ../../good -o "$0" != 1'])
    job.splitter = ArgumentsSplitter(arguments_generator=ArgumentsGenerator(range_arguments, 0, 3))
    local.submit(job)
    assert local.join(30) and job.ready()
    assert job.status == "failed" and job.subjobs[1].result.failure is FailureKind.EXIT_CODE
    assert [subjob.status.value for subjob in job.subjobs.values()] == ["completed", "failed", "completed"]
    (tmp_path / "three" / "good").touch()
    job.retry_failed()
    assert local.join(30) and job.status == "completed"
    assert job.subjobs[1].attempt_dir.name == "attempt-2"


def test_the_same_script_twice_keeps_the_first_attempt(local, tmp_path):
    for _ in range(2):
        job = Job("again", cmd=["pwd"])
        local.submit(job)
        assert local.join(30) and job.status == "completed"
    assert job.attempt_dir == tmp_path / "again" / "attempt-2"
    assert (tmp_path / "again" / "attempt-1" / "stdout").exists()


def test_cancel_ends_everything_that_a_task_started(local, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    job = Job("deep", cmd=["sh", "-c", f"setsid sleep 1000 & echo $! > {tmp_path}/pipe; wait"])
    local.submit(job)
    with (tmp_path / "pipe").open() as pipe:
        grandchild = int(pipe.read())
    assert psutil.pid_exists(grandchild)
    job.cancel()
    assert local.join(30)
    assert job.status == "failed" and job.result.failure is FailureKind.CANCELLED
    assert not psutil.pid_exists(grandchild)


@pytest.mark.parametrize("mistake", ["twice", "no command"])
def test_what_cannot_be_submitted_is_refused(local, mistake):
    job = Job("job", cmd=[] if mistake == "no command" else ["true"])
    if mistake == "twice":
        local.submit(job)
    with pytest.raises(
        ConfigurationError, match="was submitted already" if mistake == "twice" else "no command"
    ):
        local.submit(job)
    assert local.join(30)


def test_the_number_of_processes_is_positive_and_may_change(local):
    with pytest.raises(ConfigurationError, match="at least 1"):
        Local(max_processes=0)
    local.submit(Job("a", cmd=["true"]))
    local.max_processes = 3
    assert local.residence.slots == 3
    assert local.join(30)


def test_the_number_of_processes_may_stand_in_backend_args():
    backend = Local(backend_args={"max_processes": 3})
    backend.configure({"max_processes": 5})
    assert backend.max_processes == 3, "what an instance was made with wins over caf.toml"
    backend.configure({"max_processes": 5}, overrule=True)
    assert backend.max_processes == 5
    assert Local(2, backend_args={"max_processes": 3}).max_processes == 2
    with pytest.raises(ConfigurationError, match="max_processes is 0"):
        Local(backend_args={"max_processes": 0})


def test_arguments_that_it_does_not_know_are_refused(local, caplog):
    with pytest.raises(ConfigurationError, match=r"local has no backend argument 'queue'; .*max_processes"):
        Local(backend_args={"queue": "long"})
    with pytest.raises(ConfigurationError, match="did you mean 'max_processes'"):
        local.configure({"max_proceses": 2})
    with pytest.raises(ConfigurationError, match=r"all tasks together; .*Local\(max_processes=2\)"):
        local.submit(Job("two", cmd=["true"], backend_args={"max_processes": 2}))
    for _ in range(2):
        local.check_args({"queue": "long"})
    assert caplog.text.count("local has no backend argument 'queue'; it is not used") == 1


def test_a_relative_may_have_arguments_of_jobs():
    class Relative(Local):
        default_backend_args: ClassVar = {"colour": "red"}

        @classmethod
        def known_args(cls):
            return {**super().known_args(), "colour": Setting((str,), "the colour")}

    backend = Relative()
    backend.configure({"colour": "blue", "max_processes": 3})
    assert (backend.backend_args, backend.max_processes) == ({"colour": "blue"}, 3)
    backend.check_args({"colour": "green"})
    with pytest.raises(ConfigurationError, match="did you mean 'colour'"):
        backend.check_args({"color": "green"})


def test_at_most_so_many_tasks_at_once(local, tmp_path):
    """Each task counts those that execute with it; the folder of a task exists as long as it executes."""
    script = f"mkdir {tmp_path}/on.$0; ls -d {tmp_path}/on.* | wc -l; rmdir {tmp_path}/on.$0"
    job = Job("count", cmd=["sh", "-c", script])
    job.splitter = ArgumentsSplitter(arguments_generator=ArgumentsGenerator(range_arguments, 0, 40))
    local.submit(job)
    assert local.join(60) and job.status == "completed"
    seen = [int((subjob.attempt_dir / "stdout").read_text()) for subjob in job.subjobs.values()]
    assert max(seen) <= 2


def test_the_plain_script_of_the_documentation(tmp_path):
    script = """
from caf_local import Local
from caf_core.jobs.model import Job
backend = Local(max_processes=2)
job = Job("hello", cmd=["echo", "hi"])
backend.submit(job)
backend.join()
print(job.status.value)
"""
    before = time()
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("completed\n", "")
    mine = [
        process
        for process in psutil.process_iter(["cmdline", "create_time"])
        if process.info["create_time"] >= before
        and "caf-resident-" in " ".join(process.info["cmdline"] or [])
    ]
    parents = [process for process in mine if process.ppid() == 1]
    assert not parents, "its resident process was left behind"


# With a service, as control uses it


class House:
    def __init__(self, ledger, **backends):
        self.inbox = Inbox()
        self.service = JobService(ledger, self.inbox.put, flush_interval=0.01)
        self.updates = []
        for name, backend in backends.items():
            self.service.add_backend(name, backend)

    def wait(self, condition):
        until = steady() + 60
        while not condition():
            assert steady() < until, "nothing happens any more"
            deadline = self.service.next_deadline()
            wait = 1.0 if deadline is None else min(1.0, deadline - steady())
            self.updates += self.service.handle(self.inbox.get(wait) or Tick(), steady())

    def wait_for(self, key):
        self.wait(lambda: any(update.ended and update.key == key for update in self.updates))


def marking(tmp_path, size, rest="true"):
    (tmp_path / "marks").mkdir(exist_ok=True)
    return [
        TaskSpec(tmp_path / "out" / str(i), argv=("sh", "-c", f"printf x >> {tmp_path}/marks/{i}; {rest}"))
        for i in range(size)
    ]


def executions(tmp_path):
    return {file.name: len(file.read_text()) for file in (tmp_path / "marks").iterdir()}


def request(tmp_path, key="job", backend="local", **fields):
    return JobRequest(key=key, name=key, directory=tmp_path / key, backend=backend, **fields)


def test_a_python_call_finds_its_modules_imported(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import os, json\nIMPORTED_BY = os.getpid()\n"
        "def work(number):\n"
        "    json.dump([IMPORTED_BY, number], open('result.json', 'w'))\n"
    )
    backend = Local(max_processes=1, residence=Residence(tmp_path / "resident"))
    house = House(MemoryLedger(), local=backend)
    calls = [
        TaskSpec(
            tmp_path / "out" / str(i),
            call=Call("mine:work", {"number": i}, path=(str(tmp_path),)),
            output_patterns=("result.json",),
        )
        for i in range(3)
    ]
    house.service.submit(request(tmp_path), calls)
    house.wait_for("job")
    results = [json.loads((path / names[0]).read_text()) for _, path, names in house.service.outputs("job")]
    assert [number for _, number in results] == [0, 1, 2]
    assert len({importer for importer, _ in results}) == 1
    house.service.close()


def test_an_execution_does_not_wait_behind_a_long_queue(tmp_path):
    residence = Residence(tmp_path / "resident")
    inner, local = ResidentBackend(2, residence=residence), Local(max_processes=2, residence=residence)
    house = House(MemoryLedger(), inner=inner, local=local)
    house.service.submit(request(tmp_path, "long"), marking(tmp_path, 300))
    one = TaskSpec(tmp_path / "one", argv=("true",))
    house.service.submit(request(tmp_path, "short", "inner"), [one])
    house.wait(lambda: house.service.status("short").ended)
    assert not house.service.status("long").ended
    house.wait(lambda: house.service.status("long").ended)
    assert house.service.status("long").success
    house.service.close()


def test_a_new_controller_finds_the_resident_process_at_work(tmp_path):
    """The first controller goes away in the middle; the second one finds tasks done, queued and executing."""
    os.mkfifo(tmp_path / "pipe")
    ledger = MemoryLedger()
    house = House(ledger, local=Local(1, residence=Residence(tmp_path / "resident")))
    tasks = marking(tmp_path, 5)
    tasks[2] = marking(tmp_path, 3, f"cat {tmp_path}/pipe")[2]
    house.service.submit(request(tmp_path), tasks)
    house.wait(lambda: (tmp_path / "marks" / "2").exists())
    house.service.close()

    again = House(ledger, local=Local(1, residence=Residence(tmp_path / "resident")))
    assert again.service.resume(request(tmp_path))
    with (tmp_path / "pipe").open("w"):
        pass
    again.wait_for("job")
    assert again.service.status("job").success
    assert executions(tmp_path) == {str(i): 1 for i in range(5)}
    again.service.close()


def test_a_new_controller_finds_the_records_of_a_resident_process_that_is_gone(tmp_path):
    ledger = MemoryLedger()
    house = House(ledger, local=Local(1, residence=Residence(tmp_path / "resident", idle_timeout=0.0)))
    house.service.submit(request(tmp_path), marking(tmp_path, 5))
    house.service._lines["local"].worker.close()  # it was handed over, and nobody heard the answer
    house.service.close()
    records = next((tmp_path / "job" / "submissions").iterdir()) / "records"
    until = time() + 30
    while len(list(records.glob("[0-9]*.json"))) < 5:
        assert time() < until
        os.sched_yield()

    again = House(ledger, local=Local(1, residence=Residence(tmp_path / "resident")))
    assert again.service.resume(request(tmp_path))
    again.wait_for("job")
    assert again.service.status("job").success
    assert executions(tmp_path) == {str(i): 1 for i in range(5)}
    again.service.close()


def test_when_the_resident_process_is_killed_what_it_had_is_tried_again(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    residence = Residence(tmp_path / "resident")
    house = House(MemoryLedger(), local=Local(1, residence=residence))
    tasks = marking(tmp_path, 4)
    tasks[2] = marking(tmp_path, 3, f"test -e {tmp_path}/go || cat {tmp_path}/pipe")[2]
    house.service.submit(request(tmp_path), tasks)
    house.wait(lambda: (tmp_path / "marks" / "2").exists())
    (tmp_path / "go").touch()
    os.kill(residence.start().pid, signal.SIGKILL)
    house.wait_for("job")
    assert house.service.status("job").success
    assert executions(tmp_path) == {"0": 1, "1": 1, "2": 2, "3": 1}
    failed = [c for update in house.updates for c in update.changes if c.state is TaskState.FAILED]
    assert {change.failure for change in failed} == {FailureKind.NODE_LOST}
    # Either the client tells it, or the warden that outlived the resident for a moment wrote it down.
    told = ("the resident process on this machine died", "the process that watched over it died")
    assert any(words in failed[0].reason for words in told)
    house.service.close()


def test_a_task_that_somebody_kills_is_tried_again_as_often_as_the_policy_says(tmp_path):
    house = House(MemoryLedger(), local=Local(1, residence=Residence(tmp_path / "resident")))
    tasks = marking(tmp_path, 2)
    tasks[1] = marking(tmp_path, 2, "kill -KILL $$")[1]
    house.service.submit(request(tmp_path), tasks)
    house.wait_for("job")
    assert executions(tmp_path) == {"0": 1, "1": 3}
    task = house.service.task("job", 1)
    assert task.failure is FailureKind.NODE_LOST
    assert task.reason == "killed by signal 9 (SIGKILL), and nobody says why"
    house.service.close()


def test_a_resident_process_that_dies_before_it_is_listened_to_is_replaced(tmp_path, monkeypatch):
    listen, killed = ResidentClient.listen, []

    def too_late(client, *callbacks):
        if not killed:
            killed.append(client.pid)
            os.kill(client.pid, signal.SIGKILL)
            os.waitpid(client.pid, 0)
        listen(client, *callbacks)

    monkeypatch.setattr(ResidentClient, "listen", too_late)
    residence = Residence(tmp_path / "resident")
    client = residence.start()
    assert client.pid != killed[0]
    client.shutdown(kill=True)


def test_a_resident_process_of_another_host_is_not_taken_for_gone(tmp_path):
    folder = tmp_path / "resident"
    folder.mkdir()
    house = House(MemoryLedger(), local=Local(1, residence=Residence(folder)))
    house.service.submit(request(tmp_path), marking(tmp_path, 1))
    house.wait_for("job")
    entry = json.loads((folder / "resident.json").read_text())
    house.service.close()
    (folder / "resident.json").write_text(
        json.dumps({**entry, "host": "elsewhere", "boot": "x", "boot_id": "x"})
    )
    other = House(MemoryLedger(), local=Local(1, residence=Residence(folder)))
    other.service.submit(request(tmp_path, "second"), marking(tmp_path, 1))
    other.wait_for("second")
    assert "elsewhere" in other.service.task("second", 0).reason
    other.service.close()


def test_it_is_registered_by_its_hook():
    import caf_local

    found = {}
    caf_local.caf_register_backends(register=found.__setitem__)
    module, _, name = found["local"].partition(":")
    assert getattr(sys.modules[module], name) is Local
    assert Path(caf_local.__file__).name == "__init__.py"
