"""Everything that the API describes, asked in every role with what it describes and with what it does not:
no fault of the service, and no answer but those described.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from caf_service.limits import Limits
from service.bench import Bench, until, wish

EXAMPLES = 12
"""So often one thing is asked in one role: as it is described, and so often again as it is not."""

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ALLOWED = {
    "user": ("/calibrations", "/plans", "/me", "/health"),
    "admin": ("/calibrations", "/plans", "/me", "/health", "/users", "/agent"),
    "agent": ("/agent", "/me", "/health"),
    "worker": ("/worker", "/health"),
}
"""Role -> the beginnings of the paths where it may go."""

DANGEROUS = ("/kill", "/clean", "/revoke", "/dismissed", "/broken")
"""What ends something is asked of what nothing else needs."""

FREE = Limits(
    rate=1e9, burst=10**9, failures=1e8, wait=0.02, calibrations=10_000, body=1 << 18, result=1 << 16
)


class World:
    """A service with something of everything, and a token of each role.

    Args:
        bench: The service.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.going = bench.create(files={"offset": {"text": "0.1"}})
        self.doomed = bench.create()
        self.ended = bench.create(workers=1, start={"stage": "second"})
        (worker,) = bench.workers(self.ended, [0])
        worker.report(worker.work())
        until(lambda: bench.show(self.ended)["state"] == "finished", 60)
        bench.client("eve")
        self.tokens = {
            "user": bench.service.accounts.ensure("ada"),
            "admin": bench.service.accounts.ensure("root", "admin"),
            "agent": bench.service.accounts.ensure("robot", "agent"),
            "worker": bench.desk.tokens(self.going, [0])[0],
        }

    def known(self, name: str, path: str) -> list[Any]:
        """Values of a parameter of a path that mean something, or look as if they did."""
        dangerous = path.endswith(DANGEROUS)
        if name == "number":
            return [self.doomed] if dangerous else [self.going, self.ended]
        if name == "serial":
            return [1, 2]
        if path.startswith("/users"):
            return ["eve"] if dangerous else ["eve", "ada"]
        if path.startswith("/worker"):
            return ["offset", "../0", "%2e%2e/%2e%2e/service.db"]
        return ["scale.json", "steps/1/record.txt", "../service.db", "%2e%2e/%2e%2e/service.db"]

    def adapt(self, case: Any, data: st.DataObject) -> None:
        """Let a part of what was made up be about something that there is."""
        path = case.operation.path
        for name in list(case.path_parameters or {}):
            if data.draw(st.booleans()):
                case.path_parameters[name] = data.draw(st.sampled_from(self.known(name, path)))
        if path == "/calibrations" and isinstance(case.body, dict) and data.draw(st.booleans()):
            kept = data.draw(st.sets(st.sampled_from([*case.body, "plan"]), max_size=2))
            case.body = {**wish(), **{name: case.body[name] for name in kept if name in case.body}}
        if "sha256" in (case.query or {}) and data.draw(st.booleans()):
            case.body = data.draw(st.binary(max_size=100))
            case.query["sha256"] = hashlib.sha256(case.body).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("database", "role"),
    # An administrator may do what users and agents may: that is enough for the second database.
    [("sqlite", role) for role in ALLOWED]
    + [pytest.param("postgresql", role, marks=pytest.mark.postgresql) for role in ("admin", "worker")],
    indirect=["database"],
)
def test_every_answer_is_one_that_is_described(
    start: Callable[..., Bench], role: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(start(limits=FREE))
    described = requests.get(f"{world.bench.server.url}/openapi.json", timeout=60).json()
    schema = schemathesis.openapi.from_dict(described)
    said: Counter[int] = Counter()
    with requests.Session() as session, caplog.at_level(logging.WARNING, "caf"):
        session.headers["Authorization"] = f"Bearer {world.tokens[role]}"
        for found in schema.get_all_operations():
            operation = found.ok()
            examples = EXAMPLES if operation.path.startswith(ALLOWED[role]) else 1
            for mode in GenerationMode:
                said += ask(world, session, operation, mode, examples)
    assert {200, 401, 403, 422} <= set(said), said
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []
    assert [one.name for one in tmp_path.iterdir()] == ["service"]
    for name, token in world.tokens.items():
        assert token.rpartition("-")[2] not in caplog.text, name


def ask(
    world: World, session: requests.Session, operation: Any, mode: GenerationMode, examples: int
) -> Counter[int]:
    """Ask one thing again and again; returns how often what was answered."""
    said: Counter[int] = Counter()

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def every(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        world.adapt(case, data)
        response = case.call(base_url=world.bench.server.url, session=session, timeout=60)
        said[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)
        if response.status_code >= 400:
            sentence = response.json()["error"]
            assert "Traceback" not in sentence
            assert str(world.bench.service.areas.data) not in sentence

    try:
        every()
    except Unsatisfiable:
        # What takes nothing cannot be given anything wrong.
        assert mode is GenerationMode.NEGATIVE and not said
    return said
