"""A real service on a free port, with a real database."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from caf_service.config import ServiceConfig
from caf_service.server import Server
from service.bench import ROOT, Bench
from service.databases import database

__all__ = ["database"]


@pytest.fixture
def start(tmp_path: Path, database: str) -> Iterator[Callable[..., Bench]]:
    """Starts services; they end with the test."""
    with ExitStack() as stack:

        def started(**more: Any) -> Bench:
            settings = {"plans": {"toy": "service.scale_plan:PLAN"}, "database": database} | {
                "input_roots": (ROOT,),
                **more,
            }
            server = stack.enter_context(Server(ServiceConfig(data=tmp_path / "service", **settings)))
            return stack.enter_context(Bench(server))

        yield started


@pytest.fixture
def bench(start: Callable[..., Bench]) -> Bench:
    """A service with its defaults."""
    return start()
