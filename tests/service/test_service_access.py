"""Who may do what, and that nobody reaches what is not theirs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from caf_core.errors import ConfigurationError
from caf_service.access import digest_of, parse
from caf_service.config import ServiceConfig
from caf_service.limits import Limits
from caf_service.service import initialise, open_accounts
from service.bench import Bench, until, wish

EVERYTHING = [
    ("GET", "/me"),
    ("GET", "/plans"),
    ("GET", "/users"),
    ("POST", "/users"),
    ("POST", "/calibrations"),
    ("GET", "/calibrations"),
    ("GET", "/calibrations/1"),
    ("POST", "/calibrations/1/kill"),
    ("POST", "/calibrations/1/clean"),
    ("POST", "/calibrations/1/output"),
    ("GET", "/calibrations/1/result"),
    ("GET", "/calibrations/1/files"),
    ("GET", "/worker/inputs"),
    ("GET", "/worker/work"),
    ("PUT", "/worker/results/1"),
    ("POST", "/worker/heartbeat"),
    ("POST", "/worker/failure"),
    ("GET", "/agent/crews"),
    ("POST", "/agent/1/tokens"),
    ("GET", "/nothing"),
]


def test_without_a_valid_token_there_is_nothing(start: Callable[..., Bench]) -> None:
    bench = start(limits=Limits(failures=1000.0))
    bench.create()
    token = bench.service.accounts.ensure("eve")
    number = int(token.split("-")[1])
    wrong = ["", "x", token[:-1], token + "a", f"caf-{number + 1}{token[5:]}", "caf-1-" + "A" * 43]
    wrong += [f"caf-{10**30}-" + "A" * 43, "caf-0-" + "A" * 43, "caf-²-" + "A" * 43]
    nobody = bench.with_token("").http
    for method, path in EVERYTHING:
        for one in wrong:
            headers = {"Authorization": f"Bearer {one}".encode()} if one else {}
            answer = nobody.request(method, path, headers=headers, content=b"x" * 10)
            assert answer.status_code == 401, (method, path, one)
            assert answer.headers["www-authenticate"] == "Bearer"
    assert nobody.get("/health").json()["status"] == "ok"
    basic = nobody.get("/me", headers={"Authorization": f"Basic {token}"})
    assert basic.status_code == 401


def test_roles_keep_to_their_routes(bench: Bench) -> None:
    calibration = bench.create()
    worker = bench.workers(calibration)[0]
    agent = bench.client("robot", "agent")
    for client, allowed in ((worker, "/worker"), (agent, "/agent"), (bench.ada, "")):
        for method, path in EVERYTHING:
            if path == "/me" and client is not worker:
                continue
            own = (
                path.startswith(allowed) if allowed else not path.startswith(("/worker", "/agent", "/users"))
            )
            answer = client.http.request(method, path, params={"wait": 0})
            assert (answer.status_code == 403) != own, (method, path, answer.status_code)


def test_foreign_calibrations_do_not_exist(bench: Bench) -> None:
    calibration = bench.create(output_dir="mine")
    eve, admin = bench.client("eve"), bench.client("root", "admin")
    path = f"/calibrations/{calibration}"
    nothing = eve.get("/calibrations/999", 404)["error"].replace("999", str(calibration))
    for method, route in (("GET", ""), ("GET", "/result"), ("GET", "/files"), ("GET", "/files/a")):
        assert eve.ask(method, path + route, 404)["error"] == nothing
    for route in ("/kill", "/clean"):
        assert eve.post(path + route, None, 404)["error"] == nothing
    eve.post(path + "/output", {"path": "x"}, 404)
    eve.get(path, 404, params={"seen": "x", "wait": 30})
    assert eve.get("/calibrations") == []
    assert [one["owner"] for one in admin.get("/calibrations")] == ["ada"]
    assert bench.show(calibration)["state"] == "running"
    assert admin.post(path + "/kill")["message"] == "killed by root"
    assert admin.post(path + "/kill")["message"] == "killed by root"


def test_a_worker_reaches_only_its_own_calibration(bench: Bench) -> None:
    first, second = bench.create(), bench.create(files={"secret": {"text": "0.3"}})
    worker = bench.workers(first)[0]
    bench.workers(second)
    assert worker.get("/worker/inputs")["calibration"] == first
    worker.get("/worker/files/secret", 404)
    worker.report(worker.work())
    assert bench.show(second)["reported"] == 0


def test_a_worker_that_is_submitted_again_gets_another_token(bench: Bench) -> None:
    calibration = bench.create()
    (old,) = bench.workers(calibration, [1])
    (new,) = bench.workers(calibration, [1])
    old.get("/worker/work", 401)
    assert new.work()["kind"] == "work"
    with pytest.raises(Exception, match="no worker 2"):
        bench.desk.tokens(calibration, [2])


def test_the_token_of_a_cleaned_calibration_ends(bench: Bench) -> None:
    calibration = bench.create()
    worker = bench.workers(calibration)[0]
    assert "kill it first" in bench.ada.post(f"/calibrations/{calibration}/clean", None, 409)["error"]
    bench.ada.post(f"/calibrations/{calibration}/kill")
    bench.ada.post(f"/calibrations/{calibration}/clean")
    worker.get("/worker/work", 401)
    bench.ada.get(f"/calibrations/{calibration}", 404)
    until(lambda: not bench.service.areas.home(calibration).exists())
    assert bench.create() > calibration


def test_administrators_look_after_users(bench: Bench) -> None:
    admin = bench.client("root", "admin")
    made = admin.post("/users", {"name": "bob", "role": "user"}, 201)
    bob = bench.with_token(made["token"])
    assert bob.get("/me") == {"name": "bob", "role": "user"}
    again = bench.with_token(admin.post("/users/bob/tokens", None, 201)["token"])
    assert again.get("/me")["name"] == "bob"
    assert "already" in admin.post("/users", {"name": "bob"}, 422)["error"]
    assert "no role" in admin.post("/users", {"name": "bobo", "role": "king"}, 422)["error"]
    assert "cannot be" in admin.post("/users", {"name": "../x"}, 422)["error"]
    admin.post("/users/nobody/revoke", None, 404)
    assert admin.post("/users/bob/revoke") == {"name": "bob", "revoked": 2}
    for one in (bob, again):
        one.get("/me", 401)
    assert {one["name"]: one["active"] for one in admin.get("/users")} == {
        "ada": True,
        "bob": False,
        "root": True,
    }


def test_secrets_are_not_in_the_database(bench: Bench) -> None:
    token = bench.service.accounts.ensure("eve")
    number, secret = parse(token) or (0, "")
    row = bench.service.thread.do(lambda store: store.people.token(number))
    assert row is not None
    assert row.digest == digest_of(secret)
    for path in bench.service.areas.data.glob("service.db*"):
        assert secret.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "../../service.db",
        "..%2f..%2fservice.db",
        "%2e%2e/%2e%2e/service.db",
        "/etc/passwd",
        "//etc/passwd",
        "steps/../../result/scale.json",
        "scale.json%00",
        "steps/1/link",
        "",
        "pictures",
    ],
)
def test_no_path_leads_out_of_the_result(finished: tuple[Bench, int], name: str) -> None:
    bench, calibration = finished
    answer = bench.ada.http.get(f"/calibrations/{calibration}/files/{name}")
    # The client itself shortens some of these to a path that names no calibration.
    assert answer.status_code in (404, 422), answer.text
    assert "root:" not in answer.text


@pytest.fixture
def finished(bench: Bench) -> tuple[Bench, int]:
    calibration = bench.create(start={"stage": 1}, settings={"start": 0.5})
    assert bench.finish(calibration, bench.workers(calibration))["state"] == "finished"
    link = bench.service.areas.update_folder(calibration, 1) / "link"
    link.symlink_to("/etc/passwd")
    names = [one["name"] for one in bench.ada.get(f"/calibrations/{calibration}/files")]
    assert names == ["parameters.json", "pictures/fit.txt", "scale.json", "steps.json", "steps/1/record.txt"]
    assert bench.ada.http.get(f"/calibrations/{calibration}/files/pictures/fit.txt").text == "a fit"
    return bench, calibration


def test_results_are_copied_where_that_is_allowed(start: Callable[..., Bench], tmp_path: Path) -> None:
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    for one in (allowed, other):
        one.mkdir()
    (allowed / "door").symlink_to(other)
    bench = start(output_roots=(allowed,))
    calibration = bench.create(start={"stage": 1}, output_dir=str(allowed / "a"))
    path = f"/calibrations/{calibration}/output"
    for wrong in (
        str(other),
        str(allowed / "door"),
        f"{allowed}/../other",
        "../x",
        f"{allowed}x",
        "door/\x01\n/..",
    ):
        assert "not allowed" in bench.ada.post(path, {"path": wrong}, 422)["error"]
    bench.finish(calibration, bench.workers(calibration))
    until(lambda: (allowed / "a" / f"calibration-{calibration}" / "scale.json").exists())
    bench.ada.post(path, {"path": "later/on"})
    own = bench.service.areas.copies / str(bench.service.accounts.users()[0].id)
    until(lambda: (own / "later" / "on" / f"calibration-{calibration}" / "parameters.json").exists())
    # What is not ours is not replaced.
    (allowed / f"calibration-{calibration}").mkdir()
    bench.ada.post(path, {"path": str(allowed)})
    until(lambda: bench.show(calibration)["events"][-1]["kind"] == "not copied")
    assert list((allowed / f"calibration-{calibration}").iterdir()) == []
    assert list(other.iterdir()) == []


def test_too_many_requests_have_to_wait(start: Callable[..., Bench]) -> None:
    bench = start(limits=Limits(rate=0.001, burst=5))
    answers = [bench.ada.http.get("/me") for _ in range(7)]
    assert [one.status_code for one in answers] == [200] * 5 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert bench.client("bob").get("/me")["name"] == "bob"


def test_too_many_wrong_tokens_have_to_wait(start: Callable[..., Bench]) -> None:
    bench = start(limits=Limits(failures=0.001))
    statuses = [bench.with_token("x").http.get("/me").status_code for _ in range(3)]
    assert statuses == [401, 429, 429]


def test_one_user_has_only_so_many_calibrations_going(start: Callable[..., Bench]) -> None:
    bench = start(limits=Limits(calibrations=1))
    calibration = bench.create()
    assert "no more may" in bench.ada.post("/calibrations", wish(), 422)["error"]
    bench.create(bench.client("bob"))
    bench.ada.post(f"/calibrations/{calibration}/kill")
    bench.create()


def test_the_first_administrator_is_made_once(tmp_path: Path, database: str) -> None:
    config = ServiceConfig(data=tmp_path / "new", database=database)
    assert parse(initialise(config))
    with pytest.raises(ConfigurationError, match="there is an administrator already"):
        initialise(config)
    with open_accounts(config) as accounts:
        assert parse(accounts.add("bob", "user"))
        assert [one.name for one in accounts.users()] == ["admin", "bob"]


def test_the_api_describes_itself(bench: Bench) -> None:
    described = bench.with_token("").get("/openapi.json")
    assert "/worker/results/{serial}" in described["paths"]
    assert described["components"]["securitySchemes"]
