"""The Python client against a real service."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from caf_core.errors import ConfigurationError
from caf_core.testing.bench import wait_until
from caf_service.client import Client, files_of, find_address
from caf_service.config import ServiceConfig
from caf_service.listeners import OWNER
from caf_service.server import Server
from caf_service.transport import Address, RefusedError, Transport, UnreachableError, UntrustedError
from ports import free_port
from service.rig import LAST, LIMIT, LONG, Rig, rig

__all__ = ["rig"]


def test_a_live_view_ends_with_the_calibration(rig: Rig) -> None:
    number = rig.create(workers=2, settings={"rounds": 1})
    statuses = list(rig.client.watch(number))
    assert statuses[-1]["state"] == "finished"
    serials = [status["serial"] for status in statuses]
    assert serials == sorted(serials)
    assert serials[-1] == 3  # a step that was over before the next question is not seen
    versions = [status["version_seen"] for status in statuses]
    assert all(earlier < later for earlier, later in pairwise(versions))


def test_one_file_is_not_its_letters() -> None:
    assert files_of("data/a.root") == ["data/a.root"]
    assert files_of(Path("a")) == ["a"]
    assert files_of(name for name in ("a", Path("b"))) == ["a", "b"]


def test_statuses_are_ones_own(rig: Rig) -> None:
    number = rig.create(workers=1, settings={"seconds": LONG}, name="mine")
    with Client(rig.server.url, rig.server.service.accounts.ensure("eve", "user")) as eve:
        assert eve.statuses() == []
        with pytest.raises(RefusedError) as refused:
            eve.kill(number)
        assert refused.value.status == 404
    assert [(one["id"], one["name"]) for one in rig.client.statuses()] == [(number, "mine")]
    assert rig.client.statuses("finished") == []
    assert rig.client.parameters(number)["scale"] == 1.0


def test_wrong_settings_are_named_in_one_sentence(rig: Rig) -> None:
    with pytest.raises(RefusedError, match=r"superfluous: colour") as refused:
        rig.create(settings={"colour": "blue"})
    assert refused.value.status == 422


def test_kill_clean_and_the_result_of_nothing(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = rig.create(settings={"seconds": LONG})
    rig.executes(number, 3)
    with pytest.raises(RefusedError) as refused:
        rig.client.clean(number)
    assert refused.value.status == 409
    assert rig.client.kill(number)["state"] == "killed"
    assert rig.client.kill(number)["state"] == "killed"
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    for nothing in (number, number + 1000):
        with pytest.raises(RefusedError):
            rig.client.get_result(nothing)
    assert sorted(tmp_path.iterdir()) == before
    rig.client.clean(number)
    with pytest.raises(RefusedError) as refused:
        rig.client.status(number)
    assert refused.value.status == 404
    wait_until(lambda: not rig.pids(number), LIMIT, "the workers of what was cleaned are gone")


def test_the_result_goes_where_it_is_wanted(rig: Rig, tmp_path: Path) -> None:
    number = rig.create(workers=1, settings={"rounds": 1})
    rig.client.wait(number, LIMIT)
    assert {one["name"] for one in rig.client.files(number)} >= {"parameters.json", "steps.json"}
    steps = json.loads(rig.client.get_file(number, "steps.json", tmp_path / "steps.json").read_text())
    assert len(steps) == LAST // 2
    folder = rig.client.get_result(number, tmp_path / "here")
    assert {path.name for path in folder.iterdir()} >= {"parameters.json", "steps.json", "history.txt"}
    assert rig.client.change_output_dir(number, "mine/first")["output_dir"].endswith("mine/first")
    with pytest.raises(RefusedError) as refused:
        rig.client.change_output_dir(number, "../../elsewhere")
    assert refused.value.status == 422


def test_the_same_key_is_the_same_calibration(rig: Rig) -> None:
    wish = {"workers": 1, "settings": {"seconds": LONG}, "key": "once"}
    first = rig.client.create_calibration("toy", **wish)
    assert rig.client.create_calibration("toy", **wish).id == first.id


def test_waiting_has_an_end(rig: Rig) -> None:
    number = rig.create(settings={"seconds": LONG})
    with pytest.raises(TimeoutError):
        rig.client.wait(number, 0.5)


def test_administration(rig: Rig) -> None:
    with Client(rig.server.url, rig.server.service.accounts.ensure("root", "admin")) as admin:
        token = admin.add_user("bob")
        with Client(rig.server.url, token) as bob:
            assert bob.me() == {"name": "bob", "role": "user"}
        assert {"ada", "bob", "root"} <= {one["name"] for one in admin.users()}
        assert admin.new_token("bob") != token
        assert admin.revoke("bob") == 2
        with Client(rig.server.url, token) as bob, pytest.raises(RefusedError) as refused:
            bob.me()
        assert refused.value.status == 401
    assert {one["name"] for one in rig.client.plans()} >= {"toy", "toy_command", "toy_files"}


def test_a_service_that_is_away_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url, patience=0.3) as client, pytest.raises(UnreachableError, match=url) as error:
        try:
            client.me()
        except Exception as abandoned:
            raise abandoned.__cause__ or abandoned from None
    assert "does not answer" in str(error.value)


def test_where_the_service_is(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    with pytest.raises(ConfigurationError, match="CAF_SERVICE_URL"):
        find_address(environ=home)
    file = tmp_path / ".config" / "caf" / "service.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"url": "http://kept:1", "token": "kept", "certificate": "/ca.pem"}))
    kept = find_address(environ=home)
    assert (kept.url, kept.token, kept.certificate) == ("http://kept:1", "kept", Path("/ca.pem"))
    said = find_address(environ={**home, "CAF_SERVICE_URL": "http://said:2"})
    assert (said.url, said.token) == ("http://said:2", "kept")
    assert find_address("http://here:3", "mine", environ=home).token == "mine"
    file.write_text("{")
    with pytest.raises(ConfigurationError, match="no JSON"):
        find_address(environ=home)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificates")
def test_a_certificate_that_an_authority_signed(tmp_path: Path) -> None:
    """Workers are told to trust the service's own certificate, whoever signed it."""
    (tmp_path / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for words in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout key.pem -out leaf.csr",
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out leaf.pem",
    ):
        subprocess.run(["openssl", *words.split()], cwd=tmp_path, check=True, capture_output=True)
    certificate, key = tmp_path / "leaf.pem", tmp_path / "key.pem"
    with Server(ServiceConfig(data=tmp_path / "service", certificate=certificate, key=key)) as server:
        token = server.service.accounts.ensure("ada", "user")
        for trusted in (certificate, tmp_path / "ca.pem"):
            with Client(server.url, token, certificate=trusted) as client:
                assert client.me()["name"] == "ada"
        with (
            Client(server.url, token, patience=600.0) as client,  # it is not waited for
            pytest.raises(UntrustedError, match=r"CERTIFI.*CAF_SERVICE_CERTIFICATE names a file"),
        ):
            client.me()


STRANGER = """
import os, socket, sys
host, user = sys.argv[1], int(sys.argv[2])
os.setuid(user)
listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
print(listener.getsockname()[1], flush=True)
while True:
    connection, _ = listener.accept()
    said = connection.recv(1000)
    print(len(said), flush=True)
    connection.sendall(b"HTTP/1.1 404 Not Found\\r\\nContent-Length: 0\\r\\n\\r\\n")
    connection.close()
"""


@contextmanager
def stranger(host: str, user: int) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A program of another user that listens on this machine; it tells how much it was told."""
    command = [sys.executable, "-S", "-E", "-c", STRANGER, host, str(user)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can execute a program as another user")
@pytest.mark.parametrize(
    ("listens", "asked"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.2"), ("::1", "[::1]")]
)
def test_no_token_is_sent_to_another_users_program(
    listens: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(OWNER, raising=False)
    with stranger(listens, 12345) as (port, process):
        url = f"http://{asked}:{port}"
        with (
            Client(url, "secret", patience=600.0) as client,  # it is not waited for
            pytest.raises(
                UntrustedError, match=r"the user 12345, and would get the token; .*CAF_SERVICE_OWNER"
            ),
        ):
            client.me()
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        for owner in ("12346", "no such account"):
            with pytest.raises(UntrustedError, match=f"the user 12345, and CAF_SERVICE_OWNER is {owner}"):
                Transport(Address(url, "secret", owner=owner)).get("/me")
            assert process.stdout.readline() == "0\n"
        monkeypatch.setenv(OWNER, "12345")
        with Client(url, "secret") as client, pytest.raises(RefusedError):
            client.me()
        assert int(process.stdout.readline()) > 0
