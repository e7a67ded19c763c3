"""A database that goes away, comes back, or is another; and texts that not every database keeps."""

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from caf_core.errors import ConfigurationError
from caf_service.config import ServiceConfig
from caf_service.service import Service, open_accounts
from service.bench import PATIENCE, Bench, until
from service.databases import POSTGRESQL
from service.scale_plan import measured


def cut_off(database: str) -> int:
    """End the connections of a service to its PostgreSQL; returns how many there were.

    They are asked to end, and do so in their own time: until then the service could go on with them.
    """
    import psycopg

    name = database.rpartition("=")[2]
    command = "SELECT pid, {} FROM pg_stat_activity WHERE application_name = %s AND pid <> pg_backend_pid()"
    with psycopg.connect(database, autocommit=True) as connection:
        many = len(connection.execute(command.format("pg_terminate_backend(pid)"), [name]).fetchall())
        until(lambda: not connection.execute(command.format("state"), [name]).fetchall())
    return many


def patiently(ask: Callable[[], Any]) -> tuple[Any, int]:
    """Ask until the database is there; returns the answer and how often it was not."""
    deadline = time.monotonic() + PATIENCE
    for away in count():
        answer = ask()
        if answer.status_code != 503:
            assert answer.status_code in (200, 201), answer.text
            return answer.json(), away
        assert int(answer.headers["retry-after"]) >= 1
        assert "does not answer" in answer.json()["error"]
        assert time.monotonic() < deadline, "the database does not come back"
    raise AssertionError("it is counted for ever")


@pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
def test_a_database_that_goes_away_comes_back(start: Callable[..., Bench], database: str) -> None:
    bench = start()
    calibration = bench.create()
    workers = bench.workers(calibration)
    after, refused = 0, 0
    while (work := workers[0].work(after, 30))["kind"] == "work":
        for worker in workers:
            assert cut_off(database) == 1
            body = measured(worker.number, work["serial"], work["parameters"])
            said, away = patiently(lambda worker=worker, body=body: put(worker, work["serial"], body))
            assert said["status"] == "counted"
            refused += away
        after = work["serial"]
    told, _ = patiently(lambda: bench.ada.http.get(f"/calibrations/{calibration}"))
    assert told["state"] == "finished", told["message"]
    assert [one["used"] for one in told["steps"]] == [2] * len(told["steps"])
    assert refused >= 1, "nobody has noticed"


def put(worker: Any, serial: int, body: bytes) -> Any:
    digest = hashlib.sha256(body).hexdigest()
    return worker.http.put(f"/worker/results/{serial}", params={"sha256": digest}, content=body)


def test_what_a_plan_says_is_kept_by_every_database(bench: Bench) -> None:
    calibration = bench.create(settings={"start": 0.5, "mode": "odd message"})
    told = bench.finish(calibration, bench.workers(calibration))
    assert told["state"] == "finished", told["message"]
    assert told["steps"][0]["message"] == "a NUL ?, half a character ?"


def test_what_an_agent_says_is_kept_by_every_database(bench: Bench) -> None:
    calibration = bench.create()
    bench.desk.died(calibration, {0: "a NUL \0, half a character \udce9"})
    assert bench.show(calibration)["events"][-1]["text"] == "worker 0: a NUL ?, half a character ?"
    bench.desk.broken(calibration, "a NUL \0, half a character \udce9")
    assert bench.show(calibration)["message"] == "a NUL ?, half a character ?"


def test_a_database_of_another_version_is_left_alone(tmp_path: Path, database: str) -> None:
    config = ServiceConfig(data=tmp_path / "service", database=database)
    with open_accounts(config) as accounts:
        accounts._thread.do(lambda store: store._m.Setting.update(value="0").execute())
    with pytest.raises(ConfigurationError, match="has schema 0, and this caf-service knows"):
        Service(config)


@pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
def test_a_database_that_is_not_there_is_named_without_its_password(tmp_path: Path, database: str) -> None:
    url = f"postgresql://ada:sesame@localhost/none?host={tmp_path}"
    with pytest.raises(ConfigurationError, match="PostgreSQL database cannot be opened") as error:
        Service(ServiceConfig(data=tmp_path / "service", database=url))
    assert "sesame" not in str(error.value)


def test_services_that_begin_at_the_same_time_share_a_new_database(tmp_path: Path, database: str) -> None:
    def added(number: int) -> str:
        # Of SQLite's databases each folder has its own.
        with open_accounts(ServiceConfig(data=tmp_path / f"{number}", database=database)) as accounts:
            return accounts.add(f"user{number}", "user")

    with ThreadPoolExecutor(4) as pool:
        tokens = list(pool.map(added, range(4)))
    assert len(set(tokens)) == 4
