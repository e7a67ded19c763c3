"""Whole jobs through the service, on a backend that starts real processes by ``Submission.argv``."""

import subprocess
from collections import Counter
from datetime import timedelta
from time import time

import pytest

from caf_core.clock import steady
from caf_core.errors import BackendError, ConfigurationError, PollError, SubmissionError
from caf_core.jobs import service as jobs_service
from caf_core.jobs.backend import Backend, Capabilities, Report, SchedulerState
from caf_core.jobs.inbox import Inbox
from caf_core.jobs.ledger import FailureKind, IntentState, MemoryLedger, TaskState
from caf_core.jobs.retry import Remedy, RetryPolicy, Rule
from caf_core.jobs.service import JobRequest, JobService, Tick
from caf_core.jobs.task import Resources, TaskSpec


class Shell(Backend):
    """What a site writes: every task is a process of its own, queried by polling."""

    def __init__(self, **capabilities):
        super().__init__()
        self.processes = {}
        self.names = {}
        self.folders = {}
        self.commands = Counter()
        self.sizes = []
        self.most_at_once = 0
        self.arguments = []
        self.others = 0  # tasks of the same user that caf knows nothing of
        self.adopted = {}
        self.script = {}  # command -> what goes wrong at its next calls, one after the other
        defaults = {
            "poll_interval": timedelta(seconds=0.05),
            "grace": timedelta(seconds=0.1),
            "find_again_after": timedelta(seconds=0.1),
        }
        self._capabilities = Capabilities(**defaults | capabilities)

    def _misbehave(self, command):
        self.commands[command] += 1
        planned = self.script.get(command, [])
        fault = planned.pop(0) if planned else None
        if isinstance(fault, Exception):
            raise fault
        return fault

    def capabilities(self):
        return self._capabilities

    def start(self, submission):
        fault = self._misbehave("start")
        self.sizes.append(submission.size)
        self.arguments.append((submission.resources, dict(submission.backend_args)))
        if fault == "silent, not accepted":
            raise SubmissionError("time limit", transient=True)
        ids = [f"{submission.token}-{position}" for position in range(submission.size)]
        for position, identity in enumerate(ids):
            if fault != "vanish":
                self.processes[identity] = subprocess.Popen(
                    submission.argv(position), env={"PATH": "/usr/bin:/bin"}
                )
        self.names[submission.token] = ids
        self.folders[submission.token] = submission.directory
        recorded = sum(map(self._recorded, self.names))
        self.most_at_once = max(self.most_at_once, len(self.processes) - recorded)
        if fault == "silent, accepted":
            raise SubmissionError("time limit", transient=True)
        return ids

    def _recorded(self, token):
        folder = self.folders[token]
        records = len(list(folder.glob("records/[0-9]*.json")))
        return records if (folder / "claims").exists() else len(self.names[token])  # it is over

    def poll(self, ids):
        self._misbehave("poll")
        reports = {}
        for identity in ids:
            process = self.processes.get(identity)
            if process is not None and process.poll() is None:
                reports[identity] = Report(SchedulerState.RUNNING, host="here")
            elif process is not None:
                reports[identity] = Report(SchedulerState.ENDED, exit_code=process.returncode)
        return reports

    def count(self):
        self._misbehave("count")
        alive = sum(process.poll() is None for process in self.processes.values())
        return alive + self.others

    def adopt(self, token, directory):
        self.adopted[token] = directory

    def cancel(self, ids):
        self._misbehave("cancel")
        for identity in ids:
            self.processes[identity].terminate()

    def find(self, token):
        self._misbehave("find")
        return dict(enumerate(self.names.get(token, [])))

    def close(self):
        for process in self.processes.values():
            process.wait(120)


class House:
    """A service with its inbox; ``wait`` is the owner's loop."""

    def __init__(self, backend, ledger=None, crash=lambda _: None):
        self.inbox = Inbox()
        self.ledger = ledger or MemoryLedger()
        self.service = JobService(
            self.ledger, self.inbox.put, scan_interval=0.02, flush_interval=0.01, crash=crash
        )
        self.service.add_backend("shell", backend)
        self.updates = []

    def step(self):
        deadline = self.service.next_deadline()
        event = self.inbox.get(None if deadline is None else deadline - steady()) or Tick()
        news = self.service.handle(event, steady())
        self.updates += news
        return news

    def wait(self, condition=lambda news: any(update.ended for update in news)):
        until = time() + 120
        while not condition(self.step()):
            assert time() < until, "nothing happens any more"


@pytest.fixture
def backend():
    shell = Shell()
    yield shell
    shell.close()


@pytest.fixture
def request_of(tmp_path):
    def make(key="job", **fields):
        return JobRequest(key=key, name=key, directory=tmp_path / key, backend="shell", **fields)

    return make


def specs(tmp_path, commands, **fields):
    return [
        TaskSpec(tmp_path / "out" / str(number), argv=("sh", "-c", command), **fields)
        for number, command in enumerate(commands)
    ]


def executions(tmp_path):
    """How often each command was really executed: each appends a letter to its file."""
    return {file.name: len(file.read_text()) for file in (tmp_path / "marks").iterdir()}


def marking(tmp_path, size, rest=""):
    (tmp_path / "marks").mkdir(exist_ok=True)
    return specs(tmp_path, [f"printf x >> {tmp_path}/marks/{i}; {rest}" for i in range(size)])


def test_from_submission_to_outputs(tmp_path, backend, request_of):
    house = House(backend)
    tasks = specs(tmp_path, ["echo a > x.txt", "exit 3", "echo c > x.txt"], output_patterns=("*.txt",))
    house.service.submit(request_of(min_fraction=0.6, backend_args={"queue": "s"}), iter(tasks))
    house.wait()
    status = house.service.status("job")
    assert status.ended and status.success
    assert status.counts[TaskState.COMPLETED] == 2 and status.failures == {FailureKind.EXIT_CODE: 1}
    assert list(house.service.outputs("job")) == [
        (0, tmp_path / "out/0/attempt-1", ["x.txt"]),
        (2, tmp_path / "out/2/attempt-1", ["x.txt"]),
    ]
    assert house.service.task("job", 1).exit_code == 3
    assert backend.commands["start"] == 1
    assert backend.arguments == [(Resources(), {"queue": "s"})]
    assert set(house.ledger.load("job").tasks.values()) == set(house.service.tasks("job"))
    assert [state for _, state, _ in house.ledger.load("job").intents.values()] == [IntentState.ENDED]
    house.service.forget("job")
    with pytest.raises(ConfigurationError, match="no job 'job' here"):
        house.service.status("job")
    house.service.close()


def test_an_empty_job_ends(tmp_path, backend, request_of):
    house = House(backend)
    house.service.submit(request_of(), [])
    house.wait()
    assert house.service.status("job").success
    house.service.close()


def test_array_and_job_limits(tmp_path, request_of):
    backend = Shell(array_limit=3, job_limit=5, check_interval=timedelta(seconds=0.05))
    house = House(backend)
    house.service.submit(request_of(), specs(tmp_path, ["true"] * 14))
    house.wait()
    assert house.service.status("job").counts[TaskState.COMPLETED] == 14
    assert max(backend.sizes) == 3 and backend.most_at_once <= 5
    house.service.close()


def test_other_jobs_of_the_user_count_and_are_counted_again(request_of, tmp_path):
    second = timedelta(seconds=0.05)
    backend = Shell(job_limit=5, check_interval=second)
    backend.others = 3
    house = House(backend)
    house.service.submit(request_of(), specs(tmp_path, ["exit 0"] * 6))
    house.wait()
    assert house.service.status("job").success
    assert backend.commands["count"] > 1
    assert backend.most_at_once <= 2
    backend.close()


def test_a_count_that_fails_stops_nothing(request_of, tmp_path):
    backend = Shell(job_limit=5)
    backend.script = {"count": [PollError("no answer")]}
    house = House(backend)
    house.service.submit(request_of(), specs(tmp_path, ["exit 0"]))
    house.wait()
    assert house.service.status("job").success
    backend.close()


def test_submissions_keep_their_distance(request_of, tmp_path):
    apart = timedelta(seconds=0.2)
    backend = Shell(array_limit=1, submission_interval=apart)
    house = House(backend)
    began = time()
    house.service.submit(request_of(), specs(tmp_path, ["exit 0"] * 3))
    house.wait()
    assert backend.sizes == [1, 1, 1]
    assert time() - began >= 2 * apart.total_seconds()
    backend.close()


def test_a_refused_submission(tmp_path, backend, request_of):
    backend.script["start"] = [SubmissionError("no such queue: x", command=["bsub"], returncode=255)]
    house = House(backend)
    house.service.submit(request_of(), marking(tmp_path, 2))
    house.wait()
    assert house.service.status("job").failures == {FailureKind.SUBMISSION: 2}
    assert house.service.task("job", 0).reason == "no such queue: x"
    # The user mends it, and submits what failed once more.
    house.service.retry_failed("job")
    house.wait()
    assert house.service.status("job").success
    assert executions(tmp_path) == {"0": 1, "1": 1}
    house.service.close()


SOON = RetryPolicy().with_rule(FailureKind.SUBMISSION, Rule(Remedy.AGAIN, 3))


@pytest.mark.parametrize("fault", ["silent, accepted", "silent, not accepted"])
def test_silence_is_neither_yes_nor_no(tmp_path, backend, request_of, fault):
    backend.script["start"] = [fault]
    backend.script["find"] = [BackendError("no answer")] if fault == "silent, accepted" else []
    house = House(backend)
    house.service.submit(request_of(retry=SOON), marking(tmp_path, 2))
    house.wait()
    assert house.service.status("job").success
    assert executions(tmp_path) == {"0": 1, "1": 1}
    assert len(house.ledger.load("job").intents) == 1
    house.service.close()


def test_a_fault_of_the_plugin_is_not_tried_again(tmp_path, backend, request_of, caplog):
    backend.script["start"] = [ZeroDivisionError("oops")]
    house = House(backend)
    house.service.submit(request_of(), marking(tmp_path, 1))
    house.wait()
    assert "Shell.start raised ZeroDivisionError('oops')" in house.service.task("job", 0).reason
    assert backend.commands["start"] == 1
    house.service.close()


def test_a_scheduler_that_cannot_be_polled_fails_nobody(tmp_path, backend, request_of):
    backend.script["poll"] = [PollError("down")] * 5
    house = House(backend)
    house.service.submit(
        request_of(), marking(tmp_path, 2, "until test $(ls ../../../ | grep -c go) = 1; do :; done")
    )
    house.wait(lambda _: backend.commands["poll"] > 6)
    assert not house.service.status("job").failures
    (tmp_path / "go").touch()
    house.wait()
    assert house.service.status("job").success
    house.service.close()


def test_what_vanishes_without_a_record_is_tried_again_with_a_new_attempt(tmp_path, backend, request_of):
    backend.script["start"] = ["vanish"]
    house = House(backend)
    house.service.submit(request_of(), marking(tmp_path, 1))
    house.wait()
    assert [
        (c.attempt, c.failure) for u in house.updates for c in u.changes if c.state is TaskState.FAILED
    ] == [(1, FailureKind.NODE_LOST)]
    assert [path.name for _, path, _ in house.service.outputs("job")] == ["attempt-2"]
    assert house.service.attempt_directory("job", 0).name == "attempt-2"
    house.service.close()


def test_cancel_ends_what_executes_and_what_waits(tmp_path, request_of):
    backend = Shell(array_limit=1, job_limit=1)
    house = House(backend)
    house.service.submit(request_of(), marking(tmp_path, 3, "while :; do sleep 0.05; done"))
    house.wait(lambda _: (tmp_path / "marks" / "0").exists())
    house.service.cancel("job")
    house.wait()
    assert house.service.status("job").failures == {FailureKind.CANCELLED: 3}
    assert len(executions(tmp_path)) == 1
    house.service.close()


def test_some_tasks_are_ended_and_submitted_again(tmp_path, backend, request_of):
    house = House(backend)
    forever = f"[ $(wc -c < {tmp_path}/marks/$CAF_TASK) -gt 1 ] || while :; do sleep 0.05; done"
    house.service.submit(request_of(retry=RetryPolicy.never()), marking(tmp_path, 3, forever))
    house.wait(lambda _: executions(tmp_path) == {"0": 1, "1": 1, "2": 1})
    house.service.cancel_tasks("job", [0, 2])
    house.wait(lambda _: house.service.status("job").counts[TaskState.FAILED] == 2)
    assert house.service.task("job", 1).state is not TaskState.FAILED
    house.service.retry_failed("job")
    house.wait(lambda _: house.service.status("job").counts[TaskState.COMPLETED] == 2)
    house.service.cancel_tasks("job", [0, 1, 2])  # what has ended is left alone
    house.wait()
    assert house.service.status("job").counts[TaskState.COMPLETED] == 2
    assert executions(tmp_path) == {"0": 2, "1": 1, "2": 2}
    assert backend.sizes == [3, 2]
    house.service.close()


def test_a_scheduler_that_could_not_be_told_is_told_of_the_same_tasks(
    tmp_path, backend, request_of, monkeypatch
):
    monkeypatch.setattr(jobs_service, "RETELL", 0.1)
    house, told = House(backend), []
    backend.script["cancel"] = [BackendError("no answer"), BackendError("no answer")]
    monkeypatch.setattr(backend, "cancel", lambda ids: (told.append(len(ids)), Shell.cancel(backend, ids)))
    forever = marking(tmp_path, 3, "while :; do sleep 0.05; done")
    house.service.submit(request_of(retry=RetryPolicy.never()), forever)
    house.wait(lambda _: len(executions(tmp_path)) == 3)
    house.service.cancel_tasks("job", [1])
    house.wait(lambda _: house.service.task("job", 1).state is TaskState.FAILED)
    assert told == [1, 1, 1]
    backend.script["cancel"] = [BackendError("no answer")]
    house.service.cancel("job")
    house.wait()
    assert told[3:] == [2, 2]
    assert house.service.status("job").counts[TaskState.FAILED] == 3
    house.service.close()


def test_a_task_is_split_to_isolate_a_bad_file(tmp_path, backend, request_of):
    retry = RetryPolicy().with_rule(FailureKind.EXIT_CODE, Rule(Remedy.SPLIT))
    command = "cp input_files.json got.txt; ! grep -q bad input_files.json"
    task = specs(tmp_path, [command], input_files=("a", "b", "bad", "d"), output_patterns=("got.txt",))
    house = House(backend)
    house.service.submit(request_of(retry=retry, min_fraction=0.75), task)
    house.wait()
    outputs = [(path / names[0]).read_text() for _, path, names in house.service.outputs("job")]
    assert ["".join(c for c in text if c in "abd") for text in outputs] == ["ab", "d"]
    assert house.service.status("job").success
    house.service.close()
    # The same after a restart.
    again = House(Shell(), house.ledger)
    assert again.service.resume(request_of(retry=retry, min_fraction=0.75))
    again.wait()
    assert list(again.service.outputs("job")) == list(house.service.outputs("job"))
    again.service.close()


class Killed(BaseException):
    """Stands for SIGKILL: the service that raised it is not used any more."""


POINTS = [
    "submission.intent.before",
    "submission.intent.after",
    "submission.command.after",
    "submission.ids.after",
    "records.change.before",
    "records.change.after",
]


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_it_goes_on_and_executes_nothing_twice(
    tmp_path, backend, request_of, point, times
):
    def crash(name):
        if name == point:
            left.pop()
            if not left:
                raise Killed(name)

    left = [None] * times
    ledger = MemoryLedger()
    house = House(backend, ledger, crash)
    request = request_of(retry=SOON)
    with pytest.raises(Killed):
        house.service.submit(request, marking(tmp_path, 4))
        house.wait()
        raise Killed("it was quicker than that")
    # Its worker thread may still be in the middle of the command, as a scheduler's client may.
    for worker in (house.service._lines["shell"].worker, house.service._performer._records):
        worker.close()

    after = House(backend, ledger)
    assert after.service.resume(request)
    after.wait()
    assert after.service.status("job").success
    assert executions(tmp_path) == {str(i): 1 for i in range(4)}
    for token, directory in backend.adopted.items():
        assert directory == tmp_path / "job" / "submissions" / token
    if (point, times) == ("submission.intent.after", 1):
        assert backend.adopted, "the backend was not told where its submission lies"
    assert len(list(after.service.outputs("job"))) == 4
    after.service.close()
    assert [path.name for path in (tmp_path / "job").rglob("*") if path.name in ("claims", "records")] == []

    # What a controller that was killed at its end has left goes at the next start.
    for submission in (tmp_path / "job" / "submissions").iterdir():
        (submission / "claims").mkdir()
    last = House(backend, ledger)
    assert last.service.resume(request)
    assert len(list(last.service.outputs("job"))) == 4
    last.service.close()
    assert not list((tmp_path / "job").rglob("claims"))


def test_a_job_that_was_never_written_is_not_resumed(backend, request_of):
    house = House(backend)
    assert house.service.resume(request_of()) is False
    house.service.close()


def test_a_full_disk_at_submission_is_one_clear_error(tmp_path, backend, request_of):
    (tmp_path / "job").write_text("in the way")
    house = House(backend)
    with pytest.raises(ConfigurationError, match=r"cannot be written to .*; free some space, or"):
        house.service.submit(request_of(), specs(tmp_path, ["true"]))
    house.service.close()


def test_unknown_backends_and_names_taken_are_errors(tmp_path, backend, request_of):
    house = House(backend)
    with pytest.raises(ConfigurationError, match="'slurm', which was not added; there are: shell"):
        house.service.submit(JobRequest(key="k", name="k", directory=tmp_path, backend="slurm"), [])
    with pytest.raises(ConfigurationError, match="there is a backend called 'shell' already"):
        house.service.add_backend("shell", backend)
    house.service.close()
