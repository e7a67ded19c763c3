"""What every backend must keep: real tasks, started, found, polled, cancelled and recorded."""

# ruff: noqa: S101 - a suite is made of assertions

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from shlex import quote
from typing import ClassVar

import pytest

from caf_core.jobs.backend import Backend, SchedulerState, Submission
from caf_core.jobs.ledger import FailureKind, TaskState
from caf_core.jobs.task import TaskSpec
from caf_core.testing.bench import HOSTILE, JobBench, names, records, shell, submission, wait_until

OVER = (SchedulerState.ENDED, SchedulerState.UNKNOWN)


class BackendConformance:
    """Holds a backend to its contract with small tasks of shell; override ``make_backend``.

    Args:
        timeout: How long the tasks of one test may take [s]; a real batch system may need minutes.
        finds_after_restart: Whether ``find`` knows what another instance started, as every scheduler does.
            Without it a restarted calibration starts such tasks again, and the claim lets only one work.
    """

    timeout: ClassVar[float] = 60.0
    finds_after_restart: ClassVar[bool] = True

    @pytest.fixture
    def make_backend(self) -> Callable[[], Backend]:
        """A function without arguments that makes an instance, each as a new process would make it."""
        raise NotImplementedError(
            "override the fixture `make_backend`: it returns a function that makes your backend"
        )

    @pytest.fixture
    def backend(self, make_backend: Callable[[], Backend]) -> Iterator[Backend]:
        """One instance."""
        backend = make_backend()
        yield backend
        backend.close()

    @pytest.fixture
    def bench(self, backend: Backend, tmp_path: Path) -> Iterator[JobBench]:
        """A job service on the backend."""
        bench = JobBench(backend, tmp_path / "jobs", self.timeout)
        yield bench
        bench.service.close()

    # The contract itself

    def test_capabilities_make_sense(self, backend: Backend) -> None:
        """Limits are positive or absent."""
        can = backend.capabilities()
        assert can.array_limit is None or can.array_limit >= 1
        assert can.job_limit is None or can.job_limit >= 1
        assert can.minimum_array >= 1
        assert can.poll_interval is None or can.poll_interval > timedelta(0)
        assert can.grace >= timedelta(0)

    def test_arguments_of_the_instance_win_over_the_defaults(
        self, make_backend: Callable[[], Backend]
    ) -> None:
        """``backend_args`` holds both."""
        backend = make_backend()
        for name, value in type(backend).default_backend_args.items():
            assert name in backend.backend_args, f"the default {name}={value!r} got lost"
        backend.close()

    def test_ids_come_in_the_order_of_the_manifest(self, backend: Backend, tmp_path: Path) -> None:
        """One id a task, all different, and ``find`` tells the same."""
        with self._held(backend, tmp_path, 5) as held:
            assert len(held.ids) == 5
            assert len(set(held.ids)) == 5
            assert all(type(one) is str for one in held.ids)
            assert all(held.ids)
            assert dict(backend.find(held.submission.token)) == dict(enumerate(held.ids))

    def test_polling_leaves_out_what_it_does_not_know(self, backend: Backend, tmp_path: Path) -> None:
        """What is queued or executes is told; strangers are left out, and nothing is no question."""
        with self._held(backend, tmp_path, 2) as held:
            told = backend.poll([*held.ids, "no-such-id"])
            assert set(told) == set(held.ids)
            assert all(report.state not in OVER for report in told.values())
            assert dict(backend.poll([])) == {}
            assert dict(backend.poll(["no-such-id"])) == {}

    def test_a_token_that_nobody_used_finds_nothing(self, backend: Backend) -> None:
        """Empty is an answer; not to answer is an error."""
        assert dict(backend.find("cNosuchtoken99")) == {}

    def test_cancelling_is_idempotent(self, backend: Backend, tmp_path: Path) -> None:
        """Cancelled tasks end; cancelling them again, or strangers, is no error."""
        with self._held(backend, tmp_path, 2) as held:
            backend.cancel(held.ids)
            self._until_over(backend, held)
            backend.cancel(held.ids)
            backend.cancel(["no-such-id"])
            backend.cancel([])
            held.release()
        assert not list(tmp_path.glob("out/*/attempt-1/passed")), "a cancelled task went on"

    def test_tasks_go_on_without_the_backend(
        self, make_backend: Callable[[], Backend], tmp_path: Path
    ) -> None:
        """Closing lets go; the tasks go on and write their records, and another instance finds them."""
        first = make_backend()
        with self._held(first, tmp_path, 2) as held:
            first.close()
            second = make_backend()
            second.adopt(held.submission.token, held.submission.directory)
            if self.finds_after_restart:
                assert dict(second.find(held.submission.token)) == dict(enumerate(held.ids))
                assert set(second.poll(held.ids)) == set(held.ids)
            held.release()
            wait_until(lambda: len(records(held.submission)) == 2, self.timeout, "both tasks were recorded")
            second.close()
        assert [records(held.submission)[position]["exit_code"] for position in (0, 1)] == [0, 0]

    # Through the core

    def test_a_task_stays_in_the_session_of_what_watches_it(self, bench: JobBench, tmp_path: Path) -> None:
        """A batch system counts, limits and ends what is in the session that it made: the supervisor is
        there, and with it the setup commands, the command and its children. Groups are the command's own.
        """
        ids = "cut -d' ' -f5,6 /proc/$$/stat; "
        script = f"{ids}cut -d' ' -f5,6 /proc/$PPID/stat; sh -c \"{ids.replace('$', chr(92) + '$')}\"; "
        setup = f"({ids}sh -c 'cut -d\" \" -f5,6 /proc/$$/stat') "
        task = shell(tmp_path / "out", script, setup_cmds=(setup,))
        bench.submit("job", [task])
        (status,) = bench.wait("job")
        assert status.success, [task.reason for task in bench.tasks("job")]
        lines = (tmp_path / "out" / "attempt-1" / "stdout").read_text().splitlines()
        groups, sessions = zip(*map(str.split, lines), strict=True)
        assert len(lines) == 5
        assert len(set(sessions)) == 1, f"sessions of setup (2), command, supervisor, child: {sessions}"
        assert groups[3] not in (groups[0], groups[2], groups[4]), "the command can signal its supervisor"

    def test_exit_codes_arrive(self, bench: JobBench, tmp_path: Path) -> None:
        """Success and failure are told apart, each with its exit code."""
        scripts = ("exit 0", "exit 3", "kill -9 $$", "echo out; echo err >&2; exit 255")
        bench.submit("codes", [shell(tmp_path / f"out-{i}", script) for i, script in enumerate(scripts)])
        (status,) = bench.wait("codes")
        assert not status.success
        tasks = bench.tasks("codes")
        completed, failed = TaskState.COMPLETED, TaskState.FAILED
        assert [task.state for task in tasks] == [completed, failed, failed, failed]
        assert [task.exit_code for task in tasks if task.index != 2] == [0, 3, 255]
        # Nobody can tell who sent a SIGKILL: it counts as the machine's doing, and is tried again.
        kinds = [FailureKind.EXIT_CODE, FailureKind.NODE_LOST, FailureKind.EXIT_CODE]
        assert [task.failure for task in tasks[1:]] == kinds
        assert (tmp_path / "out-3" / "attempt-1" / "stderr").read_text() == "err\n"

    def test_hostile_paths_are_only_paths(self, bench: JobBench, tmp_path: Path) -> None:
        """No shell and no scheduler reads anything into names of folders, files and arguments."""
        folder = tmp_path / HOSTILE
        folder.mkdir()
        data = folder / f"data {HOSTILE}"
        data.write_text("content")
        script = 'cat "$1" > result; printf %s "$2" > argument; cat input_files.json'
        task = TaskSpec(
            folder / "out",
            argv=("/bin/sh", "-c", script, "sh", str(data), HOSTILE),
            input_files=(str(data),),
            output_patterns=("result", "argument"),
        )
        bench.submit(HOSTILE, [task])
        (status,) = bench.wait(HOSTILE)
        assert status.success, bench.tasks(HOSTILE)[0].reason
        ((_, attempt, outputs),) = bench.service.outputs(HOSTILE)
        assert sorted(outputs) == ["argument", "result"]
        assert (attempt / "result").read_text() == "content"
        assert (attempt / "argument").read_text() == HOSTILE
        assert "injected" not in names(tmp_path)

    def test_every_task_is_executed_once(self, bench: JobBench, tmp_path: Path) -> None:
        """Several jobs at once, each task with its own input, outputs in the order of the tasks."""
        log = tmp_path / "log"
        for key in ("first", "second"):
            bench.submit(
                key,
                [
                    shell(
                        tmp_path / key / str(i),
                        f"echo {key} {i} >> {quote(str(log))}; echo {i} > n",
                        output_patterns=("n",),
                    )
                    for i in range(10)
                ],
            )
        assert all(status.success for status in bench.wait("first", "second"))
        assert sorted(log.read_text().split("\n")[:-1]) == sorted(
            f"{key} {i}" for key in ("first", "second") for i in range(10)
        )
        numbers = [(attempt / "n").read_text() for _, attempt, _ in bench.service.outputs("second")]
        assert numbers == [f"{i}\n" for i in range(10)]

    def test_a_cancelled_job_ends(self, bench: JobBench, tmp_path: Path) -> None:
        """Tasks that execute are ended, those that completed stay completed."""
        go = tmp_path / "go"
        bench.submit("some", [shell(tmp_path / "a", "true"), shell(tmp_path / "b", _hold(go))])
        bench.pump(lambda: bench.tasks("some")[0].state is TaskState.COMPLETED, "the first task completed")
        bench.service.cancel("some")
        bench.wait("some")
        first, second = bench.tasks("some")
        assert first.state is TaskState.COMPLETED
        assert (second.state, second.failure) == (TaskState.FAILED, FailureKind.CANCELLED)
        go.touch()

    def _held(self, backend: Backend, tmp_path: Path, count: int) -> "Held":
        return Held(backend, tmp_path, count)

    def _until_over(self, backend: Backend, held: "Held") -> None:
        def over() -> bool:
            told = backend.poll(held.ids)
            ended = {one for one in held.ids if one not in told or told[one].state in OVER}
            ended |= {held.ids[position] for position in records(held.submission)}
            return ended == set(held.ids)

        wait_until(over, self.timeout, "cancelled tasks ended")


class Held:
    """A submission whose tasks wait until they are released, as they are at the end of the ``with`` block."""

    def __init__(self, backend: Backend, directory: Path, count: int) -> None:
        self._go = directory / "go"
        backend.attach(lambda _token, _reports: None)
        tasks = [shell(directory / "out" / str(i), _hold(self._go)) for i in range(count)]
        self.submission: Submission = submission(directory / "job", tasks, backend)
        self.ids = list(backend.start(self.submission))

    def release(self) -> None:
        """Let the tasks go on."""
        self._go.touch()

    def __enter__(self) -> "Held":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _hold(go: Path) -> str:
    """A line of shell that waits for a file, though not for ever."""
    wait = f"until test -e {quote(str(go))} || test $n -gt 3000; do sleep 0.05; n=$((n+1)); done"
    return f"n=0; {wait}; touch passed"
