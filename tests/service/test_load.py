"""Many workers at the same moment, and more than can be served."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack

import httpx
import pytest

from caf_service.limits import Limits
from service.bench import Bench, until
from service.load import live

WORKERS = 50


def test_every_result_of_many_workers_counts_once(start: Callable[..., Bench]) -> None:
    # They are simulated: this machine needs no room for them.
    bench = start(limits=Limits(local_workers=WORKERS))
    settings = {"start": 0.5, "mode": "brief"}
    calibration = bench.create(workers=WORKERS, settings=settings)
    tokens = bench.desk.tokens(calibration, range(WORKERS))
    workers = live(bench.server.port, tokens, repeats=True)
    assert [one.errors for one in workers] == [[]] * WORKERS
    told = bench.show(calibration)
    assert told["state"] == "finished", told["message"]
    serials = [one["serial"] for one in told["steps"]]
    assert len(serials) >= 3
    for one in workers:
        assert [serial for serial, _ in one.heard] == serials
        assert one.statuses == ["counted", "known"] * len(serials)
    assert [(one["used"], one["late"]) for one in told["steps"]] == [(WORKERS, 0)] * len(serials)
    for serial in serials:
        results = bench.service.thread.do(lambda store, at=serial: store.results(calibration, at))
        assert sorted(one.worker for one in results) == list(range(WORKERS))
        kept = bench.service.areas.result_file(calibration, serial, 0, ".json").parent
        assert len(list(kept.iterdir())) == WORKERS


def test_whoever_is_too_many_is_asked_to_come_again(start: Callable[..., Bench]) -> None:
    bench = start(limits=Limits(connections=2))
    with ExitStack() as stack:
        first, second, third = (
            stack.enter_context(httpx.Client(base_url=bench.server.url, timeout=60)) for _ in range(3)
        )
        assert first.get("/health").status_code == 200
        assert second.get("/health").status_code == 200
        refused = third.get("/health")
        assert refused.status_code == 503
        assert refused.json() == {"error": "too many connections; try again in a moment."}
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.headers["Connection"] == "close"
        first.close()
        until(lambda: third.get("/health").status_code == 200, 60)


@pytest.mark.parametrize(("hard", "told"), [(400, True), (4000, False)])
def test_a_service_opens_as_many_files_as_it_may(hard: int, told: bool) -> None:
    script = (
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (200, {hard}))\n"
        "from caf_service.descriptors import room_for_connections\n"
        "print(room_for_connections(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == [str(hard - 128), str(hard)]
    assert ("raise the hard limit" in done.stderr) == told
