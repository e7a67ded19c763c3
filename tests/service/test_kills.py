"""A service, its agent and its workers are killed in the midst of a calibration: ``caf service start`` in a
process of its own, workers on Local.

Nothing here depends on how fast the machine is: kills wait for what they are to hit, and the last steps of a
calibration wait until the last kill was done.
"""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import sqrt
from pathlib import Path
from typing import Any

import pytest

from caf_core.testing.bench import wait_until
from caf_service.client import Client
from caf_service.store.thread import StoreThread
from service.rig import ServiceProcess, use_plans

LIMIT = 1200.0
"""So long may anything take that a test waits for [s]."""


@contextmanager
def started(home: Path, database: str, **setup: str) -> Iterator[tuple[ServiceProcess, Client]]:
    """A service with its agent in a process of its own; its workers end with it."""
    setup |= {"database": database} if database else {}
    service = ServiceProcess.make(home / "service", **setup)
    service.start()
    try:
        with service.client() as client:
            yield service, client
            wait_until(lambda: not all_workers(service, client), LIMIT, "the workers are gone")
    finally:
        service.stop()


def all_workers(service: ServiceProcess, client: Client) -> list[int]:
    """The workers that execute, of whatever calibration."""
    return [pid for one in client.statuses() for pid in service.pids(one["id"]).values()]


def result_of(client: Client, calibration: int, folder: Path) -> dict[str, bytes]:
    """The files of a result: constants, records of the steps, and what the plan left."""
    unpacked = client.get_result(calibration, folder)
    return {
        file.relative_to(unpacked).as_posix(): file.read_bytes()
        for file in sorted(unpacked.rglob("*"))
        if file.is_file()
    }


def written_results(service: ServiceProcess, database: str, calibration: int) -> list[Any]:
    """What the service has written down about every result: serial, worker, whether it was late."""
    thread = StoreThread(service.data, database)
    try:
        last = thread.do(lambda store: store.snapshot(calibration).serial)
        return [
            (serial, one.worker, one.late)
            for serial in range(1, last + 2)
            for one in thread.do(lambda store, serial=serial: store.results(calibration, serial))
        ]
    finally:
        thread.close()


class Killer:
    """Kills a service at random moments: while it starts, while workers report, while updates are made."""

    def __init__(self, service: ServiceProcess, client: Client, calibration: int, last: int) -> None:
        self._service, self._client = service, client
        self._calibration, self._last = calibration, last
        self._draw = random.Random(20)
        self._serial = 0

    def kill(self) -> None:
        """Wait for something to hit, kill the service, and start it again."""
        if self._draw.random() < 0.75:
            # Some step has passed since the last time, as long as there are some that do not wait for us.
            beyond = min(self._serial + 1, self._last)
            wait_until(lambda: self._now() >= beyond, LIMIT, f"step {beyond} has begun")
            self._serial = self._now()
        time.sleep(self._draw.uniform(0.0, 0.6))  # wherever it is then
        self._service.kill()
        self._service.start()

    def _now(self) -> int:
        return int(self._client.status(self._calibration)["serial"])


def disturb(home: Path, database: str, *, kills: int, rounds: int) -> None:
    """Kill the service, agent included, again and again; nothing of that shows in the result."""
    workers, gate, last = 4, home / "gate", 3 * rounds
    settings = {"seconds": 0.1, "rounds": rounds, "gate": str(gate), "gate_after": last - 1}
    with started(home, database) as (service, client):
        number = client.create_calibration("toy", workers=workers, quorum=1.0, settings=settings).id
        killer = Killer(service, client, number, last)
        for _ in range(kills):
            killer.kill()
        assert client.status(number)["state"] in ("running", "updating")
        assert service.starts == kills + 1
        gate.touch()
        status = client.wait(number, LIMIT)
        assert (status["state"], status["message"]) == ("finished", "")
        assert (status["failures"], status["resubmissions"]) == (0, 0)
        assert [(one["used"], one["missing"], one["late"]) for one in status["steps"]] == [
            (workers, [], 0)
        ] * last
        calm = client.create_calibration("toy", workers=workers, quorum=1.0, settings=settings).id
        assert client.wait(calm, LIMIT)["state"] == "finished"
        assert result_of(client, number, home / "disturbed") == result_of(client, calm, home / "calm")
    # Every result is there, and none counts twice.
    everything = [(serial, worker, False) for serial in range(1, last + 1) for worker in range(workers)]
    assert sorted(written_results(service, database, number)) == everything


def test_a_service_that_is_killed_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    use_plans(monkeypatch)
    disturb(tmp_path, database, kills=3, rounds=3)


@pytest.mark.slow
def test_a_service_that_is_killed_twenty_times_finds_the_same_constants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    use_plans(monkeypatch)
    disturb(tmp_path, database, kills=20, rounds=10)


# Workers

WORKERS, QUORUM, VICTIMS, AGAIN = 20, 0.9, 6, 5
"""30 % of the workers die, and some of these again; as many deaths as there are workers would end it."""
SPARE = 2
"""So many may be dead while the quorum is within reach."""
EVENTS, TRUTH, WIDTH = 50, 91.2, 2.5
"""A worker's events: their number, mean and width."""
ROUNDS = 12


def events(home: Path) -> tuple[list[Path], float, float]:
    """A file of events for each worker; with their mean and their width."""
    draw, files, drawn = random.Random(1), [], []
    for number in range(WORKERS):
        own = [draw.gauss(TRUTH, WIDTH) for _ in range(EVENTS)]
        drawn += own
        files.append(home / f"events-{number:02d}.txt")
        files[-1].write_text("\n".join(map(repr, own)))
    mean = sum(drawn) / len(drawn)
    return files, mean, sqrt(sum((one - mean) ** 2 for one in drawn) / len(drawn))


def kill_workers(service: ServiceProcess, client: Client, calibration: int) -> int:
    """Kill workers at random moments, some repeatedly; returns how many kills there were."""
    draw = random.Random(30)
    victims = draw.sample(range(WORKERS), VICTIMS)
    for victim in victims:
        wait_until(
            lambda victim=victim: victim in service.pids(calibration), LIMIT, f"worker {victim} executes"
        )
        kill_one(service, calibration, victim, draw)
    for done in range(VICTIMS, VICTIMS + AGAIN):
        # All deaths are known, and most of the dead were submitted again: one of these dies once more.
        deaths(client, calibration, done)
        wait_until(lambda: len(dead(client, calibration)) <= SPARE, LIMIT, "dead workers come again")
        victim = draw.choice(sorted(set(victims) - dead(client, calibration)))
        wait_until(
            lambda victim=victim: victim in service.pids(calibration), LIMIT, f"worker {victim} comes again"
        )
        kill_one(service, calibration, victim, draw)
    deaths(client, calibration, VICTIMS + AGAIN)
    return VICTIMS + AGAIN


def kill_one(service: ServiceProcess, calibration: int, victim: int, draw: random.Random) -> None:
    """Kill a worker that executes."""
    time.sleep(draw.uniform(0.0, 0.6))  # whatever it does then
    os.kill(service.pids(calibration)[victim], signal.SIGKILL)


def dead(client: Client, calibration: int) -> set[int]:
    """The workers that died and were not submitted again."""
    return set(client.status(calibration)["dead"])


def deaths(client: Client, calibration: int, many: int) -> None:
    """Wait until so many deaths were counted."""
    wait_until(lambda: client.status(calibration)["failures"] >= many, LIMIT, f"{many} deaths are known")


@pytest.mark.slow
def test_a_third_of_the_workers_is_killed_at_random(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    use_plans(monkeypatch)
    files, mean, width = events(tmp_path)
    gate = tmp_path / "gate"
    settings = {"rounds": ROUNDS, "gate": str(gate), "gate_after": ROUNDS - 2}
    asked: dict[str, Any] = {"workers": WORKERS, "inputs": {"events": files}, "settings": settings}
    # Nobody is submitted again for having waited for long, but when the rest are too few.
    with started(tmp_path, database, max_wait="86400") as (service, client):
        number = client.create_calibration("mean", quorum=QUORUM, **asked).id
        kills = kill_workers(service, client, number)
        gate.touch()
        status = client.wait(number, LIMIT)
        assert (status["state"], status["message"]) == ("finished", "")
        check_record(status, kills)
        calm = client.create_calibration("mean", quorum=1.0, **asked).id
        assert client.wait(calm, LIMIT)["state"] == "finished"
        disturbed, undisturbed = (client.parameters(one)["mean"] for one in (number, calm))
    assert undisturbed == pytest.approx(mean * (1 - 0.5**ROUNDS), rel=1e-12)
    # The mean of n events out of N is off that of all by width * sqrt(1/n - 1/N), and what is found is an
    # average of such means. Five times that does not come by chance.
    fewest = min(one["used"] for one in status["steps"]) * EVENTS
    tolerance = 5 * width * sqrt(1 / fewest - 1 / (WORKERS * EVENTS))
    assert abs(disturbed - undisturbed) <= tolerance
    assert tolerance < 0.5 * width
    assert abs(disturbed - TRUTH) < 5 * width / sqrt(fewest)


def check_record(status: Any, kills: int) -> None:
    """Every death is counted, resubmissions were made in bulk, and steps name who was missing."""
    needed = WORKERS - SPARE
    assert (status["needed"], status["failures"]) == (needed, kills)
    assert all(needed <= one["used"] <= WORKERS for one in status["steps"])
    assert all(len(one["missing"]) == WORKERS - one["used"] for one in status["steps"])
    again = [one["text"] for one in status["events"] if one["kind"] == "resubmitted"]
    sizes = [int(text.split()[0]) for text in again]
    assert len(sizes) == status["resubmissions"]
    assert sizes
    assert all(size > SPARE for size in sizes)
    # The last ones did not become too many.
    assert kills - sum(sizes) in range(SPARE + 1)
