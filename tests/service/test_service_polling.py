"""Waiting for news."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from caf_service import hub
from caf_service.limits import Limits
from service.bench import INPUTS, PATIENCE, Bench, until

AGES = 900.0
"""Who is answered only when the waiting is over is answered after its own patience [s]."""


@pytest.fixture
def slow(start: Callable[..., Bench]) -> Bench:
    """A service where one may wait for ages."""
    return start(limits=Limits(wait=AGES))


def meanwhile(ask: Callable[[], Any]) -> Callable[[], Any]:
    """Ask in a thread; returns what waits for the answer."""
    heard: list[Any] = []
    waiting = threading.Thread(target=lambda: heard.append(ask()), daemon=True)
    waiting.start()

    def answer() -> Any:
        waiting.join(2 * PATIENCE)
        (said,) = heard
        return said

    return answer


def test_a_waiting_worker_hears_of_the_next_step(slow: Bench) -> None:
    calibration = slow.create()
    one, two = slow.workers(calibration)
    one.report(one.work())
    answer = meanwhile(lambda: one.work(1, AGES))
    slow.awaited(hub.STEP, calibration)
    two.report(two.work())
    work = answer()
    assert (work["kind"], work["serial"]) == ("work", 2)


def test_a_poll_in_vain_says_wait(bench: Bench) -> None:
    one, _ = bench.workers(bench.create())
    one.report(one.work())
    begin = time.monotonic()
    assert one.work(1, 0.3) == {"kind": "wait"}
    assert time.monotonic() - begin >= 0.3


def test_a_waiting_worker_hears_of_the_end(slow: Bench) -> None:
    calibration = slow.create()
    one, _ = slow.workers(calibration)
    one.report(one.work())
    answer = meanwhile(lambda: one.work(1, AGES))
    slow.awaited(hub.STEP, calibration)
    slow.ada.post(f"/calibrations/{calibration}/kill")
    assert answer() == {"kind": "end", "reason": "killed", "message": "killed by ada"}
    assert one.post("/worker/heartbeat")["kind"] == "end"


def test_a_view_hears_of_every_change(slow: Bench) -> None:
    calibration = slow.create()
    one, _ = slow.workers(calibration)
    seen = slow.show(calibration)["version_seen"]
    path = f"/calibrations/{calibration}"
    answer = meanwhile(lambda: slow.ada.get(path, params={"seen": seen, "wait": AGES}))
    slow.awaited(hub.VIEW, calibration)
    one.report(one.work())
    assert answer()["reported"] == 1


def test_work_that_the_service_does_not_know_of_is_given_again(bench: Bench) -> None:
    # As after a database was restored from a backup.
    one, _ = bench.workers(bench.create())
    assert one.work(after=1)["serial"] == 1


def test_signs_of_life_are_told(bench: Bench) -> None:
    calibration = bench.create()
    one, _ = bench.workers(calibration)
    assert bench.show(calibration)["crew"] == []
    assert one.post("/worker/heartbeat", {"state": "working", "serial": 1}) == {"kind": "go_on"}
    (told,) = bench.show(calibration)["crew"]
    assert (told["worker"], told["state"], told["serial"]) == (0, "working", 1)
    (crew,) = bench.desk.crews()
    assert crew.seen[0].state == "working"


def test_dead_workers_are_submitted_again_when_the_quorum_needs_them(bench: Bench) -> None:
    calibration = bench.create(workers=4, quorum=0.75, inputs=INPUTS)
    bench.desk.wait(0)
    workers = bench.workers(calibration, range(4))
    workers[0].post("/worker/failure", {"serial": 1, "message": "no disk", "log": "the last line"})
    assert bench.desk.wait(PATIENCE)
    assert bench.desk.crews()[0].resubmit == ()
    bench.desk.died(calibration, {0: "gone", 1: "lost"})
    assert bench.desk.crews()[0].resubmit == (0, 1)
    bench.desk.resubmitted(calibration, [0, 1])
    told = bench.show(calibration)
    assert (told["failures"], told["resubmissions"], told["dead"]) == (2, 1, [])
    kinds = [one["kind"] for one in told["events"]]
    assert kinds == ["created", "failed worker", "resubmit", "died", "resubmitted"]
    assert bench.ada.http.get(f"/calibrations/{calibration}/files/failures/0.txt").text == "the last line"
    bench.desk.died(calibration, {2: "lost", 3: "lost"})
    told = bench.show(calibration)
    assert (told["state"], told["message"]) == (
        "failed",
        "4 workers have failed, as many as there are; the last one, worker 3: lost",
    )


def test_dead_workers_wait_no_longer_than_they_must(start: Any) -> None:
    bench = start(max_wait=0.0)
    calibration = bench.create(workers=4, quorum=0.5)
    bench.desk.died(calibration, {2: "lost"})
    assert bench.desk.crews()[0].resubmit == (2,)


def test_an_agent_that_cannot_submit_ends_the_calibration(bench: Bench) -> None:
    calibration = bench.create()
    bench.desk.note(calibration, "job 7")
    assert bench.desk.crews()[0].job == "job 7"
    bench.desk.broken(calibration, "there is no such queue")
    assert bench.show(calibration)["message"] == "there is no such queue"
    worker = bench.workers(calibration)[0]
    bench.desk.dismissed(calibration)
    assert bench.desk.crews() == []
    worker.get("/worker/work", 401)
    until(lambda: bench.show(calibration)["state"] == "failed")
