"""What a failure brings."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.jobs.ledger import FailureKind
from caf_core.jobs.retry import Remedy, RetryPolicy, Rule
from caf_core.jobs.task import Resources

DEFAULT = RetryPolicy()
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("kind", "attempts_in_all"),
    [
        (FailureKind.EXIT_CODE, 1),
        (FailureKind.BAD_OUTPUT, 1),
        (FailureKind.CANCELLED, 1),
        (FailureKind.NODE_LOST, 3),
        (FailureKind.SUBMISSION, 3),
        (FailureKind.DISK, 2),
        (FailureKind.HELD, 2),
        (FailureKind.OUT_OF_MEMORY, 3),
        (FailureKind.WALLTIME, 3),
    ],
)
def test_default_number_of_attempts(kind, attempts_in_all):
    resources = Resources(memory_mb=1000, walltime=HOUR)
    granted = 1
    while DEFAULT.decide(kind, granted, resources).remedy is Remedy.AGAIN:
        granted += 1
    assert granted == attempts_in_all


def test_more_memory_by_half_up_to_the_cap():
    policy = RetryPolicy(memory_cap_mb=2000)
    first = policy.decide(FailureKind.OUT_OF_MEMORY, 1, Resources(memory_mb=1000))
    assert first.resources.memory_mb == 1501
    second = policy.decide(FailureKind.OUT_OF_MEMORY, 2, first.resources)
    assert second.resources.memory_mb == 2000
    patient = policy.with_rule(FailureKind.OUT_OF_MEMORY, Rule(Remedy.MORE_MEMORY, attempts=10))
    assert patient.decide(FailureKind.OUT_OF_MEMORY, 3, second.resources).remedy is Remedy.NOTHING


def test_memory_that_nobody_asked_for_starts_from_what_was_used():
    assert DEFAULT.decide(FailureKind.OUT_OF_MEMORY, 1, Resources()).remedy is Remedy.NOTHING
    used = DEFAULT.decide(FailureKind.OUT_OF_MEMORY, 1, Resources(), peak_memory_mb=4000.0)
    assert used.resources.memory_mb == 6001


def test_more_time():
    more = DEFAULT.decide(FailureKind.WALLTIME, 1, Resources(walltime=HOUR))
    assert more.resources.walltime == 2 * HOUR
    assert DEFAULT.decide(FailureKind.WALLTIME, 1, Resources()).remedy is Remedy.NOTHING


def test_splitting_goes_on_until_one_file_is_left():
    policy = DEFAULT.with_rule(FailureKind.EXIT_CODE, Rule(Remedy.SPLIT))
    assert policy.decide(FailureKind.EXIT_CODE, 1, Resources(), files=2).remedy is Remedy.SPLIT
    assert policy.decide(FailureKind.EXIT_CODE, 1, Resources(), files=1).remedy is Remedy.NOTHING


def test_a_file_that_is_alone_has_its_attempts():
    policy = RetryPolicy.isolating(1, attempts=2)
    for kind in (FailureKind.EXIT_CODE, FailureKind.BAD_OUTPUT):
        assert policy.decide(kind, 9, Resources(), files=2).remedy is Remedy.SPLIT
        assert policy.decide(kind, 1, Resources(), files=1).remedy is Remedy.AGAIN
        assert policy.decide(kind, 2, Resources(), files=1).remedy is Remedy.NOTHING


def test_credentials_are_waited_for():
    decision = DEFAULT.decide(FailureKind.CREDENTIALS, 1, Resources())
    assert (decision.remedy, decision.delay) == (Remedy.AGAIN, 600.0)


@given(st.sampled_from(FailureKind), st.integers(1, 200), st.integers(1, 10**6), st.floats(1, 1e6))
def test_it_always_ends_and_never_asks_for_less(kind, attempts, memory, seconds):
    asked = Resources(memory_mb=memory, walltime=timedelta(seconds=seconds))
    decision = DEFAULT.decide(kind, attempts, asked)
    assert decision.resources.memory_mb >= memory
    assert decision.resources.walltime >= asked.walltime
    assert DEFAULT.decide(kind, 100, asked).remedy is Remedy.NOTHING
    assert RetryPolicy.never().decide(kind, attempts, asked).remedy is Remedy.NOTHING
