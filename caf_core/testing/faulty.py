"""What a batch backend must keep when its scheduler misbehaves."""

# ruff: noqa: S101 - a suite is made of assertions

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar, Protocol

import pytest

from caf_core.errors import BackendError
from caf_core.jobs.backend import Backend
from caf_core.jobs.ledger import FailureKind, TaskState
from caf_core.jobs.retry import Remedy, RetryPolicy, Rule
from caf_core.jobs.task import TaskSpec
from caf_core.testing.bench import JobBench, records, shell, submission, wait_until

AGAIN = RetryPolicy.never()
for _kind in (FailureKind.NODE_LOST, FailureKind.SUBMISSION):
    AGAIN = AGAIN.with_rule(_kind, Rule(Remedy.AGAIN, attempts=3, delay=timedelta(seconds=0)))


class Faults(Protocol):
    """What a fake scheduler can be told to do wrong; on a real one nothing of it is tried."""

    def lose_answer(self) -> None:
        """The next submission is accepted, but its command never answers."""

    def break_answer(self) -> None:
        """The next submission is accepted, but its command says that the connection broke."""

    def accept_late(self, seconds: float) -> None:
        """The next submit command never answers; the submission is accepted so much later [s]."""

    def accept_twice(self) -> None:
        """The next submission is accepted twice; the command tells of the second."""

    def hang_polls(self, times: int = 1) -> None:
        """The next questions are not answered; -1 for all until ``clear``, here and below."""

    def fail_polls(self, times: int = 1) -> None:
        """The next questions fail."""

    def garble_polls(self, times: int = 1) -> None:
        """The next questions are answered by garbage, as if all were well."""

    def cut_polls(self, times: int = 1) -> None:
        """The second half of the next answers is lost."""

    def spoil_polls(self, times: int = 1) -> None:
        """The next answers have bytes in the middle that are no UTF-8."""

    def list_twice(self, times: int = 1) -> None:
        """The next answers list every task twice."""

    def list_nothing(self) -> None:
        """All answers leave out the tasks that there are now."""

    def delay_records(self, seconds: float | None, times: int = 1) -> None:
        """The records of the next tasks become visible so much later [s]; never if it is ``None``."""

    def down(self) -> None:
        """The daemons are down."""

    def up(self) -> None:
        """They are up again."""

    def clear(self) -> None:
        """Nothing goes wrong any more."""

    def questions(self) -> int:
        """How many questions for states were begun."""

    def submissions(self) -> int:
        """How many submit commands there were."""

    def requeue(self, identity: str) -> None:
        """The scheduler ends a running task and starts it again under its id."""

    def crash(self, identity: str) -> None:
        """The node of a running task dies."""

    def exhaust(self, identity: str, *, whole: bool = True) -> None:
        """A running task is killed because it took too much memory, with what executes it or without."""


Poll = Callable[[Faults], None]

POLLS: dict[str, Poll] = {
    "hanging": lambda faults: faults.hang_polls(),
    "failing": lambda faults: faults.fail_polls(2),
    "garbage": lambda faults: faults.garble_polls(2),
    "cut short": lambda faults: faults.cut_polls(2),
    "no UTF-8": lambda faults: faults.spoil_polls(2),
    "duplicates": lambda faults: faults.list_twice(-1),
}


class FaultConformance:
    """Holds a batch backend to its promises while its scheduler misbehaves; part of ``BatchConformance``.

    Nothing of it is executed where the fixture ``faults`` gives ``None``.
    """

    patience: ClassVar[float] = 3.0
    """The ``command_timeout`` in these tests [s]."""
    timeout: ClassVar[float]

    @pytest.fixture
    def faults(self) -> Faults | None:
        """What can be made to go wrong; ``None`` on a real scheduler."""
        return None

    @pytest.fixture
    def faulty(self, faults: Faults | None) -> Faults:
        """The same, for tests that need it."""
        if faults is None:
            pytest.skip("a real scheduler does not misbehave on demand")
        return faults

    @pytest.fixture
    def make_bench(
        self, make_backend: Callable[..., Backend], tmp_path: Path, request: pytest.FixtureRequest
    ) -> Callable[..., JobBench]:
        """Makes a job service on a backend with little patience for commands, and much for records: how long
        answers are missing is up to the machine. Keywords are arguments of the backend.
        """

        def make(**backend_args: Any) -> JobBench:
            patience = {"command_timeout": self.patience, "grace": self.timeout}
            backend = make_backend(**{**patience, **backend_args})
            bench = JobBench(backend, tmp_path / "jobs", self.timeout)
            request.addfinalizer(lambda: bench.service.close())
            return bench

        return make

    # Submissions

    def test_a_lost_answer_of_a_submission_is_made_up_for(
        self, make_bench: Callable[..., JobBench], faulty: Faults, tmp_path: Path
    ) -> None:
        """It is found by its token, and not submitted again."""
        faulty.lose_answer()
        self._found_again(make_bench(), tmp_path)
        assert faulty.submissions() == 1

    def test_a_broken_answer_of_a_submission_is_not_a_refusal(
        self, make_bench: Callable[..., JobBench], faulty: Faults, tmp_path: Path
    ) -> None:
        """A connection that broke says nothing about what was submitted."""
        faulty.break_answer()
        self._found_again(make_bench(), tmp_path)
        assert faulty.submissions() == 1

    @pytest.mark.parametrize("timeouts", [1.2, 3.0])
    def test_a_submission_that_is_accepted_late_is_executed_once(
        self, make_bench: Callable[..., JobBench], faulty: Faults, tmp_path: Path, timeouts: float
    ) -> None:
        """Whether it is found, or submitted again because nobody could know."""
        faulty.accept_late(timeouts * self.patience)
        self._all_executed_once(make_bench(), tmp_path)

    def test_a_submission_that_is_accepted_twice_is_executed_once(
        self, make_bench: Callable[..., JobBench], faulty: Faults, tmp_path: Path
    ) -> None:
        """The claim on the node decides."""
        faulty.accept_twice()
        self._all_executed_once(make_bench(), tmp_path)

    def test_a_submission_waits_for_a_scheduler_that_is_down(
        self, make_bench: Callable[..., JobBench], faulty: Faults, tmp_path: Path
    ) -> None:
        """Nothing fails because of it."""
        bench = make_bench()
        faulty.down()
        self._submit(bench, tmp_path)
        bench.pump(lambda: faulty.submissions() >= 1, "the submission was tried")
        bench.pump_for(self.patience)
        faulty.up()
        self._check(bench, tmp_path)

    # Questions

    @pytest.mark.parametrize("kind", POLLS)
    def test_odd_answers_to_polls_lose_nothing(
        self, make_bench: Callable[..., JobBench], faulty: Faults, tmp_path: Path, kind: str
    ) -> None:
        """No task is lost, failed or executed again because of an answer."""
        bench = make_bench()
        go = tmp_path / "go"
        self._submit(bench, tmp_path, go)
        bench.pump(lambda: len(bench.running("job")) == 3, "all tasks execute")
        POLLS[kind](faulty)
        before = faulty.questions()
        bench.pump(lambda: faulty.questions() >= before + 3, "the scheduler was asked again and again")
        go.touch()
        self._check(bench, tmp_path)

    @pytest.mark.parametrize("kind", ["failing", "garbage", "cut short", "no UTF-8", "duplicates"])
    def test_odd_answers_to_searches_find_nothing_wrong(
        self, make_backend: Callable[..., Backend], faulty: Faults, tmp_path: Path, kind: str
    ) -> None:
        """What is found is there; and what cannot be read is not the answer that nothing is there."""
        backend, go = make_backend(), tmp_path / "go"
        tasks = [shell(tmp_path / "out" / str(i), until(go)) for i in range(3)]
        one = submission(tmp_path / "job", tasks, backend)
        known = dict(enumerate(backend.start(one)))
        for token, truth in ((one.token, known), ("cNosuchtoken99", {})):
            POLLS[kind](faulty)
            try:
                found = dict(backend.find(token))
            except BackendError:
                continue  # it is asked again
            finally:
                faulty.clear()
            assert found.items() <= truth.items()
            assert kind not in ("failing", "garbage"), "this was no answer"
        go.touch()
        assert dict(backend.find(one.token)).items() <= known.items()
        wait_until(lambda: len(records(one)) == 3, self.timeout, "all tasks were recorded")
        backend.close()

    def test_a_scheduler_that_is_down_for_a_while_fails_nobody(
        self, make_bench: Callable[..., JobBench], faulty: Faults, tmp_path: Path
    ) -> None:
        """Tasks end meanwhile, and their records tell."""
        bench = make_bench()
        go = tmp_path / "go"
        self._submit(bench, tmp_path, go)
        bench.pump(lambda: len(bench.running("job")) == 3, "all tasks execute")
        faulty.down()
        bench.pump_for(2 * self.patience)
        go.touch()
        self._check(bench, tmp_path)
        faulty.up()

    # Records

    def test_a_late_record_is_waited_for(
        self, make_bench: Callable[..., JobBench], faulty: Faults, tmp_path: Path
    ) -> None:
        """A file system may show it later than the scheduler tells of the end."""
        faulty.delay_records(2.0, times=3)
        self._all_executed_once(make_bench(grace=30.0), tmp_path)

    def test_a_record_that_never_appears_costs_an_attempt(
        self, make_bench: Callable[..., JobBench], faulty: Faults, tmp_path: Path
    ) -> None:
        """After the grace it is lost with its node, and executed again."""
        faulty.delay_records(None)
        bench = make_bench(grace=1.0)
        bench.submit("job", [shell(tmp_path / "out", "true")], retry=AGAIN)
        (status,) = bench.wait("job")
        (task,) = bench.tasks("job")
        assert status.success, task.reason
        assert task.attempt == 2
        assert bench.failures("job") == [FailureKind.NODE_LOST]

    def test_tasks_that_a_scheduler_forgot_have_their_records(
        self, make_bench: Callable[..., JobBench], faulty: Faults, tmp_path: Path
    ) -> None:
        """What it no longer lists may have ended well."""
        bench = make_bench(grace=30.0)
        go = tmp_path / "go"
        self._submit(bench, tmp_path, go)
        bench.pump(lambda: len(bench.running("job")) == 3, "all tasks execute")
        faulty.list_nothing()
        before = faulty.questions()
        bench.pump(lambda: faulty.questions() >= before + 2, "the scheduler was asked again and again")
        go.touch()
        self._check(bench, tmp_path)

    # What happens to tasks

    def test_a_task_that_the_scheduler_queues_again_is_one_attempt(
        self, make_bench: Callable[..., JobBench], faulty: Faults, tmp_path: Path
    ) -> None:
        """It is waited for, and its second execution counts."""
        log, go = tmp_path / "log", tmp_path / "go"
        script = f"echo started >> {quote(str(log))}; {until(go)}"
        bench = make_bench()
        bench.submit("job", [shell(tmp_path / "out", script)])
        bench.pump(log.exists, "the task executes")
        faulty.requeue(bench.identity("job"))
        bench.pump(lambda: log.read_text().count("started") == 2, "the task was started again")
        go.touch()
        (status,) = bench.wait("job")
        (task,) = bench.tasks("job")
        assert status.success, task.reason
        assert (task.state, task.attempt) == (TaskState.COMPLETED, 1)

    @pytest.mark.parametrize(
        ("fault", "kind"),
        [
            (lambda faults, one: faults.crash(one), FailureKind.NODE_LOST),
            (lambda faults, one: faults.exhaust(one), FailureKind.OUT_OF_MEMORY),
            (lambda faults, one: faults.exhaust(one, whole=False), FailureKind.OUT_OF_MEMORY),
        ],
        ids=["the node died", "too much memory, record and all", "too much memory, but for the record"],
    )
    def test_what_killed_a_task_is_told(
        self,
        make_bench: Callable[..., JobBench],
        faulty: Faults,
        tmp_path: Path,
        fault: Callable[[Faults, str], None],
        kind: FailureKind,
    ) -> None:
        """Whether it leaves no record, or one that knows of a signal only: the scheduler's words tell why."""
        bench = make_bench(grace=1.0)
        started = tmp_path / "started"
        bench.submit(
            "job", [shell(tmp_path / "out", f"touch {quote(str(started))}; {until(tmp_path / 'go')}")]
        )
        bench.pump(started.exists, "the task executes")
        fault(faulty, bench.identity("job"))
        bench.wait("job")
        (task,) = bench.tasks("job")
        assert (task.state, task.failure) == (TaskState.FAILED, kind), task.reason
        assert task.reason

    # Help

    def _found_again(self, bench: JobBench, folder: Path) -> None:
        """The tasks wait until they were found: their records would prove that they were accepted."""
        go = folder / "go"
        self._submit(bench, folder, go)
        bench.pump(
            lambda: all(task.scheduler_id or task.failure for task in bench.tasks("job")),
            "their ids are known",
        )
        go.touch()
        self._check(bench, folder)

    def _all_executed_once(self, bench: JobBench, folder: Path) -> None:
        self._submit(bench, folder)
        self._check(bench, folder)

    def _submit(self, bench: JobBench, folder: Path, go: Path | None = None) -> None:
        bench.submit("job", [self._task(folder, i, go) for i in range(3)], retry=AGAIN)

    def _task(self, folder: Path, number: int, go: Path | None) -> TaskSpec:
        log = quote(str(folder / f"log-{number}"))
        wait = until(go) if go else "true"
        return shell(folder / "out" / str(number), f"echo executed >> {log}; {wait}; echo {number} > n",
                     output_patterns=("n",))  # fmt: skip

    def _check(self, bench: JobBench, folder: Path) -> None:
        """Every task succeeded, in its first attempt, and was executed once."""
        (status,) = bench.wait("job")
        tasks = bench.tasks("job")
        assert status.success, [task.reason for task in tasks]
        assert [task.attempt for task in tasks] == [1, 1, 1]
        logs = [(folder / f"log-{number}").read_text() for number in range(3)]
        assert logs == ["executed\n"] * 3
        assert [(path / "n").read_text() for _, path, _ in bench.service.outputs("job")] == [
            f"{number}\n" for number in range(3)
        ]


def until(go: Path) -> str:
    """A line of shell that waits for a file, though not for ever."""
    return f"n=0; until test -e {quote(str(go))} || test $n -gt 3000; do sleep 0.05; n=$((n+1)); done"
