"""The batch template: what it executes, how long, and what it makes of answers."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta

import pytest
from attrs import evolve

from caf_core.errors import BackendError, ConfigurationError, PollError, SubmissionError
from caf_core.jobs.backend import Capabilities, SchedulerState
from caf_core.jobs.batch.dialogue import Command, converse, doubtful, refused, unanswered, words
from caf_core.jobs.batch.lock import holding, is_free
from caf_core.jobs.batch.settings import Setting
from caf_core.jobs.batch.template import Batch, task_call, write_atomically
from caf_core.jobs.task import Resources, TaskSpec
from caf_core.processes.command import CommandResult
from caf_core.processes.tree import start_time
from caf_core.testing.bench import HOSTILE, records, shell, submission, wait_until
from fakes.cluster import TESTS, Cluster
from fakes.engine import FOREVER
from fakes.tiny_backend import TinyBackend

LIMIT = 120.0
"""How long anything may take on a busy machine [s]."""


def answer(returncode=0, stdout="", stderr="", seconds=0.5):
    return CommandResult(("qsub", "job.sh"), returncode, stdout, stderr, seconds)


class Asking(Batch):
    """Executes what a test gives it, in place of a question for states."""

    scheduler = "Asking"
    settings = {"queue": Setting((str,), "where tasks wait"), "exclusive": Setting((bool,), "a whole node")}  # noqa: RUF012 - as the base has it

    def __init__(self, *commands, site=None, **backend_args):
        super().__init__(backend_args=backend_args)
        self.commands, self.answers = commands, []
        self.sites, self.asked = site or [None], 0

    def polling(self, ids):
        for command in self.commands:
            self.answers.append((yield command))
        return {}

    def surveying(self):
        self.asked += 1
        yield Command(("true",))
        site = self.sites[min(self.asked, len(self.sites)) - 1]
        if isinstance(site, Exception):
            raise site
        return site

    def limits(self, site):
        return Capabilities(array_limit=site or 50, find_again_after=timedelta(seconds=1))

    def submitting(self, submission):
        raise NotImplementedError

    cancelling = finding = submitting

    def execute(self):
        self.poll(["1"])
        return self.answers[-1]


def sh(script, *args, **more):
    return Command(("/bin/sh", "-c", script, "sh", *args), **more)


# Dialogues


def test_a_dialogue_is_sent_the_answers_and_returns_a_value():
    def dialogue():
        first = yield Command(["one"])
        second = yield Command(["two"])
        return first + second

    assert converse(dialogue(), lambda command: command.argv) == ("one", "two")


def test_what_a_dialogue_raises_is_raised():
    def dialogue():
        raise unanswered((yield Command(["qstat"])))

    with pytest.raises(PollError, match="qsub: server is down") as caught:
        converse(dialogue(), lambda _: answer(255, stderr="server is\n down\n"))
    assert caught.value.transient


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (answer(1, "output", "an\n  error "), "an error"),
        (answer(1, "only output\n"), "only output"),
        (answer(170), "exit code 170"),
        (answer(None, seconds=10.2), "no answer within 10 s"),
        (answer(None, stderr="still trying", seconds=10.2), "no answer within 10 s: still trying"),
        (answer(1, stderr="x" * 600), "x" * 500 + "..."),
    ],
)
def test_words(said, expected):
    assert words(said) == expected


def test_errors_of_submissions_say_what_the_core_may_do():
    no = refused(answer(170, stderr="Unknown queue"), remedy="choose another queue")
    assert str(no) == "qsub: Unknown queue; choose another queue"
    assert (no.transient, no.returncode, no.command, no.output) == (
        False,
        170,
        ("qsub", "job.sh"),
        "Unknown queue",
    )
    assert doubtful(answer(None)).transient
    expired = refused(answer(1, stderr="no ticket"), credentials=True)
    assert expired.transient and expired.credentials


# Commands


def test_a_submit_command_reads_a_file_that_nobody_has_to_feed(tmp_path):
    (tmp_path / "script").write_text("whole\n")
    backend = Asking(Command(("cat",), stdin=tmp_path / "script", submits=True))
    backend.poll(["7"])
    assert backend.answers[0].stdout == "whole\n"
    with pytest.raises(ValueError, match="qsub submits, so it must read a file"):
        Command(("qsub",), stdin="whole\n", submits=True)


def test_commands_get_words_stdin_environment_and_folder(tmp_path):
    script = 'cat; pwd; echo "$CAF_X $HOME" >&2; for word; do echo "$word"; done; exit 3'
    command = sh(script, HOSTILE, "*", stdin="text\n", env={"CAF_X": "x"}, cwd=tmp_path)
    said = Asking(command).execute()
    assert said.returncode == 3
    assert said.stdout == f"text\n{tmp_path}\n{HOSTILE}\n*\n"
    assert said.stderr == f"x {os.environ['HOME']}\n"


def test_variables_can_be_taken_away_from_a_command(monkeypatch):
    monkeypatch.setenv("CAF_X", "x")
    script = 'echo "${CAF_X-none}"'
    assert Asking(sh(script)).execute().stdout == "x\n"
    assert Asking(sh(script, env={"CAF_X": None})).execute().stdout == "none\n"


def test_no_shell_reads_a_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = Asking(Command(("echo", "$(touch injected)", "; touch injected"))).execute()
    assert said.stdout == "$(touch injected) ; touch injected\n"
    assert not (tmp_path / "injected").exists()


def test_bytes_that_are_no_text_do_no_harm():
    assert Asking(sh(r"printf 'a\377\376b'")).execute().stdout == "a\ufffd\ufffdb"


@pytest.mark.parametrize("own", [True, False])
def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path, own):
    script = f"sleep 3000 & echo $! > {tmp_path}/pid; echo begun; wait"
    for patience in (0.5, 5.0, LIMIT):
        command = sh(script, timeout=patience if own else None)
        said = Asking(command, command_timeout=3000.0 if own else patience).execute()
        assert said.returncode is None
        if said.stdout:  # a busy machine may not have come so far in half a second
            break
    assert said.stdout == "begun\n"
    assert said.seconds < 1000
    assert start_time(int((tmp_path / "pid").read_text())) is None


@pytest.mark.parametrize("argv", [("no-such-command-of-any-scheduler",), ("/no/such/folder/qsub",)])
def test_a_command_that_is_not_there_answers_like_a_shell(argv):
    said = Asking(Command(argv)).execute()
    assert said.returncode == 127
    assert "No such file" in said.stderr and "path_prefix" in said.stderr and "Asking" in said.stderr


def test_a_file_that_may_not_be_executed_is_not_there_either(tmp_path):
    (tmp_path / "qsub").write_text("#!/bin/sh\n")
    assert Asking(Command((str(tmp_path / "qsub"),))).execute().returncode == 127


def test_path_prefix_says_where_commands_lie():
    assert Asking().tool("qsub") == "qsub"
    assert Asking(path_prefix="/opt/pbs/bin").tool("qsub") == "/opt/pbs/bin/qsub"


# Settings


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({"que": "long"}, "no backend argument 'que'; did you mean 'queue'?"),
        ({"zzz": 1}, "there are: .*array_limit, .*exclusive, .*queue"),
        ({"queue": 7}, "'queue' of Asking is 7; it must be str: where tasks wait"),
        ({"array_limit": "7"}, "must be int: largest number"),
        ({"array_limit": True}, "must be int"),
        ({"poll_interval": "1"}, "must be int or float"),
        ({"exclusive": 1}, "must be bool"),
        ({"grace": -5}, "is -5; give 0 or more: how long"),
        ({"array_limit": 0}, "is 0; give 1 or more"),
        ({"global_job_limit": 0}, "is 0; give 1 or more"),
        ({"global_job_limit": -2}, "is -2; give 1 or more"),
        ({"jobs_per_check": 0}, "is 0; give 1 or more"),
        ({"poll_interval": 0}, "is 0; give 0.2 or more"),
        ({"poll_interval": -1}, "give 0.2 or more"),
        ({"command_timeout": float("nan")}, "is nan; give 0.5 or more"),
        ({"poll_interval": float("inf")}, "is inf; give"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_a_hint(args, problem):
    with pytest.raises(ConfigurationError, match=problem):
        Asking(**args)


def test_arguments_of_a_job_are_checked_too(tmp_path):
    backend = TinyBackend()
    one = submission(tmp_path / "job", [shell(tmp_path / "out", "true")], backend)
    object.__setattr__(one, "backend_args", {**backend.backend_args, "quue": "long"})
    with pytest.raises(ConfigurationError, match="did you mean 'queue'"):
        backend.start(one)


def test_nothing_and_no_limit_are_fine():
    can = Asking(queue=None, exclusive=True, global_job_limit=-1, grace=0).capabilities()
    assert can.job_limit is None and can.grace == timedelta(0)


# Sites


def test_a_site_is_asked_once_and_the_user_narrows_what_it_says():
    backend = Asking(site=[1000], array_limit=100, global_job_limit=7, poll_interval=0.5, command_timeout=9)
    can = backend.capabilities()
    assert (can.array_limit, can.job_limit) == (100, 7)
    assert can.poll_interval == timedelta(seconds=0.5)
    assert can.find_again_after == timedelta(seconds=9)
    assert backend.capabilities() == can
    assert backend.asked == 1
    assert Asking(site=[10], array_limit=100).capabilities().array_limit == 10


def test_a_site_that_does_not_answer_is_asked_again(caplog):
    backend = Asking(site=[BackendError("server is down"), 1000])
    assert backend.capabilities().array_limit == 50
    assert "Asking did not say what it can do" in caplog.text and "server is down" in caplog.text
    assert backend.capabilities().array_limit == 1000
    assert backend.asked == 2


def test_what_a_scheduler_cannot_do_is_said():
    assert Asking().count() is None
    with pytest.raises(BackendError, match="Asking cannot release 1 held tasks"):
        Asking().release(["1"], Resources())


# Files


def test_files_are_replaced_in_one_step(tmp_path):
    path = tmp_path / "job.sh"
    path.write_text("old")
    with path.open() as reader:
        write_atomically(path, "new ünïcode \udcff")
        assert reader.read() == "old"
    assert path.read_bytes() == "new ünïcode ".encode() + b"\xff"
    assert list(tmp_path.iterdir()) == [path]


def test_the_line_that_executes_a_task_keeps_odd_paths_together(tmp_path):
    folder = tmp_path / HOSTILE
    folder.mkdir()
    (folder / "task.sh").write_text('printf "%s|" "$0" "$@"')
    one = submission(tmp_path / "job", [shell(tmp_path / "out", "true")], Asking())
    object.__setattr__(one, "directory", folder)
    script = "index='3 4'; " + task_call(one, "$index", "$ID")
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"ID": "7[*]"},
    )
    assert done.stdout == f"{folder}/task.sh|3 4|7[*]|"
    assert not list(tmp_path.rglob("injected"))


# With a scheduler


@pytest.fixture
def cluster(tmp_path):
    with Cluster("fakes.tiny:Tiny", tmp_path / "cluster", kill_wait=0.5) as cluster:
        yield cluster


@pytest.fixture
def backend(cluster):
    return TinyBackend(backend_args={"path_prefix": cluster.path_prefix, "command_timeout": LIMIT})


@pytest.fixture
def one(backend, tmp_path):
    return submission(tmp_path / "job", [shell(tmp_path / str(i), "true") for i in range(3)], backend)


def test_a_submission_is_one_command_and_its_files_lie_beside_the_manifest(backend, cluster, one):
    assert backend.start(one) == ["1.0", "1.1", "1.2"]
    assert len(cluster.calls()) == 1
    assert "task.sh" in (one.directory / "job.sh").read_text()
    assert not list(one.directory.glob(".*.new"))
    wait_until(lambda: len(records(one)) == 3, LIMIT, "all tasks were recorded")


def test_nothing_is_no_question(backend, cluster):
    assert backend.poll([]) == {}
    backend.cancel([])
    assert cluster.calls() == []


def test_all_jobs_of_the_user_count_against_the_limit(cluster, one):
    args = {"path_prefix": cluster.path_prefix, "command_timeout": LIMIT, "global_job_limit": 4}
    backend = TinyBackend(backend_args=args)
    assert backend.can_submit(4) and not backend.can_submit(5)
    held = [TaskSpec(one.directory / f"held-{number}", argv=("sleep", "1000")) for number in range(3)]
    waiting = submission(one.directory.parent / "held", held, backend)
    ids = backend.start(waiting)
    assert backend.can_submit(1) and not backend.can_submit(2)
    backend.cancel(ids)


def test_a_submission_that_is_not_answered_is_in_doubt(backend, cluster, one):
    for patience in (1.0, 10.0, LIMIT):
        backend.backend_args["command_timeout"] = patience
        cluster.faults.clear()
        cluster.faults.lose_answer()
        with pytest.raises(SubmissionError, match=r"no answer within \d+ s") as caught:
            backend.start(one)
        assert caught.value.transient and caught.value.returncode is None
        if cluster.jobs():  # on a busy machine it may have been ended before it did anything
            break
    backend.backend_args["command_timeout"] = LIMIT
    # What the command forked off just before it was ended may hold the lock for one more moment.
    wait_until(lambda: is_free(one.directory), LIMIT, "nobody is at work any more")
    assert backend.find(one.token) == {0: "1.0", 1: "1.1", 2: "1.2"}


def test_a_refusal_is_in_the_schedulers_words(backend, one):
    one.backend_args["queue"] = HOSTILE
    with pytest.raises(SubmissionError, match="there is no queue with space, 'quotes") as caught:
        backend.start(one)
    assert not caught.value.transient and caught.value.returncode == 3


def test_a_command_that_tells_its_name_is_not_named_twice():
    said = answer(1, stderr="qsub: unknown queue")
    assert str(refused(said)) == "qsub: unknown queue"
    assert str(refused(evolve(said, argv=("/opt/pbs/bin/qsub",)))) == "qsub: unknown queue"
    assert str(refused(answer(1, stderr="qsubs: no"))) == "qsub: qsubs: no"


def test_a_question_that_is_not_answered_is_no_answer(backend, cluster, one):
    ids = backend.start(one)
    backend.backend_args["command_timeout"] = 0.5
    cluster.faults.hang("tstat")
    with pytest.raises(PollError, match="no answer within"):
        backend.poll(ids)
    backend.backend_args["command_timeout"] = LIMIT
    cluster.faults.clear()  # a busy machine may have ended the question before it began to hang
    cluster.faults.invalid("tstat")
    assert len(backend.poll(ids)) >= 2, "one odd record spoils no other"
    assert set(backend.poll([*ids, "9.9"])) == set(ids)


@pytest.mark.parametrize("answered", [True, False])
def test_what_a_submit_command_leaves_behind_holds_no_lock_once_it_has_answered(tmp_path, answered):
    with suppress(PollError), holding(tmp_path) as lock:
        assert not is_free(tmp_path)
        left = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(lock,))
        if not answered:
            raise PollError("no answer")
    assert is_free(tmp_path) == answered
    left.communicate()
    assert is_free(tmp_path)


def test_a_submit_command_that_outlives_its_controller_is_waited_for(backend, cluster, one, tmp_path):
    """Until it has ended nobody can know whether the submission was accepted."""
    go_on = tmp_path / "go on"
    cluster.faults.add("tsub", hang=FOREVER, until=str(go_on))
    controller = subprocess.Popen([sys.executable, "-c", _CONTROLLER, json.dumps(_describe(backend, one))])
    wait_until(lambda: cluster.calls("tsub"), LIMIT, "the submit command was called")
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    successor = TinyBackend(backend_args=backend.backend_args)
    successor.adopt(one.token, one.directory)
    with pytest.raises(BackendError, match="still at work") as caught:
        successor.find(one.token)
    assert caught.value.transient
    go_on.touch()

    def found():
        try:
            return dict(successor.find(one.token))
        except BackendError:
            return None

    wait_until(lambda: found() is not None, LIMIT, "the submit command ended")
    assert found() == {0: "1.0", 1: "1.1", 2: "1.2"}
    wait_until(lambda: len(records(one)) == 3, LIMIT, "all tasks were recorded")
    told = successor.poll(["1.0"])["1.0"]
    assert told.state in (SchedulerState.RUNNING, SchedulerState.ENDED)


_CONTROLLER = f"""
import json, sys
from pathlib import Path
sys.path.insert(0, {str(TESTS)!r})
from caf_core.jobs.backend import Submission
from fakes.tiny_backend import TinyBackend
told = json.loads(sys.argv[1])
backend = TinyBackend(backend_args=told["args"])
backend.start(Submission(told["token"], "name", Path(told["directory"]), told["size"]))
"""


def _describe(backend, one):
    args = {**backend.backend_args, "command_timeout": LIMIT}
    return {"token": one.token, "directory": str(one.directory), "size": one.size, "args": args}


def test_a_scheduler_that_is_not_here_refuses_for_good(one):
    backend = TinyBackend(backend_args={"path_prefix": "/nowhere"})
    with pytest.raises(SubmissionError, match="path_prefix") as refusal:
        backend.start(one)
    assert not refusal.value.transient


class Surveying(TinyBackend):
    """Asks before it submits."""

    def submitting(self, submission):
        answer = yield self.asked
        if not answer.ok:
            raise unanswered(answer)
        return (yield from super().submitting(submission))


@pytest.mark.parametrize(
    ("asked", "transient"), [(Command(("no-such-command",)), False), (Command(("false",)), True)]
)
def test_what_was_not_answered_before_the_submission_leaves_no_doubt(backend, cluster, one, asked, transient):
    asking = Surveying(backend_args=backend.backend_args)
    asking.asked = asked
    with pytest.raises(SubmissionError) as refusal:
        asking.start(one)
    assert refusal.value.transient is transient
    assert cluster.calls() == []
