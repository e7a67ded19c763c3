"""A service that is killed at any moment goes on where it was."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from caf_core.errors import ConfigurationError
from caf_service.config import ServiceConfig
from caf_service.creating import Wish
from caf_service.service import Service, open_accounts
from ports import free_port
from service.bench import INPUTS, ROOT, Worker, until, wish
from service.rig import LIMIT

HERE = Path(__file__).parent


class Killable:
    """A service in a process of its own, always on the same port."""

    def __init__(self, data: Path, database: str) -> None:
        self.config = ServiceConfig(data=data, database=database)
        with open_accounts(self.config) as accounts:
            self.ada, self.robot = accounts.ensure("ada"), accounts.ensure("robot", "agent")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[Patient] = []

    def patient(self, token: str, number: int = 0) -> "Patient":
        """Somebody who waits for the service while it is away."""
        client = Patient(self.url, token)
        client.number = number
        self._clients.append(client)
        return client

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def close(self) -> None:
        for client in self._clients:
            client.http.close()
        self.kill()

    def start(self) -> None:
        command = [sys.executable, str(HERE / "serve.py"), str(self.config.data), str(self.port)]
        path = os.pathsep.join([str(HERE.parent), *sys.path])
        self._process = subprocess.Popen(
            [*command, self.config.database], env={**os.environ, "PYTHONPATH": path}
        )

    def kill(self, number: int = signal.SIGKILL) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(LIMIT)


@contextmanager
def killable(data: Path, database: str) -> Iterator[Killable]:
    service = Killable(data, database)
    service.start()
    try:
        yield service
    finally:
        service.close()


class Patient(Worker):
    """A worker that waits for a service that is away."""

    def ask(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                return super().ask(method, path, status, **more)
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def live(self, go_on: threading.Event, held: int) -> None:
        """Work; from step ``held`` on when it is allowed."""
        after = 0
        while (work := self.work(after, 20))["kind"] != "end":
            if work["kind"] == "work":
                if work["serial"] >= held:
                    go_on.wait()
                self.report(work)
                after = work["serial"]


FREE = threading.Event()
"""Is set: nothing is held."""
FREE.set()


def calibrate(
    service: Killable,
    workers: int,
    settings: dict[str, Any],
    go_on: threading.Event = FREE,
    held: int = 0,
) -> tuple[int, list[threading.Thread]]:
    ada, robot = service.patient(service.ada), service.patient(service.robot)
    asked = wish(workers=workers, settings=settings, key="once")
    calibration = ada.ask("POST", "/calibrations", 201, json=asked)["id"]
    tokens = robot.post(f"/agent/{calibration}/tokens", {"workers": list(range(workers))})["tokens"]
    crew = [service.patient(token, int(number)) for number, token in tokens.items()]
    threads = [threading.Thread(target=one.live, args=(go_on, held), daemon=True) for one in crew]
    return calibration, threads


def outcome(service: Killable, calibration: int) -> tuple[Any, Any]:
    ada = service.patient(service.ada)
    told = ada.get(f"/calibrations/{calibration}")
    assert told["state"] == "finished", told["message"]
    kept = service.config.data / "calibrations" / str(calibration)
    parameters = json.loads((kept / "result" / "parameters.json").read_text())
    return parameters, [(one["serial"], one["used"], one["metrics"]) for one in told["steps"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("database", "seed"),
    [
        pytest.param("sqlite", 0),
        pytest.param("sqlite", 1),
        pytest.param("postgresql", 2, marks=pytest.mark.postgresql),
    ],
    indirect=["database"],
)
def test_killing_the_service_changes_nothing(tmp_path: Path, database: str, seed: int) -> None:
    settings = {"start": 0.2, "mode": "slow", "sleep": 0.2, "accuracy": 0.0001}
    dice = random.Random(seed)
    with killable(tmp_path / "service", database) as service:
        last = len(expected(settings["start"], settings["accuracy"], 4)[1])
        go_on = threading.Event()
        calibration, crew = calibrate(service, 4, settings, go_on, last)
        for one in crew:
            one.start()
        for kills in range(1, 21):
            # It lives for a while, or dies as soon as it listens.
            service.patient(service.ada).get("/health")
            crew[0].join(dice.uniform(0.0, 1.0))
            service.kill()
            if kills % 5 == 0:
                (service.config.data / "incoming" / "half.part").write_bytes(b"half")
            service.start()
        go_on.set()
        for one in crew:
            one.join(LIMIT)
            assert not one.is_alive()
        disturbed = outcome(service, calibration)
        assert list((service.config.data / "incoming").iterdir()) == []
        assert not (service.config.data / "calibrations" / str(calibration) / "scratch").exists()
    assert disturbed == expected(settings["start"], settings["accuracy"], 4)


def expected(start: float, fine: float, workers: int) -> tuple[Any, Any]:
    """What an undisturbed calibration finds, computed here."""
    scale, history, steps = start, [], []
    phases = [("coarse", 0.05, []), ("fine", fine, ["coarse"]), ("last", 0.5, [])]
    everybody = list(range(workers))
    for _, accuracy, earlier in phases:
        converged = False
        while not converged:
            pull = sum([(1.0 - scale) * 0.5] * workers) / workers
            scale += pull
            serial = len(steps) + 1
            history.append([serial, everybody, dict.fromkeys(earlier, everybody)])
            steps.append((serial, workers, {"pull": pull}))
            converged = abs(pull) < accuracy
    return {"scale": scale, "history": history}, steps


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_update_is_made_again(tmp_path: Path, database: str, number: int) -> None:
    with killable(tmp_path / "service", database) as service:
        gate = tmp_path / "gate"
        calibration, _ = calibrate(service, 1, {"start": 0.5, "mode": "gated", "gate": str(gate)})
        robot, ada = service.patient(service.robot), service.patient(service.ada)
        tokens = robot.post(f"/agent/{calibration}/tokens", {"workers": [0]})["tokens"]
        worker = service.patient(tokens["0"])
        worker.report(worker.work())
        until(lambda: ada.get(f"/calibrations/{calibration}")["state"] == "updating")
        service.kill(number)  # and wait until it has ended, whatever the update waits for
        gate.touch()
        service.start()
        assert ada.get(f"/calibrations/{calibration}")["steps"][0]["used"] == 1
        assert worker.put(1, b"another")["status"] == "known"
        assert worker.next_work(1)["serial"] == 2
        assert ada.get(f"/calibrations/{calibration}")["steps"][0]["metrics"] == {"pull": 0.25}


def test_an_update_whose_service_has_died_meanwhile_is_not_made(tmp_path: Path) -> None:
    """The next service makes it in the same folder, and must not find two answers there."""
    (tmp_path / "request.json").write_text(json.dumps({"action": "update", "service": 1, "plan": "toy"}))
    argv = [sys.executable, "-m", "caf_service.updating", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert [one.name for one in tmp_path.iterdir()] == ["request.json"]


def test_a_service_that_is_asked_to_end_does_so_at_once(tmp_path: Path, database: str) -> None:
    with killable(tmp_path / "service", database) as service:
        calibration, crew = calibrate(service, 2, {"start": 0.5})
        crew[0].start()  # it reports, and then waits for the other one
        ada = service.patient(service.ada)
        until(lambda: ada.get(f"/calibrations/{calibration}")["reported"] == 1)
        service.kill(signal.SIGTERM)  # and wait until it has ended
        service.start()
        crew[1].start()
        for one in crew:
            one.join(LIMIT)
            assert not one.is_alive()
        assert outcome(service, calibration) == expected(0.5, 0.01, 2)


def test_two_services_do_not_share_a_folder(tmp_path: Path, database: str) -> None:
    config = ServiceConfig(data=tmp_path / "service", database=database)
    first = Service(config)
    try:
        with pytest.raises(ConfigurationError, match="another service uses the data folder"):
            Service(config)
    finally:
        first.close()
    Service(config).close()


def test_what_was_half_done_when_a_service_ended_is_removed(tmp_path: Path, database: str) -> None:
    config = ServiceConfig(data=tmp_path / "service", database=database)
    Service(config).close()
    for left in ("incoming/half.part", "calibrations/7/inputs/0"):
        path = config.data / left
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    Service(config).close()
    assert list(config.data.glob("incoming/*")) == []
    assert list(config.data.glob("calibrations/*")) == []


def test_results_are_removed_when_their_time_is_over(tmp_path: Path, database: str) -> None:
    now = [1000.0]
    config = ServiceConfig(
        data=tmp_path / "service",
        database=database,
        plans={"toy": "service.scale_plan:PLAN"},
        input_roots=(ROOT,),
    )
    seven_days = 7 * 86400.0
    assert config.retention == seven_days
    step = [0.0]
    service = Service(config, clock=lambda: now[0] + step[0], steady=lambda: now[0])
    try:
        who = _identity(service)
        asked = Wish(plan="toy", workers=1, settings={"start": 1.0}, inputs=INPUTS)
        going, ended = (service.create(who, asked)[0] for _ in range(2))
        service.thread.do(lambda store: service.kill(store, who, ended))
        for jump in (1e9, -500.0, 0.0):
            # A clock that is corrected removes nothing.
            step[0] = jump
            assert service.expire() == []
        now[0] += seven_days - 1.0
        assert service.expire() == []
        step[0] = 1e9
        assert service.expire() == []
        step[0] = 0.0
        now[0] += 2.0
        assert service.expire() == [ended]
        assert service.expire() == []
        until(lambda: not service.areas.home(ended).exists())
        assert service.areas.home(going).exists()
        assert [one["id"] for one in service.thread.do(lambda store: service.listing(store, who, []))] == [
            going
        ]
    finally:
        service.close()


def _identity(service: Service) -> Any:
    token = service.accounts.ensure("ada")
    return service.thread.do(lambda store: service.accounts.look_up(store, token))
