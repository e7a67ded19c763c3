"""What the tests of the service have in common: requests, and workers that answer as they should."""

import hashlib
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from caf_service.server import Server
from service.scale_plan import measured

T = TypeVar("T", bound="Client")
PATIENCE = 120.0
"""An answer comes within this time [s]."""
ROOT = "/inputs/of/the/users"
"""Where users may have input files."""
INPUTS = {sample: [f"{ROOT}/{sample}{number}" for number in range(4)] for sample in ("muon", "kaon")}


class Client:
    """Requests with a token."""

    def __init__(self, url: str, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=PATIENCE)

    def ask(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        """The answer, which must have this status."""
        answer = self.http.request(method, path, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def get(self, path: str, status: int = 200, **more: Any) -> Any:
        return self.ask("GET", path, status, **more)

    def post(self, path: str, body: object = None, status: int = 200) -> Any:
        return self.ask("POST", path, status, json={} if body is None else body)


class Worker(Client):
    """A worker that does what it is told."""

    number = 0

    def work(self, after: int = 0, wait: float = 0.0) -> Any:
        return self.get("/worker/work", params={"after": after, "wait": wait})

    def next_work(self, after: int, seconds: float = 300.0) -> Any:
        """The same when there is something to do."""
        deadline = time.monotonic() + seconds
        while (work := self.work(after, 30))["kind"] == "wait":
            assert time.monotonic() < deadline, "there is nothing to do"
        return work

    def put(self, serial: int, body: bytes, status: int = 200, sha256: str | None = None) -> Any:
        digest = hashlib.sha256(body).hexdigest() if sha256 is None else sha256
        return self.ask("PUT", f"/worker/results/{serial}", status, params={"sha256": digest}, content=body)

    def report(self, work: Any) -> str:
        """Do the work, and say what the service said."""
        body = measured(self.number, work["serial"], work["parameters"])
        return str(self.put(work["serial"], body)["status"])


class Bench:
    """A service, its users and workers."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.service = server.service
        self.desk = server.service.desk
        self._clients: list[Client] = []
        self.ada = self.client("ada")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in self._clients:
            one.http.close()

    def client(self, name: str, role: str = "user") -> Client:
        return self._kept(Client(self.server.url, self.service.accounts.ensure(name, role)))

    def with_token(self, token: str) -> Client:
        return self._kept(Client(self.server.url, token))

    def create(self, client: Client | None = None, *, workers: int = 2, **more: Any) -> int:
        """A calibration."""
        return int((client or self.ada).post("/calibrations", wish(workers=workers, **more), 201)["id"])

    def workers(self, calibration: int, numbers: Iterable[int] = range(2)) -> list[Worker]:
        """Workers of a calibration."""
        made = []
        for number, token in self.desk.tokens(calibration, list(numbers)).items():
            worker = self._kept(Worker(self.server.url, token))
            worker.number = number
            made.append(worker)
        return made

    def finish(self, calibration: int, workers: list[Worker], limit: int = 60) -> Any:
        """Let workers work until the end; returns what is told about the calibration."""
        after = 0
        for _ in range(limit):
            works = [one.next_work(after) for one in workers]
            if works[0]["kind"] == "end":
                return self.show(calibration)
            assert {one["kind"] for one in works} == {"work"}
            for worker, work in zip(workers, works, strict=True):
                worker.report(work)
            after = works[0]["serial"]
        raise AssertionError("it does not end")

    def awaited(self, *topic: object) -> None:
        """Wait until a request waits for news."""
        until(lambda: topic in self.service.hub._waiting)

    def show(self, calibration: int, client: Client | None = None) -> Any:
        return (client or self.ada).get(f"/calibrations/{calibration}")

    def _kept(self, client: T) -> T:
        self._clients.append(client)
        return client


def wish(**more: Any) -> dict[str, Any]:
    """What a user asks for."""
    return {"plan": "toy", "workers": 2, "settings": {"start": 0.5}, "inputs": INPUTS, **more}


def until(condition: Callable[[], object], seconds: float = 300.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        # A service lets nobody ask oftener than 50 times a second for long.
        time.sleep(0.05)
