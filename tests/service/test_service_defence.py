"""What no client of the project would send."""

import hmac
import os
import shutil
import socket
import ssl
import stat
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import httpx
import pytest

from caf_core.errors import ConfigurationError
from caf_service import access, content, wire
from caf_service.config import ServiceConfig
from caf_service.limits import Limits
from caf_service.server import Server
from caf_service.service import Service, open_accounts
from service.bench import Bench, Client, Worker, until, wish


def raw(bench: Bench, request: bytes, more: Iterable[bytes] = (), limit: float = 60.0) -> bytes:
    """Send exactly this; returns what is answered until the connection ends or nothing more comes."""
    with socket.create_connection(("127.0.0.1", bench.server.port), limit) as connection:
        said = b""
        try:
            connection.sendall(request)
            for part in more:
                connection.sendall(part)
        except OSError:
            pass  # it was enough for the other side
        try:
            while b"\r\n\r\n" not in said and (part := connection.recv(1 << 16)):
                said += part
        except ConnectionResetError:
            pass
        return said


def asked(method: str, path: str, token: str, *more: str) -> bytes:
    """The head of a request, with a path that nothing has tidied up."""
    lines = [f"{method} {path} HTTP/1.1", "Host: a", f"Authorization: {token}", *more, "", ""]
    return "\r\n".join(lines).encode()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.fixture
def finished(bench: Bench) -> tuple[Bench, int]:
    """A calibration that has ended."""
    calibration = bench.create(start={"stage": 1}, settings={"start": 0.5}, files={"offset": {"text": "0"}})
    assert bench.finish(calibration, bench.workers(calibration))["state"] == "finished"
    return bench, calibration


TRICKS = [
    "../../../service.db",
    "../../../../../../etc/passwd",
    "..%2f..%2f..%2fservice.db",
    "%2e%2e%2f%2e%2e%2f%2e%2e%2fservice.db",
    "%2e%2e/%2e%2e/%2e%2e/service.db",
    "..%252f..%252fservice.db",
    "..%5c..%5cservice.db",
    "%2fetc%2fpasswd",
    "//etc/passwd",
    "/etc/passwd",
    "scale.json%00",
    "scale.json%00.txt",
    "scale.json%0a",
    "scale.json/",
    "./scale.json/../../service.db",
    "steps/1/../../../../inputs/0",
    "~root/.profile",
    "%c0%ae%c0%ae/service.db",
    "%ff%fe",
    ".",
    "..",
]


def test_no_path_on_the_wire_leads_anywhere(finished: tuple[Bench, int]) -> None:
    bench, calibration = finished
    (worker,) = bench.workers(calibration, [0])
    whose = ((bench.ada, f"/calibrations/{calibration}/files"), (worker, "/worker/files"))
    for client, path in [(client, f"{folder}/{trick}") for client, folder in whose for trick in TRICKS]:
        answer = raw(bench, asked("GET", path, client.http.headers["Authorization"], "Connection: close"))
        assert status_of(answer) in (400, 403, 404, 422), answer
        assert b"SQLite format" not in answer
        assert b"root:" not in answer


def test_no_other_spelling_of_a_path_is_open_to_others(bench: Bench) -> None:
    user = bench.ada.http.headers["Authorization"]
    body = b'{"name": "mallory", "role": "admin"}'
    for end in (
        "users%0a",
        "users%0d",
        "/users",
        "users%00",
        "users%20",
        "%0ausers",
        "users/",
        "./users",
        "users%3b",
    ):
        answer = raw(bench, asked("GET", f"/{end}", user, "Connection: close"))
        assert status_of(answer) in (400, 403, 404), (end, answer)
        head = asked(
            "POST", f"/{end}", user, "Content-Type: application/json", f"Content-Length: {len(body)}"
        )
        answer = raw(bench, head, [body])
        assert status_of(answer) in (400, 403, 404), (end, answer)
    assert "mallory" not in {one.name for one in bench.service.accounts.users()}


def test_the_number_of_a_step_is_a_number(bench: Bench) -> None:
    (worker,) = bench.workers(bench.create(), [0])
    token = worker.http.headers["Authorization"]
    for number in ("../../x", "1%2f..%2f2", "%EF%BC%91", "１", "1.0", "+1", "0x1", "1%0a", "01e0"):
        path = f"/worker/results/{number}?sha256={'0' * 64}"
        answer = raw(bench, asked("PUT", path, token, "Content-Length: 0", "Connection: close"))
        assert status_of(answer) in (400, 404, 405, 422), (number, answer)
    assert list(bench.service.areas.data.glob("calibrations/*/steps/*")) == []


def test_a_file_that_comes_along_has_a_plain_name(bench: Bench) -> None:
    names = [
        "",
        ".",
        "..",
        "../x",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "a\nb",
        "a\n",
        "a\u2028",
        "-rf",
        "ü",
        "x" * 101,
    ]
    for name in names:
        said = bench.ada.post("/calibrations", wish(files={name: {"text": "1"}}), 422)["error"]
        assert "cannot be the name of a file" in said
        assert "\n" not in said
    assert list(bench.service.areas.data.glob("incoming/*")) == []


def test_a_link_that_comes_later_is_not_followed(start: Callable[..., Bench], tmp_path: Path) -> None:
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    allowed.mkdir()
    other.mkdir()
    bench = start(output_roots=(allowed,))
    calibration = bench.create(start={"stage": 1}, output_dir=str(allowed / "mine" / "first"))
    # The folder was allowed when it was named; its owner may change what it is.
    (allowed / "mine").symlink_to(other)
    bench.finish(calibration, bench.workers(calibration))
    until(lambda: bench.show(calibration)["events"][-1]["kind"] == "not copied")
    assert "not allowed" in bench.show(calibration)["events"][-1]["text"]
    assert list(other.iterdir()) == []


def test_an_upload_that_is_too_long_is_not_kept(start: Callable[..., Bench]) -> None:
    bench = start(limits=Limits(result=1 << 20, body=1 << 16))
    (worker,) = bench.workers(bench.create(), [0])
    token = worker.http.headers["Authorization"]
    path = f"/worker/results/1?sha256={'0' * 64}"
    kept = []

    def parts(frame: Callable[[bytes], bytes]) -> Iterable[bytes]:
        for _ in range(128):
            kept.extend(one.stat().st_size for one in bench.service.areas.data.glob("incoming/*"))
            yield frame(b"x" * (1 << 16))

    def chunk(part: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(part), part)

    for head, frame in ((f"Content-Length: {10**12}", bytes), ("Transfer-Encoding: chunked", chunk)):
        assert status_of(raw(bench, asked("PUT", path, token, head), parts(frame))) == 413
        until(lambda: not list(bench.service.areas.data.glob("incoming/*")))
    assert max(kept, default=0) <= 1 << 20
    user = bench.ada.http.headers["Authorization"]
    assert status_of(raw(bench, asked("POST", "/calibrations", user, f"Content-Length: {10**12}"))) == 413
    assert bench.ada.get("/calibrations")[0]["reported"] == 0


def test_only_what_needs_a_body_may_have_one(bench: Bench) -> None:
    calibration = bench.create()
    user = bench.ada.http.headers["Authorization"]
    agent = bench.client("robot", "agent").http.headers["Authorization"]
    (worker,) = bench.workers(calibration, [0])
    token = worker.http.headers["Authorization"]
    requests = [
        ("GET", "/me", user, 1),
        ("GET", "/health", "", 1),
        ("GET", f"/calibrations/{calibration}", user, 1),
        ("POST", f"/calibrations/{calibration}/kill", user, content.SMALL + 1),
        ("POST", "/worker/heartbeat", token, content.SMALL + 1),
        ("POST", "/worker/failure", token, content.FAILURE + 1),
        ("POST", "/users", bench.client("root", "admin").http.headers["Authorization"], content.SMALL + 1),
        ("POST", f"/agent/{calibration}/died", agent, content.AGENT + 1),
        ("POST", "/calibrations", user, bench.service.config.limits.body + 1),
    ]
    for method, path, whose, size in requests:
        # Whoever announces too much is answered before any of it has come.
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: {whose}\r\n"
        answer = raw(bench, f"{head}Content-Length: {size}\r\n\r\n".encode())
        assert status_of(answer) == 413, (head, answer)
        chunk = b"10000\r\n" + b"[],," * (1 << 14) + b"\r\n"
        chunks = (chunk for _ in range(size // (1 << 16) + 2))
        answer = raw(bench, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(), chunks)
        assert status_of(answer) == 413, (head, answer)
    assert bench.show(calibration)["state"] == "running"


def test_a_body_of_too_many_values_is_not_made_into_them(start: Callable[..., Bench]) -> None:
    bench = start(limits=Limits(values=1000))
    user = {"Content-Type": "application/json"}
    too_many = [b"[" + b"[]," * 5_000_000 + b"[]]", b"{" + b'"a":1,' * 2000 + b'"a":1}', b"," * (1 << 20)]
    for body in too_many:
        answer = bench.ada.http.post("/calibrations", content=body, headers=user)
        assert answer.status_code == 413
        assert "more than 1000 values" in answer.json()["error"]
    for body in (b"[" * 65 + b"]" * 65, b'{"a":' * 100_000):
        answer = bench.ada.http.post("/calibrations", content=body, headers=user)
        assert "nested more than 64 times" in answer.json()["error"]
    # Nothing of a text is a value, and one that does not end is read once.
    text = wish(files={"offset": {"text": '0.1 "[{,:' * 10_000}}, plan="toy")
    assert "cannot begin" in bench.ada.post("/calibrations", text, 422)["error"]
    answer = bench.ada.http.post("/calibrations", content=b'"' + b'\\"' * (1 << 22), headers=user)
    assert answer.status_code == 422


DRIPS = 9_999_999
"""So many single bytes take longer to send than anybody waits for them."""


def test_a_drip_of_bytes_ends(start: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "LINGER", 0.2)
    bench = start(limits=Limits(idle=0.5, slowest=1e12))
    (worker,) = bench.workers(bench.create(), [0])
    user, token = (one.http.headers["Authorization"] for one in (bench.ada, worker))
    heads = {
        408: asked("POST", "/calibrations", user, f"Content-Length: {DRIPS}"),
        400: asked("PUT", f"/worker/results/1?sha256={'0' * 64}", token, f"Content-Length: {DRIPS}"),
        # Nobody reads what comes behind a refusal.
        401: asked("POST", "/calibrations", "nobody", f"Content-Length: {DRIPS}"),
    }
    for status, head in heads.items():
        sent = 0

        def drip() -> Iterable[bytes]:
            nonlocal sent
            while sent < DRIPS:
                sent += 1
                yield b" "

        assert status_of(raw(bench, head, drip())) == status
        assert sent < DRIPS
    until(lambda: not list(bench.service.areas.data.glob("incoming/*")))


def locked_out(bench: Bench, address: str) -> Client:
    """Somebody who tries wrong tokens until nobody listens any more."""
    guesser = bench.with_token("caf-1-" + "A" * 43)
    guesser.http.headers["X-Forwarded-For"] = address
    until(lambda: guesser.http.get("/me").status_code == 429)
    return guesser


def test_a_valid_token_is_not_refused_for_the_mistakes_of_others(start: Callable[..., Bench]) -> None:
    bench = start(limits=Limits(failures=0.01))
    eve = bench.client("eve")
    assert bench.ada.get("/me")["name"] == "ada"
    guesser = locked_out(bench, "10.0.0.1")
    # Neither of one that was heard of before, nor of one that was not.
    assert bench.ada.get("/me")["name"] == "ada"
    assert eve.get("/me")["name"] == "eve"
    # From the machine itself anything can be said of where a request comes from; it makes no difference.
    guesser.http.headers["X-Forwarded-For"] = "10.0.0.2"
    assert guesser.http.get("/me").status_code == 429
    assert bench.with_token("x").http.get("/me").status_code == 429


def test_a_proxy_is_believed_that_an_administrator_names(start: Callable[..., Bench]) -> None:
    bench = start(limits=Limits(failures=0.01), proxies=("127.0.0.1",))
    guesser = locked_out(bench, "10.0.0.1")
    guesser.http.headers["X-Forwarded-For"] = "10.0.0.2"
    assert guesser.http.get("/me").status_code == 401
    guesser.http.headers["X-Forwarded-For"] = "10.0.0.2, 10.0.0.1"
    assert guesser.http.get("/me").status_code == 429


def test_a_length_that_is_none(bench: Bench) -> None:
    user = bench.ada.http.headers["Authorization"]
    for length in ("-1", "1e3", "0x10", "1, 2", "", "9" * 400):
        head = asked("POST", "/calibrations", user, f"Content-Length: {length}", "Connection: close")
        answer = raw(bench, head)
        assert not answer or status_of(answer) in (400, 413, 422), (length, answer)
    assert bench.ada.get("/health")["status"] == "ok"


FLOOD = 100_000
"""Headers of a thousand bytes: more than the kernel keeps for whoever does not read them."""


def test_a_flood_of_headers_is_cut_off(bench: Bench) -> None:
    sent = 0

    def flood() -> Iterable[bytes]:
        nonlocal sent
        for number in range(FLOOD):
            sent += 1
            yield f"X-{number}: {'x' * 1000}\r\n".encode()

    answer = raw(bench, b"GET /health HTTP/1.1\r\nHost: a\r\n", flood())
    assert not answer or status_of(answer) in (400, 431), answer
    assert sent < FLOOD
    assert bench.ada.get("/health")["status"] == "ok"


def test_a_head_that_does_not_come_is_not_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "HEAD_TIME", 0.2)
    for begun in (b"", b"GET /health HTTP/1.1\r\nHost: a\r\n"):
        assert raw(bench, begun) == b""


def test_who_has_sent_a_head_is_not_timed_any_more(bench: Bench) -> None:
    with httpx.Client(base_url=bench.server.url, timeout=60) as client:
        first = client.get("/health").extensions["network_stream"]
        until(lambda: not bench.server._uvicorn.server_state.tasks)
        assert {one._timer for one in bench.server._uvicorn.server_state.connections} == {None}
        assert client.get("/health").extensions["network_stream"] is first


def test_what_is_no_http_is_refused(bench: Bench) -> None:
    for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00\x01", b"GET\r\n\r\n", b"GET  HTTP/1.1"):
        answer = raw(bench, nonsense + b"\r\n\r\n")
        assert not answer or status_of(answer) == 400, answer
    assert bench.ada.get("/health")["status"] == "ok"


def test_the_same_upload_at_the_same_time_counts_once(bench: Bench) -> None:
    from concurrent.futures import ThreadPoolExecutor

    calibration = bench.create()
    (token,) = bench.desk.tokens(calibration, [0]).values()
    workers = [Worker(bench.server.url, token) for _ in range(8)]
    body = b'{"pull": 0.25, "worker": 0, "serial": 1}'
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda one: one.put(1, body)["status"], workers))
    for one in workers:
        one.http.close()
    assert sorted(said) == ["counted"] + ["known"] * 7
    assert bench.show(calibration)["reported"] == 1
    (kept,) = bench.service.areas.data.glob("calibrations/*/steps/*/*")
    assert kept.read_bytes() == body


def test_an_agent_speaks_of_workers_that_there_are(bench: Bench) -> None:
    agent = bench.client("robot", "agent")
    calibration = bench.create()
    for body, path in (
        ({"workers": {"7": "gone"}}, "died"),
        ({"workers": [7]}, "resubmitted"),
        ({"workers": [7]}, "tokens"),
    ):
        assert "no worker 7" in agent.post(f"/agent/{calibration}/{path}", body, 404)["error"]
    told = bench.show(calibration)
    assert (told["failures"], told["resubmissions"]) == (0, 0)
    assert [one["kind"] for one in told["events"]] == ["created"]


def test_a_secret_is_nowhere_but_with_its_owner(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    token = bench.service.accounts.ensure("eve")
    calibration = bench.create()
    worker = bench.desk.tokens(calibration, [0])[0]
    with caplog.at_level(0):
        bench.with_token(token).get("/me")
        bench.with_token(worker).get("/worker/work")
        bench.with_token(token[:-1] + ("a" if token[-1] != "a" else "b")).get("/me", 401)
    rows = bench.service.thread.do(
        lambda store: [str(row) for table in store._m.all for row in table.select().dicts()]
    )
    assert sum(access.digest_of(token.split("-", 2)[2]) in row for row in rows) == 1
    for one in (token, worker):
        secret = one.split("-", 2)[2]
        assert not any(secret in row for row in rows)
        assert secret not in caplog.text
        for path in bench.service.areas.data.rglob("*"):
            assert path.is_dir() or secret.encode() not in path.read_bytes(), path


def test_secrets_are_compared_in_constant_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    real = hmac.compare_digest

    def noted(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return real(one, other)

    monkeypatch.setattr("hmac.compare_digest", noted)
    bench.ada.get("/me")
    assert compared
    assert set(compared) == {(64, 64)}


def test_what_a_service_keeps_is_its_owners_alone(tmp_path: Path, database: str) -> None:
    data = tmp_path / "service"
    data.mkdir()
    data.chmod(0o755)
    config = ServiceConfig(data=data, database=database)
    with open_accounts(config):
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
    data.chmod(0o777)
    Service(config).close()
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    for path in data.iterdir():
        assert path.is_file() or stat.S_IMODE(path.stat().st_mode) == 0o700, path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_not_taken(tmp_path: Path) -> None:
    data = tmp_path / "service"
    data.mkdir()
    os.chown(data, 65534, 65534)
    with pytest.raises(ConfigurationError, match="belongs to somebody else"):
        Service(ServiceConfig(data=data))


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_who_does_not_trust_the_certificate_says_nothing(tmp_path: Path, database: str) -> None:
    argv = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    argv += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run(argv.split(), cwd=tmp_path, check=True, capture_output=True)
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    config = ServiceConfig(data=tmp_path / "service", database=database, certificate=certificate, key=key)
    with Server(config) as server:
        trusting = ssl.create_default_context(cafile=str(certificate))
        assert httpx.get(f"{server.url}/health", verify=trusting, timeout=60).json()["status"] == "ok"
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{server.url}/health", timeout=60)
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"https://localhost:{server.port}/health", verify=trusting, timeout=60)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{server.port}/health", timeout=60)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.load_verify_locations(certificate)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with (
            socket.create_connection(("127.0.0.1", server.port), 60) as plain,
            old.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
        ):
            assert secured.version() == "TLSv1.2"
