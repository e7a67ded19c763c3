"""Who may do what, and that nobody reaches what is not theirs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

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


HARMFUL = [
    {"extra_lines": ["touch /tmp/mine"]},
    {"extra_args": ["--wrap=id"]},
    {"universe": "local"},
    {"getenv": True},
    {"requirements": "true"},
    {"resource_list": {"a": "b"}},
    {"path_prefix": "/tmp/mine"},
    {"command_timeout": 0.5},
    {"no such argument": 1},
]


def test_users_choose_no_argument_that_could_execute_anything(bench: Bench) -> None:
    for backend in ("slurm", "htcondor", "pbs", "lsf", "local", ""):
        for args in HARMFUL:
            said = bench.ada.post("/calibrations", wish(backend=backend, backend_args=args), 422)["error"]
            assert f"does not take the backend arguments {next(iter(args))}" in said
            assert "cpus, memory, walltime, disk" in said
    assert bench.ada.get("/calibrations") == []


USEFUL: dict[str, dict[str, Any]] = {
    "slurm": {"partition": "long,short", "account": "atlas", "qos": "high", "nice": 5, "gres": "gpu:1"},
    "htcondor": {"accounting_group": "group_calib.ada", "priority": -3},
    "pbs": {"queue": "workq", "account": "calib", "project": "p 1", "priority": 3},
    "lsf": {"queue": "short long", "project": "calib", "user_group": "g"},
    "local": {"cpus": 2, "memory": "2 GB", "walltime": "1h 30min", "disk": 500},
}


def test_users_choose_what_backends_declare(bench: Bench) -> None:
    for backend, args in USEFUL.items():
        assert bench.create(backend=backend, backend_args=args)


MORE_THAN_VALUES: list[Any] = [
    *("long\n#SBATCH --wrap=id", "-p", "--uid=0", "$(id)", "`id`", "a;b", "", " ", "a\\", "a\u2028b", "a'b"),
    *("x" * 300, "queue@elsewhere", "../a", "a\x1b[2J", 1e300, ["long"], {"a": "b"}),
]


def test_the_value_of_an_argument_is_a_value(bench: Bench) -> None:
    for value in MORE_THAN_VALUES:
        asked = wish(backend="slurm", backend_args={"partition": value})
        said = bench.ada.post("/calibrations", asked, 422)["error"]
        assert "the backend argument 'partition' is not a value" in said
        assert "\n" not in said


BOUNDS = [
    ({"cpus": 10**6}, "cpus is more than this service allows, which is 256"),
    ({"cpus": True}, "cpus is True"),
    ({"memory": "9000 TB"}, "memory is more than this service allows, which is 1048576 MB"),
    ({"memory": "9" * 400}, "too large"),
    ({"disk": "900000 GB"}, "disk is more"),
    ({"walltime": "9" * 30 + "d"}, "too large"),
    ({"walltime": "400d"}, "walltime is more than this service allows, which is 30d"),
    ({"walltime": [1]}, "no time span"),
]


def test_resources_are_bounded(bench: Bench) -> None:
    for args, said in BOUNDS:
        assert said in bench.ada.post("/calibrations", wish(backend_args=args), 422)["error"]


def test_a_refusal_names_what_is_wrong(bench: Bench) -> None:
    assert "; body: Input should be" in bench.ada.post("/calibrations", [], 422)["error"]
    made = bench.create()
    said = bench.ada.post(f"/calibrations/{made}/output", {"path": "../here"}, 422)["error"]
    assert said == "the folder '../here' is not allowed; name a relative one without '..'."


def test_an_administrator_may_allow_more(start: Callable[..., Bench]) -> None:
    allowed = ("slurm.extra_args", "slurm.mail_user", "max_running")
    bench = start(user_backend_args=allowed, backends=("slurm", "lsf"))
    more = {"extra_args": ["--hint=nomultithread"], "mail_user": "ada@example.org"}
    assert bench.create(backend="slurm", backend_args=more)
    assert bench.create(backend="lsf", backend_args={"max_running": 3})
    bench.ada.post("/calibrations", wish(backend="lsf", backend_args=more), 422)
    bench.ada.post("/calibrations", wish(backend="slurm", backend_args={"extra_args": ["a\nb"]}), 422)
    said = bench.ada.post("/calibrations", wish(backend="pbs"), 422)["error"]
    assert said == "this service has no backend 'pbs'; there are: slurm, lsf."


def test_input_files_lie_below_the_roots(start: Callable[..., Bench], tmp_path: Path) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    for folder in (root, other):
        folder.mkdir()
        (folder / "a").write_text("1")
    (root / "out").symlink_to(other)
    (root / "link").symlink_to(other / "a")
    (root / "dangling").symlink_to(other / "nothing")
    (root / "in").symlink_to(root / "a")
    bench = start(input_roots=(root, "root://eos.example.org//store"))
    fine = [root / "a", root / "in", root / "not there yet", root / "new" / "a", f"file://{root}/a"]
    for file in [*fine, "root://eos.example.org//store/a.root"]:
        assert bench.create(inputs={"muon": [str(file)], "kaon": [str(root / "a")]})
    wrong = [
        "a",
        "./a",
        "~/a",
        "",
        "/etc/passwd",
        "/etc/no such file",
        f"{root}/../other/a",
        f"{root}x/a",
        root,
    ]
    wrong += [root / "out" / "a", root / "link", root / "dangling", root / "out" / "nothing", other / "a"]
    wrong += [
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        f"//{root}/../other/a",
        f"{root}/a\n",
        "http://host/a",
    ]
    wrong += [f"root://eos.example.org//store/{one}" for one in ("../a", "%2e%2e/a", "a?authz=x")]
    wrong += ["root://eos.example.org//storex/a", "root://eos.example.org.evil.org//store/a", "ROOT:a"]
    said = set()
    for file in map(str, wrong):
        asked = wish(inputs={"muon": [str(root / "a")], "kaon": [file]})
        error = bench.ada.post("/calibrations", asked, 422)["error"]
        said.add(error.replace(repr(file), "FILE"))
    # Nobody learns from it what there is.
    assert len(said) == 1, said
    assert "the input file FILE is not allowed" in said.pop()


def test_without_input_roots_there_is_no_input(start: Callable[..., Bench], tmp_path: Path) -> None:
    bench = start(input_roots=())
    assert "--input-root" in bench.ada.post("/calibrations", wish(), 422)["error"]
