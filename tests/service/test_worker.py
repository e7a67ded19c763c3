"""A worker alone, in a process of its own, against a real service; and what it is made of."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from caf_core.testing.bench import wait_until
from caf_service.client import Client
from caf_service.config import ServiceConfig
from caf_service.endings import End, Ending
from caf_service.heeding import Heed
from caf_service.patience import AbandonedError, Patience
from caf_service.server import Server
from caf_service.transport import Address, RefusedError, Transport, UnreachableError
from ports import free_port
from service.rig import LAST, LIMIT, LONG, PLANS, use_plans


@define
class Lone:
    """A service without an agent, and workers that a test starts."""

    home: Path
    port: int
    config: dict[str, Any] = field(factory=dict)
    server: Server | None = None
    processes: list["subprocess.Popen[bytes]"] = field(factory=list)

    def up(self) -> Server:
        """Start the service, at the same address each time."""
        settings = {"plans": PLANS, "heartbeat": 0.5, "input_roots": ("/",), **self.config}
        self.server = Server(ServiceConfig(data=self.home / "service", port=self.port, **settings))
        return self.server.__enter__()

    def down(self) -> None:
        """Stop it."""
        if self.server is not None:
            self.server.__exit__(None, None, None)
            self.server = None

    def client(self) -> Client:
        """A user."""
        assert self.server is not None
        return Client(self.server.url, self.server.service.accounts.ensure("ada", "user"))

    def worker(
        self, number: int, worker: int = 0, *more: str, program: Sequence[str] = ("-m", "caf_service.worker")
    ) -> "subprocess.Popen[bytes]":
        """Start a worker."""
        assert self.server is not None
        folder = self.home / f"worker-{len(self.processes)}"
        folder.mkdir()
        token = self.server.service.desk.tokens(number, [worker])[worker]
        (folder / "token").write_text(token)
        argv = [sys.executable, "-P", *program, "--url", f"http://127.0.0.1:{self.port}"]
        argv += ["--token-file", "token", *more]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.processes.append(process)
        return process

    def log(self, worker: int = 0) -> str:
        """What a worker wrote."""
        return (self.home / f"worker-{worker}" / "log").read_text()


@pytest.fixture
def lone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> Iterator[Lone]:
    """A service without an agent; what was started is ended."""
    use_plans(monkeypatch)
    one = Lone(tmp_path, free_port(), {"database": database})
    one.up()
    yield one
    for process in one.processes:
        process.kill()
        process.wait()
    one.down()


def create(lone: Lone, plan: str = "toy", workers: int = 1, **more: Any) -> int:
    """Begin a calibration."""
    with lone.client() as client:
        return client.create_calibration(plan, workers=workers, **more).id


def test_it_ends_with_its_calibration(lone: Lone) -> None:
    number = create(lone)
    assert lone.worker(number).wait(LIMIT) == Ending.OVER
    with lone.client() as client:
        assert client.status(number)["state"] == "finished"
    assert not list((lone.home / "worker-0" / "steps").iterdir())


def test_it_survives_a_service_that_is_away_for_half_an_hour(lone: Lone) -> None:
    gate, passed = lone.home / "gate", lone.home / "passed"
    number = create(lone, settings={"gate": str(gate), "gate_after": 2})
    program = (str(Path(__file__).with_name("hurried_worker.py")), str(passed))
    process = lone.worker(number, program=program)
    wait_until(lambda: _serial(lone, number) == 3, LIMIT, "the third step has begun")
    lone.down()
    gate.touch()
    wait_until(
        lambda: passed.exists() and float(passed.read_text()) >= 1800.0, LIMIT, "half an hour has passed"
    )
    assert process.poll() is None
    lone.up()
    assert process.wait(LIMIT) == Ending.OVER
    with lone.client() as client:
        status = client.status(number)
    assert (status["state"], status["failures"]) == ("finished", 0)
    assert [one["used"] for one in status["steps"]] == [1] * LAST


def test_it_goes_on_where_a_service_is_that_knows_less_than_it(lone: Lone) -> None:
    if lone.config["database"]:
        pytest.skip("a database that is a file is restored as one")
    # The database was restored from a backup while a later step was done.
    gate = lone.home / "gate"
    number = create(lone, settings={"gate": str(gate), "gate_after": 2})
    process = lone.worker(number)
    assert lone.server is not None
    backup = _backup(lone)
    wait_until(lambda: _serial(lone, number) == 3, LIMIT, "the third step has begun")
    lone.down()
    for file in (lone.home / "service").glob("service.db-*"):
        file.unlink()
    backup.replace(lone.home / "service" / "service.db")
    gate.touch()
    lone.up()
    assert process.wait(LIMIT) == Ending.OVER
    with lone.client() as client:
        status = client.status(number)
    assert (status["state"], status["failures"]) == ("finished", 0)
    assert [one["serial"] for one in status["steps"]] == list(range(1, LAST + 1))


def test_it_fetches_its_inputs_once(lone: Lone) -> None:
    gate = lone.home / "gate"
    assert lone.server is not None
    service = lone.server.service
    asked: list[int] = []
    inputs = service.worker_inputs

    def counted(store: Any, who: Any) -> Any:
        asked.append(who.worker)
        return inputs(store, who)

    service.worker_inputs = counted  # type: ignore[method-assign]  # it is counted, and done
    number = create(
        lone, settings={"gate": str(gate), "gate_after": 1}, files={"steering.xml": "<steering/>"}
    )
    process = lone.worker(number)
    wait_until(lambda: _serial(lone, number) == 2, LIMIT, "the second step has begun")
    service.areas.attached(number, 0).unlink()
    gate.touch()
    assert process.wait(LIMIT) == Ending.OVER
    assert asked == [0]
    (file,) = (lone.home / "worker-0" / "inputs").iterdir()
    assert file.read_text() == "<steering/>"


def test_it_does_not_wait_for_ever(lone: Lone) -> None:
    gate = lone.home / "gate"
    number = create(lone, settings={"gate": str(gate), "gate_after": 1})
    process = lone.worker(number, 0, "--patience", "1")
    wait_until(lambda: _serial(lone, number) > 1, LIMIT, "a step has passed")
    lone.down()
    gate.touch()
    assert process.wait(LIMIT) == Ending.ABANDONED


def test_it_ends_when_its_token_is_revoked(lone: Lone) -> None:
    number = create(lone, workers=2)
    process = lone.worker(number)
    assert lone.server is not None
    wait_until(lambda: _reported(lone, number) == 1, LIMIT, "it has reported")
    lone.server.service.desk.tokens(number, [0])
    assert process.wait(LIMIT) == Ending.REVOKED


def test_it_ends_at_its_time_limit_and_says_so(lone: Lone) -> None:
    number = create(lone, settings={"seconds": LONG}, workers=2)
    assert lone.worker(number, 0, "--time-limit", "2").wait(LIMIT) == Ending.TIME_LIMIT
    with lone.client() as client:
        status = client.status(number)
    assert (status["dead"], status["failures"]) == ([0], 0)
    assert any("time limit" in event["text"] for event in status["events"])


def test_it_reports_what_the_plan_raises_with_the_log(lone: Lone) -> None:
    number = create(lone, settings={"failing": [0]}, workers=2)
    assert lone.worker(number).wait(LIMIT) == Ending.FAILED
    assert "something that the log must show" in lone.log()
    assert "RuntimeError: worker 0 was told to fail" in lone.log()
    with lone.client() as client:
        assert client.status(number)["dead"] == [0]


def test_it_ends_on_sigterm_with_its_child(lone: Lone) -> None:
    number = create(lone, settings={"seconds": LONG}, workers=2)
    process = lone.worker(number)
    wait_until(lambda: bool(_children(process.pid)), LIMIT, "it works")
    child = _children(process.pid)[0]
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) == Ending.SIGNALLED
    assert not Path(f"/proc/{child}").exists()
    with lone.client() as client:
        assert client.status(number)["dead"] == [0]


def test_a_signal_is_heeded_where_one_waits() -> None:
    heed = Heed()
    signal.signal(signal.SIGUSR1, heed.hear)
    try:
        with pytest.raises(End, match="SIGUSR1"), heed.waiting():
            signal.raise_signal(signal.SIGUSR1)
        # It does not break in where it might be lost, and is not forgotten.
        heed.number = 0
        signal.raise_signal(signal.SIGUSR1)
        with pytest.raises(End, match="SIGUSR1"), heed.waiting():
            raise AssertionError("nobody waits any more")
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def test_it_waits_in_the_service(lone: Lone) -> None:
    number = create(lone, workers=2)
    assert lone.server is not None
    service = lone.server.service
    waits: list[float] = []
    next_work = service.next_work

    async def noted(who: Any, after: int, wait: float) -> bytes | None:
        if after:
            waits.append(wait)
        return await next_work(who, after, wait)

    service.next_work = noted  # type: ignore[method-assign]  # it is noted, and done
    lone.worker(number)
    wait_until(lambda: len(waits) >= 3, LIMIT, "it has asked what comes after the first step")
    assert min(waits) >= 1.0


def test_another_version_of_the_plan_is_refused(lone: Lone, monkeypatch: pytest.MonkeyPatch) -> None:
    number = create(lone)
    folder = lone.home / "other" / "service"
    folder.mkdir(parents=True)
    own = Path(__file__).with_name("toy_plan.py").read_text()
    (folder / "toy_plan.py").write_text(own.replace('version="1"', 'version="2"'))
    monkeypatch.setenv("PYTHONPATH", f"{folder.parent}{os.pathsep}{os.environ['PYTHONPATH']}")
    assert lone.worker(number).wait(LIMIT) == Ending.FAILED
    assert "version 2" in lone.log()


def test_files_come_along(lone: Lone) -> None:
    number = create(lone, files={"steering.xml": "<steering/>", "data.bin": b"\xff\x00\r\n"})
    assert lone.worker(number).wait(LIMIT) == Ending.OVER
    inputs = sorted((lone.home / "worker-0" / "inputs").iterdir())
    assert sorted(file.read_bytes() for file in inputs) == [b"<steering/>", b"\xff\x00\r\n"]


# What it is made of


@pytest.mark.parametrize(
    ("status", "passing"), [(500, True), (503, True), (429, True), (404, False), (401, False)]
)
def test_what_passes_is_tried_again(status: int, passing: bool) -> None:
    asked: list[float] = []
    pauses: list[float] = []

    def request() -> str:
        asked.append(0)
        if len(asked) < 4:
            raise RefusedError(status, "not now", 3.0 if status == 429 else None)
        return "there"

    patience = Patience(60.0, pause=pauses.append, clock=lambda: sum(pauses), draw=lambda: 0.5)
    if passing:
        assert patience.ask(request) == "there"
        assert pauses == ([3.0, 3.0, 3.0] if status == 429 else [0.2, 0.4, 0.8])
    else:
        with pytest.raises(RefusedError):
            patience.ask(request)


def test_patience_ends() -> None:
    pauses: list[float] = []

    def request() -> None:
        raise UnreachableError("nobody there")

    with pytest.raises(AbandonedError, match="nobody there; given up after"):
        Patience(1800.0, pause=pauses.append, clock=lambda: sum(pauses)).ask(request)
    assert sum(pauses) >= 1800
    assert max(pauses) <= 1.5 * 15.0


def test_an_address_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="does not answer"):
        Transport(Address(f"http://127.0.0.1:{free_port()}")).get("/health")


CHILD = """
import json, sys, time
from pathlib import Path
from caf_service.child import Child
def function():
    {body}
ready = Path(sys.argv[1]) / "ready"
child = Child(function, Path(sys.argv[1]), Path(sys.argv[1]) / "log", {alarm})
while not ready.exists() and not child.wait(0.05):
    pass
if {grace}:
    child.end({grace})
child.wait({limit})
print(json.dumps(child.poll()))
"""
READY = "Path('ready').touch(); time.sleep(3600)"


@pytest.mark.parametrize(
    ("body", "grace", "code"),
    [
        ("print('said')", LIMIT, 0),
        ("raise ValueError('raised')", LIMIT, 1),
        ("sys.exit(7)", LIMIT, 7),
        ("return ['/bin/sh', '-c', 'echo said; exit 3']", LIMIT, 3),
        ("return ['/nowhere/nothing']", LIMIT, 127),
        (READY, LIMIT, -15),
        (f"import signal; signal.signal(15, signal.SIG_IGN); {READY}", 0.5, -9),
    ],
)
def test_how_a_child_ends(tmp_path: Path, body: str, grace: float, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(body=body, grace=grace, limit=LIMIT, alarm=LONG), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    assert json.loads(done.stdout) == code


@pytest.mark.parametrize("body", [READY, "return ['/bin/sleep', '3600']"])
def test_a_child_ends_in_time_though_nobody_ends_it(tmp_path: Path, body: str) -> None:
    script = CHILD.format(body=body, grace=0, limit=LIMIT, alarm=0.5)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, timeout=LIMIT, check=True
    )
    assert json.loads(done.stdout) == -signal.SIGALRM


def _serial(lone: Lone, number: int) -> int:
    with lone.client() as client:
        return int(client.status(number)["serial"])


def _reported(lone: Lone, number: int) -> int:
    with lone.client() as client:
        return int(client.status(number)["reported"])


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _backup(lone: Lone) -> Path:
    """A copy of the database of a service that goes on."""
    copy = lone.home / "backup.db"
    database = lone.home / "service" / "service.db"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy
