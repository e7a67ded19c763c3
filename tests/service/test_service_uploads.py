"""Results as they come: again, late, early, damaged, too large, from the wrong worker."""

import hashlib
import socket
from collections.abc import Callable

from caf_service.limits import Limits
from service.bench import PATIENCE, Bench, until, wish
from service.scale_plan import measured


def stored(bench: Bench) -> list[str]:
    data = bench.service.areas.data
    return sorted(str(one.relative_to(data)) for one in data.glob("calibrations/*/steps/*/*"))


def test_a_result_counts_once(bench: Bench) -> None:
    calibration = bench.create()
    one, _ = bench.workers(calibration)
    work = one.work()
    assert one.report(work) == "counted"
    assert one.report(work) == "known"
    assert one.put(1, b"something else")["status"] == "known"
    assert bench.show(calibration)["reported"] == 1
    assert stored(bench) == [f"calibrations/{calibration}/steps/1/0.json"]
    kept = bench.service.areas.data / stored(bench)[0]
    assert kept.read_bytes() == measured(0, 1, work["parameters"])
    assert list(bench.service.areas.data.glob("incoming/*")) == []


def test_a_late_result_is_recorded_and_not_used(bench: Bench) -> None:
    calibration = bench.create(quorum=0.5)
    one, two = bench.workers(calibration)
    work = two.work()
    one.report(one.work())
    assert one.work(1, 30)["serial"] == 2
    assert two.report(work) == "late"
    assert two.report(work) == "known"
    told = bench.show(calibration)
    assert (told["steps"][0]["late"], told["steps"][0]["missing"], told["steps"][0]["used"]) == (1, [1], 1)
    assert told["reported"] == 0
    assert stored(bench) == [f"calibrations/{calibration}/steps/1/0.json"]


def test_a_result_of_a_step_to_come_is_refused(bench: Bench) -> None:
    one, _ = bench.workers(bench.create())
    assert "has not begun" in one.put(2, b"{}", 409)["error"]
    one.put(0, b"{}", 422)
    one.put(2**40, b"{}", 422)
    assert stored(bench) == []


def test_a_damaged_result_leaves_nothing(bench: Bench) -> None:
    calibration = bench.create()
    one, _ = bench.workers(calibration)
    assert "send it again" in one.put(1, b"{}", 400, sha256="0" * 64)["error"]
    one.put(1, b"{}", 422, sha256="../../etc/passwd")
    one.ask("PUT", "/worker/results/1", 422, content=b"{}")
    assert stored(bench) == []
    assert bench.show(calibration)["reported"] == 0


def test_a_truncated_result_leaves_nothing(bench: Bench) -> None:
    calibration = bench.create()
    one, _ = bench.workers(calibration)
    body = b"x" * 3_000_000
    digest = hashlib.sha256(body).hexdigest()
    token = one.http.headers["Authorization"]
    with socket.create_connection(("127.0.0.1", bench.server.port), PATIENCE) as connection:
        head = f"PUT /worker/results/1?sha256={digest} HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:2_000_000])
        until(lambda: list(bench.service.areas.data.glob("incoming/*")))
    until(lambda: not list(bench.service.areas.data.glob("incoming/*")))
    assert stored(bench) == []
    assert one.put(1, body)["status"] == "counted"


def test_an_upload_of_which_nothing_comes_is_given_up(start: Callable[..., Bench]) -> None:
    bench = start(limits=Limits(idle=0.2))
    one, _ = bench.workers(bench.create())
    token = one.http.headers["Authorization"]
    with socket.create_connection(("127.0.0.1", bench.server.port), PATIENCE) as connection:
        head = f"PUT /worker/results/1?sha256={'0' * 64} HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n"
        connection.sendall(f"{head}Content-Length: 100\r\n\r\nabc".encode())
        assert b" 400 " in connection.recv(1000)
    until(lambda: not list(bench.service.areas.data.glob("incoming/*")))


def test_what_is_too_large_is_refused(start: Callable[..., Bench]) -> None:
    bench = start(limits=Limits(result=1000, body=2000))
    calibration = bench.create()
    one, _ = bench.workers(calibration)
    assert one.put(1, b"x" * 1001, 413)["error"]
    assert one.put(1, b"x" * 1000)["status"] == "counted"
    assert bench.ada.post("/calibrations", wish(name="x" * 3000), 413)["error"]

    def endless() -> object:
        for _ in range(100):
            yield b" " * 100

    bench.ada.ask("POST", "/calibrations", 413, content=endless())
    assert list(bench.service.areas.data.glob("incoming/*")) == []


def test_results_after_the_end_are_late(bench: Bench) -> None:
    calibration = bench.create()
    one, _ = bench.workers(calibration)
    work = one.work()
    bench.ada.post(f"/calibrations/{calibration}/kill")
    assert one.report(work) == "late"
    assert one.work()["kind"] == "end"
