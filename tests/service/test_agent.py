"""Whole calibrations on Local: workers come, work, die, come again, and go."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve

from caf_core.jobs.task import Resources
from caf_core.testing.bench import wait_until
from caf_local import Local
from caf_service.agent import Agent, Place, Terms
from caf_service.client import Client
from caf_service.config import ServiceConfig
from caf_service.desk import AgentDesk, Seen
from caf_service.remote_desk import RemoteDesk
from caf_service.server import Server
from caf_service.transport import Address, RefusedError
from service.rig import LAST, LIMIT, LONG, PLANS, QUICK, Rig, rig, rigged, use_plans

__all__ = ["rig"]


def whole_steps(status: Any) -> bool:
    """Whether every step used each worker once, and none was left out or repeated."""
    serials = [step["serial"] for step in status["steps"]]
    everybody = all(step["used"] == status["workers"] and not step["missing"] for step in status["steps"])
    return everybody and serials == list(range(1, len(serials) + 1))


def expected(workers: int, rounds: int = 2, phases: int = 3) -> list[float]:
    """The history that an undisturbed calibration leaves."""
    mean = sum(range(1, workers + 1)) / workers
    return [mean * 0.5**step for step in range(rounds * phases)]


def test_a_calibration_from_beginning_to_end(rig: Rig, tmp_path: Path) -> None:
    number = rig.create(workers=3)
    status = rig.client.wait(number, LIMIT)
    assert (status["state"], status["message"], status["failures"]) == ("finished", "", 0)
    assert len(status["steps"]) == LAST
    assert whole_steps(status)
    assert rig.client.parameters(number)["history"] == pytest.approx(expected(3))
    result = rig.client.get_result(number, tmp_path / "result")
    assert len((result / "history.txt").read_text().split()) == LAST
    rig.dismissed()
    assert rig.pids(number) == {}
    assert not (tmp_path / "agent" / "calibrations" / str(number)).exists()


def test_a_plan_with_a_command(rig: Rig) -> None:
    number = rig.create("toy_command", workers=2, quorum=1.0, settings={"rounds": 1})
    status = rig.client.wait(number, LIMIT)
    assert status["state"] == "finished"
    assert rig.client.parameters(number)["history"] == pytest.approx(expected(2, rounds=1))


def test_workers_get_their_share_of_the_input(rig: Rig, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text(f"{number}\n{number}\n")
    files = [tmp_path / f"{number}.txt" for number in range(5)]
    made = rig.create("toy_files", workers=2, settings={"rounds": 1}, inputs={"numbers": files})
    assert rig.client.wait(made, LIMIT)["state"] == "finished"
    assert rig.client.parameters(made)["history"][0] == pytest.approx(2 * sum(range(5)) / 2)


def test_a_worker_that_reports_a_failure_ends_the_calibration_when_all_have_failed(rig: Rig) -> None:
    number = rig.create(workers=2, settings={"failing": [0, 1]})
    status = rig.client.wait(number, LIMIT)
    assert status["state"] == "failed"
    assert status["failures"] >= 2
    texts = " ".join(event["text"] for event in status["events"])
    assert "step 1" in texts


def test_a_killed_worker_is_submitted_again(rig: Rig, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    number = rig.create(workers=3, quorum=1.0, settings={"gate": str(gate), "gate_after": 2})
    rig.reaches(number, 3)
    os.kill(rig.pids(number)[1], signal.SIGKILL)
    gate.touch()
    status = rig.client.wait(number, LIMIT)
    assert (status["state"], status["failures"], status["resubmissions"]) == ("finished", 1, 1)
    assert whole_steps(status)
    assert rig.client.parameters(number)["history"] == pytest.approx(expected(3))


def test_dead_workers_are_submitted_again_together(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "once").mkdir()
    settings = {"dying": [0, 2, 3], "once": str(tmp_path / "once"), "seconds": 0.2, "rounds": 2}
    number = rig.create(workers=5, quorum=1.0, settings=settings)
    status = rig.client.wait(number, LIMIT)
    assert (status["state"], status["failures"]) == ("finished", 3)
    assert status["resubmissions"] <= 3
    assert rig.client.parameters(number)["history"] == pytest.approx(expected(5, rounds=2))


@define
class Ahead:
    """A clock that goes ahead when a test wants it."""

    by: float = 0.0

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self.by


def test_a_worker_without_a_sign_of_life_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_plans(monkeypatch)
    gate, hears, looks = tmp_path / "gate", Ahead(), Ahead()
    # Nobody is silent for an hour by chance: it passes on the clock of the agent.
    with rigged(tmp_path, terms=evolve(QUICK, silence=3600.0, pending=0.5), clock=looks) as rig:
        desk = rig.server.service.desk
        desk._clock = hears
        number = rig.create(workers=3, quorum=1.0, settings={"gate": str(gate), "gate_after": 2})
        rig.reaches(number, 3)
        stopped = rig.pids(number)[0]
        os.kill(stopped, signal.SIGSTOP)

        def heard_anew(before: Mapping[int, Seen]) -> bool:
            return all(desk.seen(number)[worker].time != before[worker].time for worker in (1, 2))

        # The clock of those who listen is corrected meanwhile, by days: that is neither silence nor life.
        for by in (86400.0, -86400.0, 5 * 86400.0, -86400.0, 0.0):
            hears.by = by
            looks.by += 900.0
            for _ in range(2):
                before = desk.seen(number)
                wait_until(lambda before=before: heard_anew(before), LIMIT, "the others give signs of life")
        gate.touch()
        status = rig.client.wait(number, LIMIT)
        assert (status["state"], status["failures"]) == ("finished", 1)
        assert any("worker 0: no sign of life" in event["text"] for event in status["events"])
        assert not Path(f"/proc/{stopped}").exists()
        assert whole_steps(status)
        rig.dismissed()


def test_killing_a_calibration_ends_its_workers_at_once(rig: Rig) -> None:
    number = rig.create(workers=2, settings={"seconds": LONG})
    rig.executes(number, 2)
    assert rig.client.kill(number)["state"] == "killed"
    wait_until(lambda: not rig.pids(number), LIMIT, "the workers have ended")
    rig.dismissed()
    assert rig.client.status(number)["failures"] == 0


def test_slow_workers_are_missing_and_not_failed(rig: Rig) -> None:
    number = rig.create(workers=4, quorum=0.5, settings={"slow": [1, 3], "seconds": 0.1})
    status = rig.client.wait(number, LIMIT)
    assert (status["state"], status["failures"], status["dead"]) == ("finished", 0, [])
    assert [one["missing"] for one in status["steps"]] == [[1, 3]] * LAST
    rig.dismissed()
    assert rig.pids(number) == {}
    after = rig.client.status(number)
    assert (after["failures"], after["resubmissions"]) == (0, 0)
    assert {one["kind"] for one in after["events"]} <= {"created", "finished"}


def test_workers_that_waited_in_vain_are_submitted_again_and_have_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_plans(monkeypatch)
    gate = tmp_path / "gate"
    with rigged(tmp_path, terms=evolve(QUICK, patience=0.5)) as rig:
        settings = {"gate": str(gate), "gate_after": 2}
        number = rig.create(workers=3, quorum=1.0, settings=settings)
        rig.reaches(number, 3)
        pids = [*rig.pids(number).values()]
        assert len(pids) == 3
    gate.touch()
    for pid in pids:
        rig.gone(pid)
    with rigged(tmp_path) as rig:
        status = rig.client.wait(number, LIMIT)
        assert (status["state"], status["failures"]) == ("finished", 0)
        assert status["resubmissions"] >= 1
        died = [one["text"] for one in status["events"] if one["kind"] == "died"]
        assert len(died) == 3
        assert all("the service was away for too long" in text for text in died)
        assert whole_steps(status)
        assert rig.client.parameters(number)["history"] == pytest.approx(expected(3))
        rig.dismissed()


def test_an_unknown_backend_is_refused(rig: Rig) -> None:
    with pytest.raises(RefusedError, match=r"no backend 'nothing-of-this-name'; there are: .*local"):
        rig.create(workers=2, backend="nothing-of-this-name")


def test_an_agent_that_is_started_again_finds_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_plans(monkeypatch)
    with rigged(tmp_path) as rig:
        gate = tmp_path / "gate"
        number = rig.create(workers=2, quorum=1.0, settings={"gate": str(gate), "gate_after": 1})
        rig.reaches(number, 2)
        before = rig.pids(number)
    # Another port: the workers look where the service is now.
    with rigged(tmp_path) as rig:
        assert rig.pids(number) == before
        gate.touch()
        status = rig.client.wait(number, LIMIT)
        assert (status["state"], status["failures"]) == ("finished", 0)
        assert rig.client.parameters(number)["history"] == pytest.approx(expected(2))
        rig.dismissed()


def test_the_desk_over_http_is_the_same_desk(rig: Rig) -> None:
    token = rig.server.service.accounts.ensure("robin", "agent")
    remote = RemoteDesk(Address(rig.server.url, token))
    desk: AgentDesk = remote
    number = rig.create(workers=2, settings={"seconds": LONG}, backend_args={"cpus": 1})
    wait_until(lambda: bool(desk.crews()[0].seen), LIMIT, "a worker was seen")
    (here,) = rig.server.service.desk.crews()
    (there,) = desk.crews()
    assert (there.calibration, there.state, there.workers, there.job) == (
        number,
        here.state,
        here.workers,
        here.job,
    )
    assert set(there.seen) <= set(here.seen) | {0, 1}
    while desk.wait(0.1):  # what has happened so far
        pass
    desk.died(number, {1: "told so by a test"})
    assert desk.wait(LIMIT)
    # The agent of the rig may have submitted it again by now; what stays is that it died.
    assert desk.crews()[0].failures == 1
    assert "worker 1: told so by a test" in [one["text"] for one in rig.client.status(number)["events"]]
    remote.close()


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_plans(monkeypatch)
    argv = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    argv += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run(argv.split(), cwd=tmp_path, check=True, capture_output=True)
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    config = ServiceConfig(data=tmp_path / "service", plans=PLANS, certificate=certificate, key=key)
    with Server(config) as server:
        token = server.service.accounts.ensure("ada", "user")
        place = Place(tmp_path / "agent", server.url, certificate)
        with (
            Agent(server.service.desk, place, backend=Local(), terms=QUICK),
            Client(server.url, token, certificate=certificate) as client,
        ):
            assert server.url.startswith("https://")
            number = client.create_calibration("toy", workers=1, settings={"rounds": 1}).id
            assert client.wait(number, LIMIT)["state"] == "finished"
            wait_until(lambda: not server.service.desk.crews(), LIMIT, "the workers are gone")


def test_local_gets_as_many_places_as_there_are_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_plans(monkeypatch)
    backend = Local(max_processes=1)
    with rigged(tmp_path, backend=backend) as rig:
        number = rig.create(workers=3, quorum=1.0, settings={"rounds": 1})
        assert rig.client.wait(number, LIMIT)["state"] == "finished"
        assert backend.max_processes == 3
        rig.dismissed()


def test_the_site_says_what_the_terms_leave_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "caf.toml"
    site.write_text("[resources]\nmemory_mb = 300\nwalltime = '2 h'\n")
    monkeypatch.setenv("CAF_CONFIG", str(site))
    terms = Terms(interval=7.0, resources=Resources(memory_mb=900))
    with Server(ServiceConfig(data=tmp_path / "service")) as server:
        agent = Agent(server.service.desk, Place(tmp_path / "agent", server.url), terms=terms)
    kept = agent._terms
    assert (kept.interval, kept.resources.memory_mb) == (7.0, 900)
    assert kept.resources.walltime == timedelta(hours=2)
