"""Whole calibrations: a service, its agent, and workers on the backend Local."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from caf_core.plugins.registry import Registry
from caf_core.testing.bench import wait_until
from caf_local import Local
from caf_service.agent import Agent, Place
from caf_service.cli.setup import read_setup, write_setup
from caf_service.client import Client
from caf_service.config import ServiceConfig
from caf_service.quarters import Terms
from caf_service.server import Server
from ports import free_port

TESTS = Path(__file__).parents[1]
EXAMPLES = TESTS.parent / "docs" / "examples"
PLANS = {
    "toy": "service.toy_plan:PLAN",
    "toy_command": "service.toy_plan:COMMAND_PLAN",
    "toy_files": "service.toy_plan:FILES_PLAN",
    "mean": "service.mean_plan:PLAN",
}
QUICK = Terms(interval=0.5, silence=120.0, farewell=60.0, pending=2.0)
LIMIT = 600.0
"""So long may anything take that a test waits for [s]; the machine may have other things to do."""
LONG = 3600.0
"""A step that takes so long is not over before its test is [s]."""
LAST = 6
"""The last step of the plans with their default settings."""


def use_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes that are started find the plans of the tests."""
    known = os.environ.get("PYTHONPATH", "")
    folders = [str(TESTS), str(EXAMPLES), *filter(None, known.split(os.pathsep))]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folders))


@define
class Rig:
    """A service in this process, with an agent."""

    server: Server
    client: Client
    home: Path
    token: str
    agent: Agent

    def create(self, plan: str = "toy", *, workers: int = 3, **more: Any) -> int:
        """Begin a calibration."""
        return self.client.create_calibration(plan, workers=workers, **more).id

    def pids(self, calibration: int) -> dict[int, int]:
        """The processes of the workers that execute: worker -> pid."""
        return worker_pids(self.home / "agent" / "calibrations" / str(calibration))

    def dismissed(self) -> None:
        """Wait until no workers are left."""
        wait_until(lambda: not self.server.service.desk.crews(), LIMIT, "the workers are gone")

    def executes(self, calibration: int, workers: int) -> None:
        """Wait until so many workers execute."""
        wait_until(lambda: len(self.pids(calibration)) == workers, LIMIT, f"{workers} workers execute")

    def reaches(self, calibration: int, serial: int) -> None:
        """Wait until a step has begun."""
        wait_until(
            lambda: self.client.status(calibration)["serial"] >= serial, LIMIT, f"step {serial} has begun"
        )

    def gone(self, pid: int) -> None:
        """Wait until a process has ended."""
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), LIMIT, f"process {pid} has ended")


def worker_pids(home: Path) -> dict[int, int]:
    """The processes that are workers of the calibration with these quarters."""
    found, mark = {}, str(home / "tokens").encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            for word in words:
                if word.startswith(mark + b"/"):
                    found.setdefault(int(word.rpartition(b"/")[2]), []).append((int(entry.name), int(parent)))
    # Of a worker and the child that does a step, the worker is the other's parent.
    return {
        worker: next(pid for pid, parent in ones if parent not in {other for other, _ in ones})
        for worker, ones in found.items()
    }


@contextmanager
def rigged(
    home: Path,
    *,
    terms: Terms = QUICK,
    backend: Any = None,
    registry: Registry | None = None,
    clock: Callable[[], float] = time.time,
    **config: Any,
) -> Iterator[Rig]:
    """A service and its agent in this process."""
    with ExitStack() as stack:
        settings = {"plans": PLANS, "heartbeat": 1.0, "max_wait": 1.0, "input_roots": ("/",), **config}
        server = stack.enter_context(Server(ServiceConfig(data=home / "service", **settings)))
        token = server.service.accounts.ensure("ada", "user")
        place = Place(home / "agent", server.url)
        agent = stack.enter_context(
            Agent(
                server.service.desk,
                place,
                backend=backend or Local(),
                terms=terms,
                registry=registry,
                clock=clock,
            )
        )
        client = stack.enter_context(Client(server.url, token))
        yield Rig(server, client, home, token, agent)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> Iterator[Rig]:
    """A service and its agent in this process, on each database; workers are ended with the test."""
    use_plans(monkeypatch)
    with rigged(tmp_path, database=database) as one:
        yield one
        for status in one.client.statuses():
            one.client.kill(status["id"])
        one.dismissed()


@define
class ServiceProcess:
    """``caf service start`` in a process of its own, which may be killed.

    Args:
        data: The service's folder, made by ``caf service init``.
        port: Where it listens.
        token: The administrator's.
    """

    data: Path
    port: int
    token: str
    starts: int = 0
    _process: "subprocess.Popen[bytes] | None" = field(default=None)

    @classmethod
    def make(cls, data: Path, **setup: str) -> "ServiceProcess":
        """A service that was never started."""
        port = free_port()
        options = [f"--plan={name}={reference}" for name, reference in PLANS.items()]
        options += [
            f"--port={port}",
            "--max-wait=1",
            "--input-root=/",
            *(f"--{name.replace('_', '-')}={v}" for name, v in setup.items()),
        ]
        said = caf("service", "init", data, *options)
        # Many small workers are executed, also where there are few processors.
        write_setup(data, {**read_setup(data), "limits": {"local_workers": 1000}})
        return cls(data, port, said.stdout.strip())

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; returns at once."""
        argv = [sys.executable, "-P", "-m", "caf_core.cli", "service", "start", str(self.data)]
        self.starts += 1
        with (self.data.parent / f"service-{self.starts}.log").open("wb") as out:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def kill(self) -> None:
        """End it without a word."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(LIMIT)
            self._process = None

    def pids(self, calibration: int) -> dict[int, int]:
        """The processes of the workers that execute: worker -> pid."""
        return worker_pids(self.data / "agent" / "calibrations" / str(calibration))

    def client(self) -> Client:
        """Asks it; waits for it where it is away."""
        return Client(self.url, self.token)


def caf(*words: object, env: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Execute a ``caf`` command that has to succeed."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "caf_core.cli", *map(str, words)],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done
