"""The inbox that loops wait at: nothing is lost, and every wait ends."""

import os
import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from caf_core.clock import steady
from caf_core.jobs.inbox import Inbox

LIMIT = 30.0


@contextmanager
def alarm(handler, after, again=0.0):
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, after, again)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_wait_that_is_interrupted_until_its_time_is_over_ends():
    """queue.SimpleQueue goes on with a negative time here, which means for ever (Python 3.11 and 3.12)."""
    began = monotonic()

    def handle(*_):
        while monotonic() < began + 0.1:  # until the reader's time is over
            pass
        if monotonic() > began + LIMIT:
            pytest.fail("it waits for ever")

    with alarm(handle, 0.01, 1.0):
        assert Inbox().get(0.05) is None
    assert 0.05 <= monotonic() - began < LIMIT


def test_a_wait_that_is_woken_for_nothing_goes_on_and_ends():
    inbox = Inbox()
    inbox.put("first")
    assert inbox.get(0) == "first"  # taken without waiting: the wake-up of its put is still there
    began = monotonic()
    assert inbox.get(0.05) is None
    assert monotonic() - began >= 0.05


def test_it_is_filled_by_a_signal_handler_while_its_reader_waits_and_while_it_does_not():
    inbox = Inbox()
    with alarm(lambda *_: inbox.put("signal"), 0.001):
        assert inbox.get(LIMIT) == "signal"
    count = 0

    def handle(*_):
        nonlocal count
        count += 1
        inbox.put(count)

    with alarm(handle, 0.0005, 0.0005):
        found = [inbox.get(LIMIT) for _ in range(200)]
    assert found == list(range(1, 201))


def test_a_signal_that_another_thread_received_ends_the_wait():
    """The kernel may choose any thread; only the main one calls the handler, and it waits for the inbox."""
    inbox = Inbox()
    main = Path(f"/proc/self/task/{os.getpid()}/stat")

    def receive():
        calm = 0
        while calm < 100:
            calm = calm + 1 if main.read_text().rpartition(")")[2].split()[0] == "S" else 0
            os.sched_yield()
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: inbox.put("signal"))
    try:
        threading.Thread(target=receive).start()
        assert inbox.get() == "signal"
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_what_many_threads_put_comes_out_once_and_in_the_order_of_each():
    inbox = Inbox()
    threads = [
        threading.Thread(target=lambda name=name: [inbox.put((name, number)) for number in range(2_000)])
        for name in range(4)
    ]
    for thread in threads:
        thread.start()
    found = [inbox.get(LIMIT) for _ in range(8_000)]
    for name in range(4):
        assert [number for owner, number in found if owner == name] == list(range(2_000))
    assert inbox.empty() and inbox.get(0) is None and inbox.get(-1.0) is None


def test_the_steady_time_does_not_follow_the_wall_clock(monkeypatch):
    before = steady()
    for jump in (-86_400.0, 86_400.0):
        monkeypatch.setattr("time.time", lambda jump=jump: before + jump)
        assert 0 <= steady() - before < LIMIT
