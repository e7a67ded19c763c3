"""A real service on a free port, with a real database."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from caf_service.config import ServiceConfig
from caf_service.server import Server
from service.bench import Bench

POSTGRESQL = os.environ.get("CAF_POSTGRESQL_URL", "")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty database; nothing for SQLite."""
    if request.param == "sqlite":
        yield ""
        return
    if not POSTGRESQL:
        pytest.skip("CAF_POSTGRESQL_URL names no PostgreSQL database")
    import psycopg

    schema = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    glue = "&" if "?" in POSTGRESQL else "?"
    yield f"{POSTGRESQL}{glue}options=-csearch_path%3D{schema}"
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture
def start(tmp_path: Path, database: str) -> Iterator[Callable[..., Bench]]:
    """Starts services; they end with the test."""
    with ExitStack() as stack:

        def started(**more: Any) -> Bench:
            settings = {"plans": {"toy": "service.scale_plan:PLAN"}, "database": database, **more}
            server = stack.enter_context(Server(ServiceConfig(data=tmp_path / "service", **settings)))
            return stack.enter_context(Bench(server))

        yield started


@pytest.fixture
def bench(start: Callable[..., Bench]) -> Bench:
    """A service with its defaults."""
    return start()
