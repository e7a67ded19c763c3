"""Random histories: whatever is lost, doubled or late, no task is lost or executed twice; all jobs end."""

from datetime import timedelta
from itertools import count
from types import SimpleNamespace

import pytest
from attrs import define, evolve, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caf_core.jobs.backend import Capabilities, Report, SchedulerState
from caf_core.jobs.effects import Cancel, Reissue, ScanRecords, Search, Settle, SplitTask, Start
from caf_core.jobs.ledger import FailureKind, IntentState, JobRecord, TaskState
from caf_core.jobs.recovery import restore
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.task import Resources
from caf_core.jobs.terms import Terms
from caf_core.jobs.tracker import Tracker

POLLED = Capabilities(array_limit=3, job_limit=None, grace=timedelta(seconds=60))
NOTIFYING = Capabilities(poll_interval=None, grace=timedelta(0), find_again_after=None, needs_script=False)

HAPPENINGS = ["command", "task", "task", "task", "poll", "notify", "time", "tick", "crash"]


@define
class Execution:
    """A task at the scheduler, as it really is."""

    attempt: int
    task: int
    state: str = "queued"
    record: dict | None = None
    visible: bool = False
    listed: bool = True


@define(eq=False)
class World:
    """A scheduler with a shared file system, and a controller that may be killed."""

    draw: object
    terms: Terms
    size: int
    now: float = 1000.0
    tracker: Tracker = None
    submitted: dict = field(factory=dict)  # token -> {position: Execution}
    starts: dict = field(factory=dict)  # token -> Start
    commands: list = field(factory=list)  # commands whose answer is outstanding
    ledger: JobRecord = field(factory=JobRecord)
    effective: dict = field(factory=dict)  # (task, attempt) -> times executed
    tokens: object = field(factory=lambda: map("t{}".format, count()))
    scans: int = 0

    def begin(self):
        self.tracker = Tracker(self.size, self.terms)
        self.tracker.begin()
        self.settle_down()

    # what the shell does

    def settle_down(self):
        while True:
            start = self.tracker.next_submission(None, lambda: next(self.tokens))
            effects = self.tracker.take_effects()
            if start is None and not effects:
                break
            for effect in [*effects, *([start] if start else [])]:
                self.perform(effect)

    def flush(self):
        """What is not written down when the controller dies is forgotten."""
        for change in self.tracker.take_changes():
            old = self.ledger.tasks.get(change.index)
            assert (
                old is None or old.state is not TaskState.COMPLETED or not old.scheduler_id or change == old
            ), "a completed task changed"
            self.ledger.tasks[change.index] = change

    def perform(self, effect):
        match effect:
            case Start(token, tasks, attempts):
                for task, attempt in zip(tasks, attempts, strict=True):
                    for other in self.starts.values():
                        assert (task, attempt) not in list(zip(other.tasks, other.attempts, strict=True))
                self.starts[token] = effect
                intent = SimpleNamespace(token=token, tasks=tasks, attempts=attempts, memory_mb=None)
                self.ledger.intents[token] = (intent, IntentState.INTENDED, ())
                self.commands.append(("start", token))
            case Reissue(token):
                self.commands.append(("start", token))
            case Search(token):
                self.commands.append(("find", token))
            case ScanRecords(token):
                self.commands.append(("scan", token))
            case Cancel(token, ids):
                self.commands.append(("cancel", token))
            case Settle(token, state, ids):
                if state is not IntentState.ISSUED:
                    self.flush()
                intent, _, old = self.ledger.intents[token]
                self.ledger.intents[token] = (intent, state, ids or old)
            case SplitTask():
                raise AssertionError("nothing is split here")

    # what the scheduler does

    def accept(self, token):
        start = self.starts[token]
        executions = self.submitted.setdefault(token, {})
        for position, (task, attempt) in enumerate(zip(start.tasks, start.attempts, strict=True)):
            # The second of two equal submissions finds every claim taken.
            executions.setdefault(position, Execution(attempt, task))

    def answer(self, kind, token, fate):
        tracker, known = self.tracker, self.submitted.get(token, {})
        ids = {position: f"{token}.{position}" for position, task in known.items() if task.listed}
        if kind == "start":
            if fate in ("good", "silent, accepted"):
                self.accept(token)
            if fate == "good":
                tracker.issued(
                    token, [f"{token}.{i}" for i in range(len(self.starts[token].tasks))], self.now
                )
            elif fate == "refused":
                tracker.refused(token, "no such queue", self.now)
            else:
                tracker.doubtful(token, "no answer", self.now)
        elif kind == "find":
            tracker.found(token, ids, self.now) if fate == "good" else tracker.search_failed(token, self.now)
        elif kind == "scan":
            self.scan(token, complete=fate == "good")
        elif kind == "cancel":
            for task in known.values():
                if task.state in ("queued", "running"):
                    task.state = "gone"

    def scan(self, token, complete):
        known = self.submitted.get(token, {})
        records = (
            {p: task.record for p, task in known.items() if task.record and task.visible} if complete else {}
        )
        self.tracker.recorded(token, records, {}, self.now if complete else None, self.now)

    def advance(self, token, position, how):
        task = self.submitted[token][position]
        if how == "requeue" and task.state == "running":
            task.state = "queued"
        elif how == "run" and task.state == "queued":
            task.state = "running"
        elif how in ("succeed", "fail", "vanish") and task.state == "running":
            task.state = "gone"
            if how != "vanish":
                key = (task.task, task.attempt)
                self.effective[key] = self.effective.get(key, 0) + 1
                code = 0 if how == "succeed" else 1
                failure = None if how == "succeed" else "node_lost"
                task.record = {
                    "token": token,
                    "position": position,
                    "attempt": task.attempt,
                    "exit_code": code,
                    "failure": failure,
                }
        elif how == "forget" and task.state == "gone":
            task.listed = False
        elif how == "show":
            task.visible = True

    def report(self, token, position, *, with_record=False):
        task = self.submitted[token][position]
        states = {
            "queued": SchedulerState.QUEUED,
            "running": SchedulerState.RUNNING,
            "gone": SchedulerState.ENDED,
        }
        record = task.record if with_record and task.visible else None
        return Report(states[task.state], record=record)

    def poll(self, complete):
        asked = list(self.tracker.outstanding())
        if not complete:
            return
        answers: dict = {}
        for token, position, _ in asked:
            task = self.submitted.get(token, {}).get(position)
            report = self.report(token, position) if task is not None and task.listed else None
            answers.setdefault(token, {})[position] = report
        for token, reports in answers.items():
            self.tracker.polled(token, reports, self.now)

    def crash(self):
        """The controller dies, a new one starts; outstanding commands may have come through."""
        for kind, token in self.commands:
            if kind == "start" and self.draw(st.booleans()):
                self.accept(token)
        self.commands.clear()
        self.tracker = Tracker(self.size, self.terms)
        restore(self.tracker, self.ledger, (), lambda intent: self.terms.resources, self.now)

    def step(self):
        """One random thing happens."""
        what = self.draw(st.sampled_from(HAPPENINGS))
        places = [(token, position) for token, tasks in self.submitted.items() for position in tasks]
        if what == "command" and self.commands:
            kind, token = self.commands.pop(self.draw(st.integers(0, len(self.commands) - 1)))
            fates = (
                ["good", "good", "silent", "silent, accepted", "refused"]
                if kind == "start"
                else ["good", "bad"]
            )
            self.answer(kind, token, self.draw(st.sampled_from(fates)))
        elif what == "task" and places:
            how = self.draw(
                st.sampled_from(["run", "requeue", "succeed", "fail", "vanish", "forget", "show"])
            )
            self.advance(*self.draw(st.sampled_from(places)), how)
        elif what == "poll" and self.terms.capabilities.poll_interval is not None:
            self.poll(self.draw(st.booleans()))
        elif what == "notify" and places:
            token, position = self.draw(st.sampled_from(places))
            report = self.report(token, position, with_record=True)
            for _ in range(self.draw(st.integers(0, 2))):
                self.tracker.reported(token, {position: report}, self.now)
        elif what == "time":
            self.now += self.draw(st.sampled_from([0.0, 1.0, 50.0, 400.0]))
        elif what == "crash":
            self.crash()
        self.tracker.tick(self.now)
        self.settle_down()
        if self.draw(st.booleans()):
            self.flush()

    def finish(self):
        """From now on everything works, and the job must end."""
        for _ in range(400):
            if self.tracker.ended:
                self.flush()
                return
            self.now += 31.0
            while self.commands:
                self.answer(*self.commands.pop(0), "good")
                self.settle_down()
            for token, tasks in self.submitted.items():
                for position in tasks:
                    for how in ("run", "succeed", "show", "forget"):
                        self.advance(token, position, how)
            self.poll(complete=self.terms.capabilities.poll_interval is not None)
            self.settle_down()
            self.tracker.tick(self.now)
            self.settle_down()
        raise AssertionError(f"the job does not end: {self.tracker.counts()}, {self.tracker.open}")


@pytest.mark.parametrize("capabilities", [POLLED, NOTIFYING], ids=["polled", "notifying"])
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(data=st.data())
def test_random_history(capabilities, data):
    terms = Terms(capabilities, Resources(), RetryPolicy())
    world = World(data.draw, terms, size=data.draw(st.integers(0, 7)))
    world.begin()
    for _ in range(data.draw(st.integers(0, 40))):
        world.step()
    world.finish()

    rows = world.tracker
    for index in range(world.size):
        change = rows.change(index)
        assert change.state in (TaskState.COMPLETED, TaskState.FAILED)
        place = rows.place(index)
        record = world.submitted.get(place[0], {}).get(place[1], SimpleNamespace(record=None)).record
        if change.state is TaskState.COMPLETED:
            assert record is not None and record["exit_code"] == 0 and record["attempt"] == change.attempt
            assert not any(i == index and a > change.attempt for i, a in world.effective), (
                "it was executed again"
            )
        else:
            assert change.failure is not None
            # It failed for good only after as many attempts as the policy grants, or because it was refused.
            assert change.failure is FailureKind.SUBMISSION or change.attempt == 3
    assert all(times == 1 for times in world.effective.values())
    # (The id of a task that ended before its submission was found may have been lost in a crash.)
    told = {index: evolve(change, scheduler_id="") for index, change in world.ledger.tasks.items()}
    assert told == {index: evolve(rows.change(index), scheduler_id="") for index in range(world.size)}
    assert all(state is not IntentState.INTENDED for _, state, _ in world.ledger.intents.values())
