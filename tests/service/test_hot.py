"""What is answered without the framework, and what is left to it: nobody can tell the difference."""

import hashlib
import logging
from typing import Any

import pytest

from service.bench import Bench, Worker


@pytest.fixture
def worker(bench: Bench) -> Worker:
    """The only worker of a calibration."""
    return bench.workers(bench.create(workers=1), [0])[0]


@pytest.mark.parametrize(
    "query", ["after=0&wait=0", "wait=0&after=0", "after=000000000000&wait=0.000000000001"]
)
def test_work_may_be_asked_for_in_any_words(worker: Worker, query: str) -> None:
    assert worker.get(f"/worker/work?{query}")["serial"] == 1


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/worker/work?after=-1", "after"),
        ("/worker/work?after=99999999999", "after"),
        ("/worker/work?wait=soon", "wait"),
        ("/worker/work?after=١", "after"),
    ],
)
def test_what_is_wrong_with_asking_is_told(worker: Worker, path: str, named: str) -> None:
    assert named in worker.get(path, 422)["error"]


def test_a_checksum_may_be_written_in_capitals(worker: Worker) -> None:
    body = b'{"pull": 0.0, "worker": 0, "serial": 1}'
    digest = hashlib.sha256(body).hexdigest()
    assert worker.put(1, body, sha256=digest.upper())["status"] == "counted"
    assert worker.put(1, body, sha256=digest)["status"] == "known"


@pytest.mark.parametrize("path", ["/worker/results/0", "/worker/results/4294967296", "/worker/results/one"])
def test_what_is_wrong_with_a_report_is_told(worker: Worker, path: str) -> None:
    digest = hashlib.sha256(b"{}").hexdigest()
    assert "serial" in worker.ask("PUT", path, 422, params={"sha256": digest}, content=b"{}")["error"]


def test_a_fault_is_one_sentence_outside_and_a_traceback_inside(
    bench: Bench, worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> bytes:
        raise RuntimeError("a secret")

    monkeypatch.setattr(bench.service, "next_work", broken)
    with caplog.at_level(logging.ERROR, logger="caf.service"):
        told = worker.get("/worker/work?after=0&wait=0", 500)
    assert told == {"error": "a fault of caf-service, which is in its log."}
    assert "a secret" in caplog.text
    assert bench.ada.get("/me")["name"] == "ada"


def test_both_are_described(bench: Bench) -> None:
    paths = bench.ada.get("/openapi.json")["paths"]
    assert "get" in paths["/worker/work"]
    assert "put" in paths["/worker/results/{serial}"]
