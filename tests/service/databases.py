"""The databases that the tests of the service are executed on."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

SQLITE = pytest.param("sqlite")
POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.postgresql)


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty database, for this test alone; nothing for SQLite, which needs none."""
    if request.param == "sqlite":
        yield ""
        return
    server = os.environ.get("CAF_POSTGRESQL_URL", "")
    if not server:
        pytest.skip("CAF_POSTGRESQL_URL names no PostgreSQL; use make test-postgresql")
    with empty_schema(server) as url:
        yield url


@contextmanager
def empty_schema(server: str) -> Iterator[str]:
    """The URL of a new schema in a PostgreSQL database; it is removed at the end."""
    import psycopg

    schema = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    yield f"{server}{'&' if '?' in server else '?'}options=-csearch_path%3D{schema}&application_name={schema}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {schema} CASCADE")
