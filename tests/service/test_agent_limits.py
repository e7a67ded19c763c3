"""How many workers an agent lets a machine execute, and what it starts of what was killed."""

import logging
from pathlib import Path

import pytest
from attrs import evolve

from caf_core.testing.bench import wait_until
from caf_service.limits import Limits
from caf_service.places import local_places
from caf_service.transport import RefusedError
from service.rig import LIMIT, LONG, QUICK, rigged, use_plans


def test_a_machine_never_executes_more_workers_than_it_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use_plans(monkeypatch)
    caplog.set_level(logging.INFO, "caf.agent")
    with rigged(tmp_path, terms=evolve(QUICK, places=3), limits=Limits(local_workers=3)) as rig:
        with pytest.raises(RefusedError, match="room for 3 workers on this machine, and not for 10000"):
            rig.create(workers=10_000)
        first = rig.create(workers=2, settings={"seconds": LONG})
        rig.executes(first, 2)
        waiting, doomed, last = (rig.create(workers=many, settings={"rounds": 1}) for many in (2, 3, 1))
        wait_until(lambda: f"calibration {last} waits for room" in caplog.text, LIMIT, "they wait")
        assert "calibration 2 waits for room: 2 of 3 workers execute" in caplog.text
        told = next(rig.client.watch(waiting))["message"]
        assert told == "it waits for room: 2 of 3 workers execute on this machine"
        assert [rig.pids(one) for one in (waiting, doomed, last)] == [{}, {}, {}]
        # What is killed while it waits starts nothing, and holds nobody up.
        rig.client.kill(doomed)
        rig.client.kill(first)
        for one in (waiting, last):
            status = rig.client.wait(one, LIMIT)
            assert (status["state"], status["message"]) == ("finished", "")
        rig.dismissed()
        assert not (rig.home / "agent" / "calibrations" / str(doomed)).exists()


def test_an_agent_elsewhere_has_limits_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_plans(monkeypatch)
    with rigged(tmp_path, terms=evolve(QUICK, places=1), limits=Limits(local_workers=100)) as rig:
        status = rig.client.wait(rig.create(workers=50), LIMIT)
        assert "this machine has room for 1 workers, and not for 50" in status["message"]
        rig.dismissed()


def test_a_machine_has_room_for_a_few_workers() -> None:
    assert 4 <= local_places() < 10_000
