"""Observers see everything in order, and nobody waits for them."""

import logging
import threading
from types import SimpleNamespace

import pytest

from caf_core import hookimpl
from caf_core.plugins.observers import Observers
from caf_core.plugins.registry import Registry


def update(*changes):
    return SimpleNamespace(key="job", changes=changes)


class Recorder:
    """Notes what it sees; holds at the first event until it is let go."""

    def __init__(self, *, held=False):
        self.seen = []
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.finished = threading.Event()
        if not held:
            self.go_on.set()

    @hookimpl
    def caf_calibration_state_changed(self, calibration, iteration, old, new, time):
        self.entered.set()
        assert self.go_on.wait(120)
        self.seen.append((calibration, iteration, old, new, time))

    @hookimpl
    def caf_jobs_changed(self, changes):
        self.seen.append([change for one in changes for change in one.changes])

    @hookimpl
    def caf_process_finished(self, success, calibrations):
        self.seen.append((success, calibrations))
        self.finished.set()


@pytest.fixture
def held():
    recorder = Recorder(held=True)
    yield recorder
    recorder.go_on.set()


def test_without_observers_there_is_no_thread():
    before = set(threading.enumerate())
    observers = Observers(Registry())
    observers.state_changed("a", 0, "init", "completed", 1.0)
    assert set(threading.enumerate()) <= before
    assert observers.close(0.0)


def test_a_held_observer_delays_neither_the_poster_nor_other_observers(held):
    quick = Recorder()
    observers = Observers(Registry({"caf-held": held, "caf-quick": quick}))
    observers.state_changed("a", 0, "init", "running_collector", 1.0)
    observers.process_finished(True, {"a": "completed"})
    assert held.entered.wait(120)
    assert quick.finished.wait(120)
    assert quick.seen == [("a", 0, "init", "running_collector", 1.0), (True, {"a": "completed"})]
    assert held.seen == []


def test_job_changes_that_wait_are_given_in_one_batch(held):
    observers = Observers(Registry([held]))
    observers.state_changed("a", 0, "init", "running_collector", 1.0)
    assert held.entered.wait(120)
    for number in range(100):
        observers.jobs_changed([update(number)])
    observers.process_finished(True, {})
    held.go_on.set()
    assert observers.close(120.0)
    assert held.seen == [("a", 0, "init", "running_collector", 1.0), list(range(100)), (True, {})]


def test_overflow_is_counted_and_said_once_and_the_end_still_arrives(held, caplog):
    observers = Observers(Registry({"caf-held": held}), capacity=10)
    observers.state_changed("a", 0, "init", "running_collector", 1.0)
    assert held.entered.wait(120)
    with caplog.at_level(logging.WARNING):
        for number in range(30):
            observers.jobs_changed([update(number)])
        observers.process_finished(True, {})
        assert observers.dropped == 20
        assert caplog.text.count("caf-held is too slow") == 1
        held.go_on.set()
        assert observers.close(120.0)
    assert held.seen[1:] == [list(range(10)), (True, {})]
    assert "20 events for the observer caf-held were dropped" in caplog.text


def test_a_batch_larger_than_the_queue_still_arrives():
    recorder = Recorder()
    observers = Observers(Registry([recorder]), capacity=10)
    observers.jobs_changed([update(*range(50))])
    assert observers.close(120.0)
    assert recorder.seen == [list(range(50))]


def test_a_raising_observer_is_logged_by_name_once_a_hook_and_goes_on(caplog):
    class Raising:
        seen = 0

        @hookimpl
        def caf_jobs_changed(self, changes):
            raise SystemExit("observers may not end the process")

        @hookimpl
        def caf_calibration_state_changed(self, new):
            self.seen += 1
            raise ValueError("no mail server")

    plugin = Raising()
    observers = Observers(Registry({"caf-mail": plugin}))
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            observers.state_changed("a", 0, "init", "completed", 1.0)
            observers.jobs_changed([update(1)])
        assert observers.close(120.0)
    assert plugin.seen == 3
    assert caplog.text.count("the observer caf-mail failed in caf_calibration_state_changed") == 1
    assert caplog.text.count("the observer caf-mail failed in caf_jobs_changed") == 1
    assert "no mail server" in caplog.text


def test_close_names_who_did_not_finish(held, caplog):
    observers = Observers(Registry({"caf-held": held}))
    observers.state_changed("a", 0, "init", "completed", 1.0)
    with caplog.at_level(logging.WARNING):
        assert not observers.close(0.0)
    assert "the observer caf-held did not finish in time" in caplog.text
