"""``caf agent``: an agent in a process of its own does over HTTP what the one in the service does."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define, field

from caf_core.testing.bench import wait_until
from caf_service.client import Client
from caf_service.config import ServiceConfig
from caf_service.server import Server
from ports import free_port
from service.rig import LAST, LIMIT, PLANS, use_plans, worker_pids


@define
class Elsewhere:
    """A service without an agent, and an agent in another process."""

    config: ServiceConfig
    server: Server
    client: Client
    home: Path
    _process: "subprocess.Popen[bytes] | None" = field(default=None)
    _starts: int = 0

    def start(self, *more: str) -> None:
        """Start the agent; what it says is in a file."""
        (self.home / "token").write_text(self.server.service.accounts.ensure("robin", "agent"))
        argv = [sys.executable, "-P", "-m", "caf_core.cli", "agent", str(self.home / "agent")]
        argv += ["--url", self.server.url, "--token-file", str(self.home / "token"), "-b", "local", *more]
        self._starts += 1
        with (self.home / f"agent-{self._starts}.log").open("wb") as out:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def end(self, number: int) -> int:
        """End the agent by a signal; its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(LIMIT)
        self._process = None
        return code

    def stop(self) -> None:
        """End everything."""
        if self._process is not None:
            self.end(signal.SIGKILL)
        self.client.close()
        self.server.__exit__(None, None, None)

    def restart_service(self) -> None:
        """End the service, and start it where it was."""
        self.server.__exit__(None, None, None)
        self.server = Server(self.config).__enter__()

    def pids(self, calibration: int) -> dict[int, int]:
        """The workers that execute: worker -> pid."""
        return worker_pids(self.home / "agent" / "calibrations" / str(calibration))

    def reaches(self, calibration: int, serial: int) -> None:
        """Wait until a step has begun."""
        wait_until(
            lambda: self.client.status(calibration)["serial"] >= serial, LIMIT, f"step {serial} has begun"
        )

    def dismissed(self) -> None:
        """Wait until no workers are left."""
        wait_until(lambda: not self.server.service.desk.crews(), LIMIT, "the workers are gone")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Elsewhere]:
    """A service; an agent is started by the test, and ended with it."""
    use_plans(monkeypatch)
    config = ServiceConfig(
        data=tmp_path / "service",
        port=free_port(),
        plans=PLANS,
        heartbeat=1.0,
        max_wait=1.0,
        input_roots=("/",),
        # The administrator offers one that the agent does not have.
        backends=("local", "no-such-backend"),
    )
    server = Server(config).__enter__()
    one = Elsewhere(config, server, Client(server.url, server.service.accounts.ensure("ada")), tmp_path)
    try:
        yield one
    finally:
        one.stop()


def expected(workers: int) -> list[float]:
    """The history that an undisturbed calibration leaves."""
    mean = sum(range(1, workers + 1)) / workers
    return [mean * 0.5**step for step in range(LAST)]


def test_it_does_the_same_over_http(elsewhere: Elsewhere) -> None:
    elsewhere.start()
    gate = elsewhere.home / "gate"
    settings = {"gate": str(gate), "gate_after": 2}
    number = elsewhere.client.create_calibration("toy", workers=3, quorum=1.0, settings=settings).id
    elsewhere.reaches(number, 3)
    before = elsewhere.pids(number)
    # It dies, one of its workers too, and what it looks after goes on.
    elsewhere.end(signal.SIGKILL)
    os.kill(before[1], signal.SIGKILL)
    wait_until(lambda: 1 not in elsewhere.pids(number), LIMIT, "worker 1 has died")
    gate.touch()
    elsewhere.start()
    status = elsewhere.client.wait(number, LIMIT)
    assert (status["state"], status["failures"], status["resubmissions"]) == ("finished", 1, 1)
    assert elsewhere.client.parameters(number)["history"] == pytest.approx(expected(3))
    elsewhere.dismissed()
    assert elsewhere.pids(number) == {}
    assert elsewhere.end(signal.SIGTERM) == 0


def test_it_finds_its_workers_when_the_service_was_away(elsewhere: Elsewhere) -> None:
    elsewhere.start()
    gate = elsewhere.home / "gate"
    settings = {"gate": str(gate), "gate_after": 1}
    number = elsewhere.client.create_calibration("toy", workers=2, quorum=1.0, settings=settings).id
    elsewhere.reaches(number, 2)
    before = elsewhere.pids(number)
    elsewhere.restart_service()
    assert elsewhere.pids(number) == before
    gate.touch()
    status = elsewhere.client.wait(number, LIMIT)
    assert (status["state"], status["failures"]) == ("finished", 0)
    elsewhere.dismissed()
    assert elsewhere.end(signal.SIGTERM) == 0


def test_what_it_cannot_submit_is_told(elsewhere: Elsewhere) -> None:
    elsewhere.start()
    number = elsewhere.client.create_calibration("toy", workers=2, backend="no-such-backend").id
    status = elsewhere.client.wait(number, LIMIT)
    assert status["state"] == "failed"
    assert status["message"].startswith("its workers cannot be submitted: ")
    assert "no-such-backend" in status["message"]
    elsewhere.dismissed()
    assert elsewhere.end(signal.SIGTERM) == 0
