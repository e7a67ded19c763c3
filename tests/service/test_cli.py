"""The commands, as a user gives them."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import frozen

from caf_core.cli.app import execute
from caf_core.errors import ConfigurationError
from caf_core.testing.bench import wait_until
from caf_service.cli import calibrations as cli
from caf_service.cli.agent import check_role
from caf_service.cli.setup import (
    absent,
    address_for_workers,
    broken_plans,
    make_config,
    read_setup,
    unreachable,
    write_setup,
)
from caf_service.cli.showing import step_line
from caf_service.plans import Catalogue
from caf_service.transport import Address
from ports import free_port
from service.rig import LAST, LIMIT, LONG, Rig, ServiceProcess, caf, rig, use_plans, worker_pids

__all__ = ["rig"]


@frozen
class Said:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


@pytest.fixture
def calibrations(
    rig: Rig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Said]:
    """``caf calibrations ...`` in this process."""
    monkeypatch.setenv("CAF_SERVICE_URL", rig.server.url)
    monkeypatch.setenv("CAF_SERVICE_TOKEN", rig.token)

    def call(*words: object) -> Said:
        capsys.readouterr()
        code = execute(["calibrations", *map(str, words)])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return call


def test_the_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["--help"]) == 0
    said = capsys.readouterr().out
    for name in ("service", "agent", "worker", "calibrations"):
        assert f"  {name} " in said


def test_create_and_watch(calibrations: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "1.txt").write_text("1 2 3")
    (tmp_path / "2.txt").write_text("4")
    said = calibrations(
        "create",
        "toy_files",
        "-w",
        2,
        "-q",
        1.0,
        "-i",
        f"numbers={tmp_path}/*.txt",
        "-s",
        "rounds=1",
        "--watch",
    )
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    number = int(lines[0])
    assert [line.split()[:4] for line in lines[1:4]] == [
        ["step", "1", "phase", "first.sums.0"],
        ["step", "2", "phase", "second.again.0"],
        ["step", "3", "phase", "second.more.0"],
    ]
    assert lines[-1].startswith(f"calibration {number} has finished after")
    table = calibrations("list")
    assert table.out.splitlines()[0].split()[:4] == ["id", "name", "plan", "state"]
    assert json.loads(calibrations("list", "--json", "--state", "finished").out)[0]["id"] == number
    assert json.loads(calibrations("list", "--json", "--state", "failed").out) == []
    shown = calibrations("show", number)
    assert "second.more.0" in shown.out
    assert "converged" in shown.out
    assert json.loads(calibrations("show", number, "--json").out)["state"] == "finished"
    result = calibrations("result", number, "-o", tmp_path / "result")
    assert Path(result.out.strip()).joinpath("history.txt").exists()
    copied = calibrations("output", number, "copies/first").out.strip()
    assert copied.endswith(f"copies/first/calibration-{number}")
    wait_until(lambda: "copied" in calibrations("show", number).out, LIMIT, "the result is copied")
    assert Path(copied, "history.txt").exists()
    assert "history.txt" in calibrations("files", number).out
    assert calibrations("files", number, "history.txt").out == Path(copied, "history.txt").read_text()
    assert calibrations("clean", number).out.strip() == f"calibration {number}: cleaned"
    assert calibrations("show", number).code == 4


def test_what_plans_there_are(calibrations: Callable[..., Said]) -> None:
    lines = calibrations("plans").out.splitlines()
    assert lines[0].split() == ["name", "version", "stages", "samples", "quorum"]
    assert any(line.split()[:4] == ["toy", "1", "first", "(1),"] for line in lines)
    text = calibrations("plans", "toy_files").out
    assert "samples: numbers; quorum 1" in text
    assert "second.more" in text
    assert "how long a step takes [s]" in text
    assert json.loads(calibrations("plans", "toy", "--json").out)[0]["name"] == "toy"
    assert (calibrations("plans", "none").code, calibrations("plans", "none").out) == (2, "")


def test_where_workers_are_told_to_find_a_service() -> None:
    url = "http://0.0.0.0:8443"
    assert address_for_workers({"url": "https://calib"}, "0.0.0.0", url) == "https://calib"
    assert address_for_workers({}, "0.0.0.0", url) == f"http://{socket.gethostname()}:8443"
    assert address_for_workers({}, "127.0.0.1", "http://127.0.0.1:1") == "http://127.0.0.1:1"
    assert "--url" in unreachable({"backend": "slurm"}, "http://127.0.0.1:8443")
    assert unreachable({"backend": "slurm"}, "http://calib:8443") == ""
    assert unreachable({"backend": "local"}, "http://127.0.0.1:8443") == ""


def test_a_backend_that_is_not_there_is_told_at_the_start() -> None:
    assert absent({"backend": "local"}) == absent({}) == ""
    told = absent({"backend": "slurmm"})
    assert told.startswith("calibrations that name no backend will fail: ") and "'slurm'" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no JSON"),
        ("[]", "holds a list"),
        ('{"ports": 1}', "no setting ports; there are: backend,"),
        ('{"limits": 1}', "limits: there is nothing by name"),
        ('{"limits": {"bodies": 1}}', "limits: there is no setting bodies; there are: body,"),
        ('{"limits": {"body": "1"}}', "body is '1'; it is a whole number from 1 on"),
        ('{"port": 80.5}', "port is 80.5"),
        ('{"retention": -1}', "retention is -1; it is a number from 0 on"),
        ('{"heartbeat": true}', "heartbeat is True"),
        ('{"database": "mysql://here"}', "'mysql' is not known"),
    ],
)
def test_a_setup_that_cannot_be(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "service.json").write_text(text)
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        make_config(tmp_path, read_setup(tmp_path))


def test_a_setup_is_kept_for_its_owner(tmp_path: Path) -> None:
    setup = {"port": 1, "retention": 60, "limits": {"body": 100}, "backend": "slurm"}
    write_setup(tmp_path, setup)
    config = make_config(tmp_path, read_setup(tmp_path))
    assert (config.port, config.retention, config.limits.body) == (1, 60, 100)
    assert (tmp_path / "service.json").stat().st_mode & 0o077 == 0


def test_a_plan_that_cannot_be_imported_is_told_of() -> None:
    (told,) = broken_plans(Catalogue({"lost": "nowhere:PLAN", "toy": "service.toy_plan:PLAN"}))
    assert "'lost' is not offered" in told


def test_kill(calibrations: Callable[..., Said], rig: Rig) -> None:
    number = int(calibrations("create", "toy", "-w", 1, "-s", f"seconds={LONG}", "--name", "long").out)
    assert rig.client.status(number)["name"] == "long"
    assert calibrations("kill", number, number).out == f"calibration {number}: killed\n" * 2
    watched = calibrations("watch", number)
    assert (watched.code, "has been killed" in watched.out) == (1, True)


def test_what_is_wrong_is_said_in_one_line(calibrations: Callable[..., Said], tmp_path: Path) -> None:
    for words, text in [
        (("create", "toy", "-w", 1, "-s", "colour=blue"), "superfluous: colour"),
        (("create", "nothing", "-w", 1), "nothing"),
        (("create", "toy", "-w", 1, "-s", "rounds"), "--set 'rounds' has no value"),
        (("create", "toy", "-w", 1, "-i", f"numbers={tmp_path}/none*"), "no input file matches"),
        (("show", 4711), "4711"),
    ]:
        said = calibrations(*words)
        assert said.code in (2, 4)
        assert said.err.startswith("caf: ")
        assert len(said.err.splitlines()) == 1
        assert text in said.err


def test_start_and_stop_of_a_part(calibrations: Callable[..., Said], rig: Rig) -> None:
    words = (
        "create",
        "toy",
        "-w",
        1,
        "-s",
        "rounds=1",
        "--start",
        "second",
        "--stop",
        "second.again",
        "--watch",
    )
    said = calibrations(*words)
    assert said.code == 0
    status = rig.client.status(int(said.out.split()[0]))
    assert [(one["stage"], one["phase"]) for one in status["steps"]] == [("second", "again")]


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> Iterator[ServiceProcess]:
    """A service in a process of its own, not yet started."""
    use_plans(monkeypatch)
    one = ServiceProcess.make(tmp_path / "service", **({"database": database} if database else {}))
    yield one
    one.stop()


def test_a_service_with_its_users(service: ServiceProcess) -> None:
    service.start()
    with service.client() as admin:
        assert admin.me() == {"name": "admin", "role": "admin"}
        token = caf("service", "user", "add", service.data, "ada").stdout.strip()
        assert token.startswith("caf-")
        env = {"CAF_SERVICE_URL": service.url, "CAF_SERVICE_TOKEN": token}
        number = int(caf("calibrations", "create", "toy", "-w", 2, env=env).stdout)
        said = caf("calibrations", "watch", number, env=env).stdout.splitlines()
        assert len(said) == LAST + 1
        assert admin.statuses()[0]["owner"] == "ada"
        other = caf("service", "user", "token", service.data, "ada").stdout.strip()
        assert other != token
        users = json.loads(caf("service", "user", "list", service.data, "--json").stdout)
        assert {one["name"] for one in users} == {"admin", "ada"}
        assert "2 tokens of ada" in caf("service", "user", "revoke", service.data, "ada").stderr


def test_a_service_is_made_once(service: ServiceProcess) -> None:
    for words in (["init", str(service.data)], ["start", str(service.data / "nowhere")]):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "caf_core.cli", "service", *words],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.startswith("caf: ")
    assert (service.data / "service.json").exists()


def test_a_terminal_does_not_obey_what_others_have_written(
    calibrations: Callable[..., Said], rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = rig.create(workers=1, name="mine\x1b[2J", settings={"seconds": LONG})
    log = rig.server.service.areas.failure_log(number, 0)
    log.parent.mkdir(parents=True)
    content = "first\tline\x1b]0;title\x07\nsecond \x9b2J\n".encode() + b"\xff"
    log.write_bytes(content)
    # A file that goes into another one is what it was.
    piped = subprocess.run(
        [sys.executable, "-P", "-m", "caf_core.cli", "calibrations", "files", str(number), "failures/0.txt"],
        env={**os.environ, "CAF_SERVICE_URL": rig.server.url, "CAF_SERVICE_TOKEN": rig.token},
        capture_output=True,
        check=True,
    )
    assert piped.stdout == content
    monkeypatch.setattr(cli, "_is_terminal", lambda: True)
    said = calibrations("files", number, "failures/0.txt").out
    assert said == "first\tline\\x1b]0;title\\x07\nsecond \\x9b2J\n\\xff\n"
    for words in (("list",), ("show", number), ("kill", number), ("files", number), ("plans", "toy")):
        assert "\x1b" not in calibrations(*words).out
    step = {"serial": 1, "stage": "a\x1b", "phase": "b", "step": 0, "used": 1, "missing": [], "late": 0}
    step |= {"began": 0.0, "ended": 1.0, "metrics": {"w\x1b": 1.0}, "converged": True, "message": "\x1b"}
    assert "\x1b" not in step_line(step)


def test_an_agent_needs_a_token_of_its_role(rig: Rig) -> None:
    with pytest.raises(ConfigurationError, match="role user, and an agent needs"):
        check_role(Address(rig.server.url, rig.token))
    with pytest.raises(ConfigurationError, match="does not take the token"):
        check_role(Address(rig.server.url, "nonsense"))
    check_role(Address(rig.server.url, rig.server.service.accounts.ensure("robin", "agent")))
    check_role(Address(f"http://127.0.0.1:{free_port()}", "whoever"))  # it may come


def test_an_agent_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_plans(monkeypatch)
    data, port = tmp_path / "service", free_port()
    plan = "--plan=toy=service.toy_plan:PLAN"
    admin = caf("service", "init", data, f"--port={port}", plan).stdout.strip()
    token = caf("service", "user", "add", data, "robin", "--role", "agent").stdout.strip()
    url = f"http://127.0.0.1:{port}"
    python = [sys.executable, "-P", "-m", "caf_core.cli"]
    env = {**os.environ, "CAF_SERVICE_URL": url, "CAF_SERVICE_TOKEN": token}
    service = subprocess.Popen([*python, "service", "start", str(data), "--no-agent"])
    agent = subprocess.Popen([*python, "agent", str(tmp_path / "agent")], env=env)
    try:
        mine = {"CAF_SERVICE_URL": url, "CAF_SERVICE_TOKEN": admin}
        number = int(caf("calibrations", "create", "toy", "-w", 2, env=mine).stdout)
        assert "has finished" in caf("calibrations", "watch", number, env=mine).stdout
        home = tmp_path / "agent" / "calibrations" / str(number)
        wait_until(lambda: not worker_pids(home), LIMIT, "the workers are gone")
    finally:
        for process in (agent, service):
            process.terminate()
            assert process.wait(LIMIT) == 0


def test_a_metric_that_is_no_number_is_shown() -> None:
    times = {"began": 0.0, "ended": 1.0}
    step = {"serial": 1, "stage": "a", "phase": "b", "step": 0, "used": 1, "missing": [], "late": 0, **times}
    line = step_line({**step, "metrics": {"width": None, "mean": 1.0}, "converged": True, "message": ""})
    assert "metrics width nan, mean 1" in line
