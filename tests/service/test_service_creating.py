"""What may be asked for, and what is said to what may not."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from caf_service import service
from caf_service.creating import prepare
from caf_service.limits import Limits
from caf_service.service import CREATIONS
from service.bench import INPUTS, Bench, wish


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settings": {}}, "missing: start"),
        ({"settings": {"start": 1.0, "stat": 2}}, "superfluous: stat"),
        ({"settings": {"start": "1"}}, "start is '1', but it is a number above 0"),
        ({"settings": {"start": -1}}, "start is -1"),
        ({"inputs": {"muon": ["m0"]}}, "missing: kaon"),
        ({"inputs": {**INPUTS, "kaon": []}}, "missing: kaon"),
        ({"inputs": {**INPUTS, "pion": ["p"]}}, "superfluous: pion"),
        ({"plan": "tou"}, "there is no plan called 'tou'; available: "),
        ({"workers": 0}, "1 to 10000 workers, and not 0"),
        ({"workers": 10_001}, "1 to 10000 workers"),
        ({"workers": 10**9}, "may have 20000 in all"),
        ({"workers": 10**20}, "workers"),
        ({"workers": "2"}, "workers"),
        ({"workers": True}, "workers"),
        ({"quorum": 0}, "quorum"),
        ({"quorum": 1.5}, "quorum"),
        (
            {"start": {"stage": "third"}},
            "no stage of the plan 'toy' called 'third'; there are: first, second",
        ),
        ({"start": {"stage": 7}}, "called 7"),
        ({"start": {"stage": "second"}, "stop": {"stage": "first"}}, "stop after the start"),
        ({"start": {"stag": 1}}, "start.stag"),
        ({"files": {"../offset": {"text": "1"}}}, "cannot be the name of a file"),
        ({"files": {"offset": {}}}, "either text or base64"),
        ({"files": {"offset": {"base64": "!"}}}, "no base64"),
        ({"files": {"offset": {"text": "no number"}}}, "the plan 'toy' cannot begin"),
        ({"output_dir": "../elsewhere"}, "not allowed"),
        ({"output_dir": "/etc"}, "not allowed"),
        ({"output_dir": "a/../../b"}, "not allowed"),
        ({"output_dir": "a\u2028b/" + "x" * 300}, None),
        ({"backend_args": {"path_prefix": "/tmp/mine"}}, "does not take the backend arguments path_prefix"),
        ({"colour": "red"}, "colour"),
        ({"name": "a\u0000b"}, "NUL"),
        ({"settings": {"start": 1.0, "accuracy": [[[[]]]]}}, "accuracy"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(
    bench: Bench, change: dict[str, Any], said: str | None
) -> None:
    asked = wish(**change)
    answer = bench.ada.http.post("/calibrations", json=asked)
    if said is None:
        assert answer.status_code in (201, 422)
        return
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["error"]
    assert bench.ada.get("/calibrations") == []
    assert list(bench.service.areas.data.glob("incoming/*")) == []


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"a"',
        b"null",
        b"\xff\xfe",
        b'{"plan": NaN}',
        b'{"plan": "\\ud800"}',
        b'{"workers": 1e999}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_calibration_at_all_is_refused(bench: Bench, body: bytes) -> None:
    answer = bench.ada.http.post("/calibrations", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert "error" in answer.json()


def test_the_same_key_is_the_same_calibration(bench: Bench) -> None:
    first = bench.create(key="monday")
    again = bench.ada.ask("POST", "/calibrations", 200, json=wish(key="monday"))
    assert again["id"] == first
    assert bench.create(bench.client("bob"), key="monday") != first


def test_start_and_stop_choose_the_phases(bench: Bench) -> None:
    place = {"stage": "first", "phase": "fine"}
    calibration = bench.create(start=place, stop=place)
    told = bench.finish(calibration, bench.workers(calibration))
    assert {one["phase"] for one in told["steps"]} == {"fine"}


def test_workers_without_input_are_warned_about(bench: Bench) -> None:
    answer = bench.ada.post("/calibrations", wish(workers=6), 201)
    assert answer["warnings"] == [
        "2 of 6 workers have nothing of the sample 'muon'.",
        "2 of 6 workers have nothing of the sample 'kaon'.",
    ]


def test_the_plans_say_what_they_want(bench: Bench) -> None:
    (toy,) = [one for one in bench.ada.get("/plans") if one["name"] == "toy"]
    assert toy["settings"]["start"] == {"meaning": "a number above 0", "required": True, "default": None}
    assert [stage["name"] for stage in toy["stages"]] == ["first", "second"]


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("raises", "ValueError: no peak was found"),
        ("dies", "was ended by signal 9"),
        ("nan", "nan cannot be written as JSON"),
        ("odd parameters", "surrogates not allowed"),
        ("no result", "OSError: no place for the result"),
    ],
)
def test_an_update_that_fails_ends_only_its_calibration(bench: Bench, mode: str, said: str) -> None:
    calibration = bench.create(settings={"start": 0.5, "mode": mode})
    told = bench.finish(calibration, bench.workers(calibration))
    assert told["state"] == "failed"
    assert said in told["message"]
    assert "there is no result" in bench.ada.get(f"/calibrations/{calibration}/result", 409)["error"]
    assert bench.ada.get("/health")["status"] == "ok"


def test_a_phase_that_does_not_converge_fails(bench: Bench) -> None:
    calibration = bench.create(settings={"start": 0.5, "accuracy": 1e-9})
    told = bench.finish(calibration, bench.workers(calibration))
    assert told["state"] == "failed"
    assert "not converged after 20 steps" in told["message"]


def test_a_user_has_so_many_workers_and_calibrations(start: Callable[..., Bench]) -> None:
    bench = start(limits=Limits(user_workers=5, calibrations=3), backends=("slurm",), backend="slurm")
    first = bench.create(workers=3)
    said = bench.ada.post("/calibrations", wish(workers=3), 422)["error"]
    assert said.startswith("your calibrations have 3 workers, and may have 5 in all")
    bench.create(bench.client("bob"), workers=5)
    bench.create(workers=1)
    bench.create(workers=1)
    assert "no more may" in bench.ada.post("/calibrations", wish(workers=1), 422)["error"]
    bench.ada.post(f"/calibrations/{first}/kill")
    bench.create(workers=3)


def test_a_machine_has_room_for_some_workers_only(bench: Bench) -> None:
    for backend in ("", "local"):
        said = bench.ada.post("/calibrations", wish(workers=10_000, backend=backend), 422)["error"]
        assert "workers on this machine, and not for 10000" in said
    assert bench.create(workers=10_000, backend="slurm")


def test_one_user_has_few_plans_executed_at_a_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ready, go = threading.Semaphore(0), threading.Event()

    def slow(*args: Any, **more: Any) -> Any:
        ready.release()
        assert go.wait(60)
        return prepare(*args, **more)

    monkeypatch.setattr(service, "prepare", slow)
    users = [bench.service.accounts.ensure("ada") for _ in range(CREATIONS)]
    with ThreadPoolExecutor(CREATIONS) as pool:
        try:
            made = [pool.submit(bench.with_token(one).post, "/calibrations", wish(), 201) for one in users]
            for _ in users:
                assert ready.acquire(timeout=60)
            answer = bench.ada.http.post("/calibrations", json=wish())
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
        finally:
            go.set()
        assert len({one.result()["id"] for one in made}) == CREATIONS
    bench.create()
