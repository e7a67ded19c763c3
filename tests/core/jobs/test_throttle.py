"""How many tasks may be handed over: limits, other jobs of the user, rates."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from caf_core.jobs.backend import Capabilities
from caf_core.jobs.throttle import Throttle


def test_without_limits_there_is_always_room():
    throttle = Throttle(Capabilities())
    assert throttle.room(10_000, 10_000, 0.0) is None
    assert not throttle.wants_count(0.0)


def test_nothing_is_submitted_before_the_first_count():
    throttle = Throttle(Capabilities(job_limit=100))
    assert throttle.wants_count(0.0)
    assert throttle.room(0, 10, 0.0) == 0
    throttle.counted(30, 0, 0.0)
    assert throttle.room(0, 1_000, 0.0) == 70


def test_who_cannot_be_counted_is_not_there():
    throttle = Throttle(Capabilities(job_limit=100))
    throttle.counted(None, 0, 0.0)
    assert throttle.room(0, 1_000, 0.0) == 100
    throttle.counted(40, 10, 60.0)
    throttle.counted(None, 10, 120.0)  # the last count stands
    assert throttle.room(10, 1_000, 120.0) == 60


def test_counts_have_their_distance():
    throttle = Throttle(Capabilities(job_limit=100, check_interval=timedelta(seconds=30)))
    throttle.counting = True
    assert not throttle.wants_count(0.0)
    throttle.counted(0, 0, 5.0)
    assert not throttle.wants_count(34.0)
    assert throttle.wants_count(35.0)
    assert throttle.deadline() == 35.0


def test_only_so_many_between_two_counts():
    throttle = Throttle(Capabilities(job_limit=1_000, jobs_per_check=100))
    throttle.counted(0, 0, 0.0)
    assert throttle.room(0, 500, 0.0) == 100
    throttle.started(100, 0.0)
    assert throttle.room(100, 400, 1.0) == 0
    throttle.counted(100, 100, 30.0)
    assert throttle.room(100, 400, 30.0) == 100


def test_submissions_have_their_distance():
    throttle = Throttle(Capabilities(submission_interval=timedelta(seconds=2)))
    assert throttle.room(0, 5, 10.0) is None
    throttle.started(5, 10.0)
    assert throttle.room(5, 5, 11.9) == 0
    assert throttle.deadline() == 12.0
    assert throttle.room(5, 5, 12.0) is None


@given(
    limit=st.integers(1, 100),
    others=st.integers(0, 200),
    ours=st.integers(0, 100),
    waiting=st.integers(1, 300),
)
def test_the_limit_is_never_passed(limit, others, ours, waiting):
    throttle = Throttle(Capabilities(job_limit=limit))
    throttle.counted(others + ours, ours, 0.0)
    room = throttle.room(ours, waiting, 0.0)
    assert room is not None
    assert room >= 0
    assert room == 0 or ours + others + room <= limit
