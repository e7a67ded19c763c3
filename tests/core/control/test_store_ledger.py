"""The ledger in the checkpoint store says what the ledger in memory says."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caf_core.control.store.ledger import StoreLedger
from caf_core.control.store.store import CheckpointStore
from caf_core.jobs.ledger import FailureKind, Intent, IntentState, MemoryLedger, TaskChange, TaskState

JOBS = st.sampled_from(["a/0/x", "b/1/y z"])
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
TIMES = st.none() | st.floats(0, 1e10)

CHANGES = st.builds(
    TaskChange,
    index=st.integers(0, 4),
    state=st.sampled_from(TaskState),
    attempt=st.integers(0, 3),
    token=TEXT,
    scheduler_id=TEXT,
    failure=st.none() | st.sampled_from(FailureKind),
    exit_code=st.none() | st.integers(-64, 255),
    host=TEXT,
    peak_memory_mb=TIMES,
    started=TIMES,
    ended=TIMES,
    reason=TEXT,
    outputs=st.none() | st.lists(TEXT, max_size=3).map(tuple),
)
STEPS = st.one_of(
    st.tuples(
        st.just("intend"), JOBS, st.lists(st.integers(0, 4), max_size=3), st.none() | st.integers(1, 9)
    ),
    st.tuples(st.just("settle"), st.integers(0, 5), st.sampled_from(IntentState), st.lists(TEXT, max_size=2)),
    st.tuples(st.just("change"), JOBS, st.lists(CHANGES, max_size=3)),
    st.tuples(st.just("reopen")),
)


@settings(max_examples=20, deadline=None)
@given(st.lists(STEPS, max_size=12))
def test_both_ledgers_agree(tmp_path_factory, steps) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    clock = iter(range(1000)).__next__
    memory, store = MemoryLedger(), CheckpointStore(folder)
    ledger, tokens = StoreLedger(store, clock=clock), []
    for kind, *rest in steps:
        if kind == "intend":
            job, tasks, memory_mb = rest
            tokens.append(f"t{len(tokens)}")
            attempts = tuple(1 for _ in tasks)
            intent = Intent(tokens[-1], job, "local", Path("/d ü"), tuple(tasks), attempts, memory_mb)
            memory.intend(intent)
            ledger.intend(intent)
        elif kind == "settle" and tokens:
            number, state, ids = rest
            for one in (memory, ledger):
                one.settle(tokens[number % len(tokens)], state, ids)
        elif kind == "change":
            for one in (memory, ledger):
                one.change(*rest)
        elif kind == "reopen":
            store.close()
            store = CheckpointStore(folder)
            ledger = StoreLedger(store, clock=clock)
    for job in ("a/0/x", "b/1/y z", "never seen"):
        assert ledger.load(job) == memory.load(job)
        assert list(ledger.load(job).intents) == list(memory.load(job).intents)
    store.close()


@pytest.mark.parametrize("state", [TaskState.FAILED, TaskState.COMPLETED])
def test_every_attempt_that_ended_is_kept(tmp_path, state) -> None:
    store = CheckpointStore(tmp_path)
    ledger = StoreLedger(store)
    ledger.change("j", [TaskChange(0, TaskState.RUNNING, 1)])
    ledger.change("j", [TaskChange(0, TaskState.FAILED, 1, exit_code=3), TaskChange(0, state, 2)])
    rows = [(row.attempt, row.state) for row in store.models.Attempt.select()]
    assert rows == [(1, "failed"), (2, str(state))]
    assert ledger.load("j").tasks[0].attempt == 2
    store.close()
