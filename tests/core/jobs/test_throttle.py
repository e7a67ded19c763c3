"""How many tasks may be handed over: limits, other jobs of the user, rates."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from caf_core.jobs.agenda import NEVER
from caf_core.jobs.backend import Capabilities
from caf_core.jobs.throttle import Throttle


def counted(number, now=0.0, **limits):
    """A throttle after its first count."""
    throttle = Throttle(Capabilities(**limits))
    throttle.ask()
    throttle.counted(number, now)
    return throttle


def test_without_limits_there_is_always_room():
    throttle = Throttle(Capabilities())
    assert throttle.room(10_000, 10_000, 0.0) is None
    assert not throttle.wants_count(0.0)


def test_nothing_is_submitted_before_the_first_count():
    throttle = Throttle(Capabilities(job_limit=100))
    assert throttle.wants_count(0.0)
    assert throttle.room(0, 10, 0.0) == 0
    throttle.ask()
    throttle.counted(30, 0.0)
    assert throttle.room(0, 1_000, 0.0) == 70


def test_where_nobody_can_count_our_own_tasks_are_taken():
    throttle = counted(None, job_limit=100)
    assert throttle.room(40, 1_000, 0.0) == 60


def test_a_count_that_fails_leaves_the_last_one():
    throttle = counted(40, job_limit=100)
    throttle.started(20, 1.0)
    throttle.ask()
    throttle.counted(None, 60.0)
    assert throttle.room(20, 1_000, 60.0) == 40


def test_counts_have_their_distance():
    throttle = Throttle(Capabilities(job_limit=100, check_interval=timedelta(seconds=30)))
    throttle.ask()
    assert not throttle.wants_count(0.0)
    throttle.counted(0, 5.0)
    assert not throttle.wants_count(34.0)
    assert throttle.wants_count(35.0)
    assert throttle.deadline() == 35.0


def test_what_is_submitted_while_the_count_is_out_is_not_in_it():
    throttle = counted(0, job_limit=100)
    throttle.ask()
    throttle.started(30, 1.0)
    throttle.counted(0, 2.0)
    assert throttle.room(30, 1_000, 2.0) == 70


def test_tasks_that_have_ended_unnoticed_make_no_others_vanish():
    """Two of ours were counted no more, because they had ended; the three others are still there."""
    throttle = counted(3, job_limit=5)
    throttle.started(2, 0.0)
    throttle.ask()
    throttle.counted(3, 30.0)
    assert throttle.room(2, 10, 30.0) == 2
    throttle.started(2, 30.0)
    assert throttle.room(2, 10, 31.0) == 0


def test_tasks_that_have_ended_there_and_are_not_known_to_have_take_room():
    throttle = counted(0, job_limit=5)
    assert throttle.room(2, 10, 0.0) == 3


def test_only_so_many_between_two_counts():
    throttle = counted(0, job_limit=1_000, jobs_per_check=100)
    assert throttle.room(0, 500, 0.0) == 100
    throttle.started(100, 0.0)
    assert throttle.room(100, 400, 1.0) == 0
    throttle.ask()
    throttle.counted(100, 30.0)
    assert throttle.room(100, 400, 30.0) == 100


def test_submissions_have_their_distance():
    throttle = Throttle(Capabilities(submission_interval=timedelta(seconds=2)))
    assert throttle.room(0, 5, 10.0) is None
    throttle.started(5, 10.0)
    assert throttle.room(5, 5, 11.9) == 0
    assert throttle.deadline() == 12.0
    assert throttle.room(5, 5, 12.0) is None
    assert throttle.deadline() == NEVER


def test_a_full_system_is_not_looked_at_all_the_time():
    second = timedelta(seconds=1)
    throttle = counted(5, job_limit=5, submission_interval=second, check_interval=30 * second)
    throttle.started(0, 0.0)
    assert throttle.room(5, 5, 0.5) == 0
    assert throttle.deadline() == 1.0
    assert throttle.room(5, 5, 2.0) == 0
    assert throttle.deadline() == 30.0


@given(
    limit=st.integers(1, 100),
    number=st.integers(0, 200),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=10),
)
def test_the_limit_is_never_passed(limit, number, steps):
    """Against a model of the system in which nothing ever ends: the largest that it may hold."""
    throttle = counted(number, job_limit=limit)
    system = number
    for recount, waiting in steps:
        if recount:
            throttle.ask()
            throttle.counted(system, 0.0)
        room = throttle.room(system - number, waiting, 0.0)
        assert room is not None
        count = min(room, waiting)
        assert count >= 0
        if count:
            system += count
            throttle.started(count, 0.0)
            assert system <= limit
