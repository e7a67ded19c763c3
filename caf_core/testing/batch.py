"""What every batch backend must keep: on executable fake commands, and on real schedulers."""

# ruff: noqa: S101 - a suite is made of assertions

import re
import subprocess
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

import pytest

from caf_core.jobs.backend import Backend, Submission
from caf_core.jobs.ledger import FailureKind, TaskState
from caf_core.jobs.task import Resources
from caf_core.jobs.tokens import new_token
from caf_core.testing.backend import OVER, BackendConformance
from caf_core.testing.bench import HOSTILE, JobBench, names, records, shell, submission, wait_until
from caf_core.testing.faulty import FaultConformance, until

MakeBackend = Callable[..., Backend]


class BatchConformance(FaultConformance, BackendConformance):
    """Holds a backend for a batch system to its contract.

    Override the fixture ``make_backend``: it returns a function that makes an instance, and gives it its
    keywords as ``backend_args``, which win over your own. Your own should make tests quick: a
    ``poll_interval`` of half a second, a ``grace`` of some seconds. Override the fixture ``faults`` where the
    scheduler is a fake that can misbehave, and raise ``timeout`` where it is a slow one.
    """

    timeout: ClassVar[float] = 120.0
    bad_backend_args: ClassVar[Mapping[str, Any]] = {}
    """Arguments that the scheduler refuses for good, such as a queue that does not exist."""
    refusal: ClassVar[str] = ""
    """A regular expression for the words with which it does."""
    resources: ClassVar[Resources] = Resources(1, 100, timedelta(minutes=10), 100)
    """What a task asks for in the test of resources."""

    def asked_for(self, backend: Backend, identity: str) -> Resources | None:  # noqa: ARG002 - to override
        """What the scheduler says that a task asked for, in caf's units; what it does not say is ``None``.

        Override it, and ask the scheduler by its own commands; without it the test is skipped.
        """
        return None

    # Submissions

    def test_a_single_task(self, backend: Backend, tmp_path: Path) -> None:
        """One task is no array at some schedulers, and works all the same."""
        with self._held(backend, tmp_path, 1) as held:
            assert len(held.ids) == 1
            assert dict(backend.find(held.submission.token)) == {0: held.ids[0]}
            assert set(backend.poll(held.ids)) == set(held.ids)
            held.release()
            self._until_recorded(held.submission)
        assert records(held.submission)[0]["exit_code"] == 0

    def test_a_task_knows_its_position_and_its_id(self, backend: Backend, tmp_path: Path) -> None:
        """The id in the record is the one that ``start`` returned: the claim of a task that is queued again
        depends on it.
        """
        tasks = [shell(tmp_path / "out" / str(i), f"echo {i}") for i in range(4)]
        one = submission(tmp_path / "job", tasks, backend)
        ids = list(backend.start(one))
        self._until_recorded(one)
        assert [records(one)[position]["scheduler_id"] for position in range(4)] == ids
        assert [records(one)[position]["task"] for position in range(4)] == [0, 1, 2, 3]
        texts = [(tmp_path / "out" / str(i) / "attempt-1" / "stdout").read_text() for i in range(4)]
        assert texts == ["0\n", "1\n", "2\n", "3\n"]

    def test_tasks_beyond_the_array_limit_become_several_arrays(
        self, bench_on: Callable[..., JobBench], tmp_path: Path
    ) -> None:
        """Seven tasks in arrays of three: two arrays and a single task."""
        bench = bench_on(array_limit=3)
        bench.submit(
            "seven", [shell(tmp_path / str(i), f"echo {i} > n", output_patterns=("n",)) for i in range(7)]
        )
        (status,) = bench.wait("seven")
        assert status.success, [task.reason for task in bench.tasks("seven")]
        assert len(bench.submissions("seven")) == 3
        numbers = [(attempt / "n").read_text() for _, attempt, _ in bench.service.outputs("seven")]
        assert numbers == [f"{i}\n" for i in range(7)]

    def test_tokens_are_found_exactly(
        self, make_backend: MakeBackend, backend: Backend, tmp_path: Path
    ) -> None:
        """A token that begins another one is not confused with it, by this instance or another."""
        go = tmp_path / "go"
        short = new_token()[:12]
        known = []
        for token in (short, f"{short}x1"):
            tasks = [shell(tmp_path / token / str(i), until(go)) for i in range(2)]
            one = submission(tmp_path / f"job-{token}", tasks, backend, token=token)
            known.append((one, list(backend.start(one))))
        other = make_backend()
        try:
            for one, ids in known:
                other.adopt(one.token, one.directory)
                assert dict(backend.find(one.token)) == dict(enumerate(ids))
                assert dict(other.find(one.token)) == dict(enumerate(ids))
            assert dict(other.find(short[:-1])) == {}
        finally:
            go.touch()
            other.close()
        for one, _ in known:
            self._until_recorded(one)

    def test_a_submission_that_is_started_twice_is_executed_once(
        self, backend: Backend, tmp_path: Path
    ) -> None:
        """The claim lets one of two jobs do the work; the other ends."""
        log = tmp_path / "log"
        tasks = [shell(tmp_path / "out" / str(i), f"echo {i} >> {quote(str(log))}") for i in range(3)]
        one = submission(tmp_path / "job", tasks, backend)
        ids = [*backend.start(one), *backend.start(one)]
        assert len(set(ids)) == 6
        self._until_recorded(one)
        wait_until(lambda: self._over(backend, ids), self.timeout, "both arrays ended")
        assert sorted(log.read_text().split()) == ["0", "1", "2"]

    @pytest.mark.parametrize("first", ["the old one", "the new one"])
    def test_two_executions_under_one_id_do_not_meet(
        self, bench: JobBench, tmp_path: Path, first: str
    ) -> None:
        """A scheduler that lost sight of a job begins it again while the first execution lives on: each has a
        folder of its own, and only the outputs of the later one count.
        """
        go = {name: tmp_path / name for name in ("the old one", "the new one")}
        # Which of both it is, the first time: whoever makes the folder. Each uses paths that it remembers.
        script = (
            f'here=$PWD; if mkdir {quote(str(tmp_path / "mark"))}; then who="the old one"; '
            f'else who="the new one"; fi; echo "$who" > "$here/made"; '
            f'touch {quote(str(tmp_path))}/"at $who"; '
            f'until [ -e {quote(str(tmp_path))}/"$who" ]; do sleep 0.05; done; echo "$who" >> "$here/made"'
        )
        bench.submit("job", [shell(tmp_path / "out", script, output_patterns=("*",))])
        bench.pump((tmp_path / "at the old one").exists, "the task executes")
        directory = bench.directory("job", bench.tasks("job")[0].token)
        copy = ["/bin/sh", str(directory / "task.sh"), "0", bench.identity("job")]
        with subprocess.Popen(copy, stderr=subprocess.PIPE) as again:
            wait_until((tmp_path / "at the new one").exists, self.timeout, "it executes again")
            go[first].touch()
            if first == "the new one":
                again.wait(self.timeout)
            else:
                bench.pump_for(2.0)
                assert not bench.service.status("job").ended, "what was given up counted"
            for path in go.values():
                path.touch()
            again.communicate(timeout=self.timeout)
        (status,) = bench.wait("job")
        assert status.success, [task.reason for task in bench.tasks("job")]
        ((_, folder, outputs),) = bench.service.outputs("job")
        assert (outputs, folder) == (["made"], bench.service.attempt_directory("job", 0))
        assert (folder / "made").read_text() == "the new one\n" * 2
        old = tmp_path / "out" / "attempt-1" / "made"
        wait_until(lambda: old.read_text() == "the old one\n" * 2, self.timeout, "the old one ended too")

    def test_a_submission_refused_for_good_fails_at_once(self, bench: JobBench, tmp_path: Path) -> None:
        """With the scheduler's words, and without asking again."""
        if not self.bad_backend_args:
            pytest.skip("set bad_backend_args")
        bench.submit("bad", [shell(tmp_path / "out", "true")], self.bad_backend_args)
        bench.wait("bad")
        (task,) = bench.tasks("bad")
        assert (task.state, task.failure) == (TaskState.FAILED, FailureKind.SUBMISSION)
        assert re.search(self.refusal, task.reason), task.reason
        assert len(bench.submissions("bad")) == 1

    def test_requested_resources_arrive(self, backend: Backend, tmp_path: Path) -> None:
        """In the scheduler's own accounts, in the right units."""
        go = tmp_path / "go"
        tasks = [shell(tmp_path / "out" / str(i), until(go)) for i in range(2)]
        one = submission(tmp_path / "job", tasks, backend, resources=self.resources)
        ids = list(backend.start(one))
        try:
            for identity in ids:
                told = self.asked_for(backend, identity)
                if told is None:
                    pytest.skip("override asked_for()")
                for name in ("cpus", "memory_mb", "walltime", "disk_mb"):
                    value = getattr(told, name)
                    assert value in (None, getattr(self.resources, name)), f"{name} is {value!r}"
        finally:
            go.touch()
        self._until_recorded(one)

    def test_a_job_limit_is_kept(self, bench_on: Callable[..., JobBench], tmp_path: Path) -> None:
        """No more tasks than that are at the scheduler at any time."""
        bench = bench_on(global_job_limit=2, check_interval=0.5)
        bench.submit("many", [shell(tmp_path / str(i), "sleep 0.2") for i in range(6)])
        most = 0

        def ended() -> bool:
            nonlocal most
            out = (TaskState.SUBMITTED, TaskState.RUNNING)
            most = max(most, sum(bench.service.status("many").counts.get(state, 0) for state in out))
            return bench.service.status("many").ended

        bench.pump(ended, "the tasks ended")
        assert bench.service.status("many").success
        assert most <= 2
        assert len(bench.submissions("many")) >= 3

    def test_a_job_limit_counts_the_jobs_of_others(
        self, make_backend: MakeBackend, bench_on: Callable[..., JobBench], tmp_path: Path
    ) -> None:
        """What the user has in the system from elsewhere takes room."""
        other = make_backend()
        try:
            if other.count() is None:
                pytest.skip("it cannot count")
            with self._held(other, tmp_path, 2) as held:
                bench = bench_on(global_job_limit=other.count(), check_interval=0.5)
                bench.submit("late", [shell(tmp_path / "late", "true")])
                bench.pump_for(2.0)
                assert bench.tasks("late")[0].state is TaskState.INIT
                held.release()
                (status,) = bench.wait("late")
                assert status.success
        finally:
            other.close()

    # On the node

    def test_what_kills_a_task_is_told(self, bench: JobBench, tmp_path: Path) -> None:
        """Signals that a task gets from itself are its own failure, and no cancellation."""
        bench.submit(
            "signals", [shell(tmp_path / f"out-{number}", f"kill -{number} $$") for number in (11, 15)]
        )
        bench.wait("signals")
        for number, task in zip((11, 15), bench.tasks("signals"), strict=True):
            assert (task.state, task.failure) == (TaskState.FAILED, FailureKind.EXIT_CODE), task.reason
            assert str(number) in task.reason

    def test_time_limits_end_tasks(self, bench: JobBench, tmp_path: Path) -> None:
        """A task that takes longer than it said fails with ``walltime``."""
        limit = Resources(walltime=timedelta(seconds=2))
        bench.submit("long", [shell(tmp_path / "out", "sleep 300")], resources=limit)
        bench.wait("long")
        (task,) = bench.tasks("long")
        assert (task.state, task.failure) == (TaskState.FAILED, FailureKind.WALLTIME), task.reason

    def test_arrays_survive_hostile_paths(self, bench: JobBench, tmp_path: Path) -> None:
        """The script, its log and the tasks' folders may lie anywhere; the human name may be anything."""
        folder = tmp_path / HOSTILE
        folder.mkdir()
        tasks = [shell(folder / str(i), f"echo {i} > n", output_patterns=("n",)) for i in range(3)]
        bench.submit(f"array {HOSTILE}", tasks)
        (status,) = bench.wait(f"array {HOSTILE}")
        assert status.success, [task.reason for task in bench.tasks(f"array {HOSTILE}")]
        assert "injected" not in names(tmp_path)

    def test_output_is_in_the_folder_of_the_attempt(self, backend: Backend, tmp_path: Path) -> None:
        """And not in a file a task beside the script."""
        tasks = [shell(tmp_path / "out" / str(i), f"echo out {i}; echo err {i} >&2") for i in range(12)]
        one = submission(tmp_path / "job", tasks, backend)
        ids = list(backend.start(one))
        self._until_recorded(one)
        wait_until(lambda: self._over(backend, ids), self.timeout, "the tasks ended")
        for i in range(12):
            attempt = tmp_path / "out" / str(i) / "attempt-1"
            assert (attempt / "stdout").read_text() == f"out {i}\n"
            assert (attempt / "stderr").read_text() == f"err {i}\n"
        files = [path.name for path in one.directory.iterdir() if path.is_file()]
        assert len(files) < 12, f"a file a task? {files}"

    # While they execute

    def test_a_part_of_an_array_is_cancelled(self, backend: Backend, tmp_path: Path) -> None:
        """The other tasks go on."""
        with self._held(backend, tmp_path, 4) as held:
            backend.cancel([held.ids[1], held.ids[2]])
            wait_until(
                lambda: self._over(backend, [held.ids[1], held.ids[2]]), self.timeout, "two tasks ended"
            )
            told = backend.poll([held.ids[0], held.ids[3]])
            assert set(told) == {held.ids[0], held.ids[3]}
            assert all(report.state not in OVER for report in told.values()), "they were cancelled too"
            held.release()
            wait_until(
                lambda: {0, 3} <= set(records(held.submission)), self.timeout, "the others were recorded"
            )
        passed = sorted(path.parts[-3] for path in tmp_path.glob("out/*/attempt-1/passed"))
        assert passed == ["0", "3"]

    def test_a_task_cancelled_by_somebody_else_is_explained(
        self, make_backend: MakeBackend, bench: JobBench, tmp_path: Path
    ) -> None:
        """It has failed, and the scheduler was asked why."""
        started = tmp_path / "started"
        tasks = [shell(tmp_path / "out", f"touch {quote(str(started))}; {until(tmp_path / 'go')}")]
        bench.submit("job", tasks)
        bench.pump(started.exists, "the task executes")
        other = make_backend()
        other.cancel([bench.identity("job")])
        other.close()
        bench.wait("job")
        (task,) = bench.tasks("job")
        assert (task.state, task.failure) == (TaskState.FAILED, FailureKind.CANCELLED), task.reason
        assert task.reason

    @pytest.mark.parametrize("moment", ["before the answer is taken in", "while they execute"])
    def test_a_controller_that_is_dropped_goes_on(
        self, make_backend: MakeBackend, bench: JobBench, tmp_path: Path, moment: str
    ) -> None:
        """Another process with the same ledger finds its tasks, and executes none again."""
        go, log = tmp_path / "go", tmp_path / "log"
        tasks = [
            shell(tmp_path / "out" / str(i), f"echo {i} >> {quote(str(log))}; {until(go)}") for i in range(3)
        ]
        bench.submit("job", tasks)
        if moment == "while they execute":
            bench.pump(lambda: len(bench.running("job")) == 3, "all tasks execute")
        bench.restart(make_backend())
        go.touch()
        (status,) = bench.wait("job")
        assert status.success, [task.reason for task in bench.tasks("job")]
        assert sorted(log.read_text().split()) == ["0", "1", "2"]
        assert len(bench.submissions("job")) == 1

    def test_tasks_that_end_without_a_controller_are_known_afterwards(
        self, make_backend: MakeBackend, bench: JobBench, tmp_path: Path
    ) -> None:
        """Their records wait for the next one."""
        go = tmp_path / "go"
        scripts = (f"{until(go)}; exit 0", f"{until(go)}; exit 4")
        bench.submit("job", [shell(tmp_path / str(i), script) for i, script in enumerate(scripts)])
        bench.pump(lambda: len(bench.running("job")) == 2, "the tasks execute")
        places = {task.token: bench.directory("job", task.token) for task in bench.tasks("job")}
        bench.service.close()
        go.touch()
        (directory,) = places.values()
        wait_until(
            lambda: len(list((directory / "records").glob("[0-9]*.json"))) == 2, self.timeout, "both ended"
        )
        bench.restart(make_backend())
        bench.wait("job")
        assert [task.exit_code for task in bench.tasks("job")] == [0, 4]

    # Help

    @pytest.fixture
    def bench_on(
        self, make_backend: MakeBackend, tmp_path: Path, request: pytest.FixtureRequest
    ) -> Callable[..., JobBench]:
        """Makes a job service on a backend with these arguments."""

        def make(**backend_args: Any) -> JobBench:
            bench = JobBench(make_backend(**backend_args), tmp_path / "jobs", self.timeout)
            request.addfinalizer(lambda: bench.service.close())
            return bench

        return make

    def _until_recorded(self, one: Submission) -> None:
        wait_until(lambda: len(records(one)) == one.size, self.timeout, "all tasks were recorded")

    def _over(self, backend: Backend, ids: list[str]) -> bool:
        told = backend.poll(ids)
        return all(identity not in told or told[identity].state in OVER for identity in ids)
