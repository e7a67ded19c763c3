"""A service and its agent in this process, for as long as one calibration of a CAF goes on."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caf_core.errors import CafError
from caf_service.client import Client

if TYPE_CHECKING:
    from caf_service.desk import AgentDesk

USER = "caf"
PATIENCE = 300.0
"""How long workers wait for a service that lives in the process of a CAF [s]: nobody may start it again."""
GOODBYE = 60.0
"""How long the workers of a calibration that has ended are waited for [s]."""


class UnfinishedError(CafError):
    """The calibration has ended without a result."""


@contextmanager
def own_service(home: Path, plans: Mapping[str, str], backend: Any) -> Iterator[Client]:
    """Start a service and its agent.

    Args:
        home: Where their files are; what an earlier process left there is gone on with.
        plans: Plans beside those of plugins: name -> ``package.module:PLAN``.
        backend: What executes workers: a name or an instance; ``None`` for the site's default.
    Returns:
        Who asks it. When the calibration has ended, its workers end before the service does.
    """
    from caf_service.agent import Agent, Place
    from caf_service.config import ServiceConfig
    from caf_service.quarters import Terms
    from caf_service.server import Server

    with ExitStack() as stack:
        server = stack.enter_context(Server(ServiceConfig(data=home, plans=plans, trusting=True)))
        token = server.service.accounts.ensure(USER, "user")
        place = Place(home / "agent", server.url)
        terms = Terms(interval=2.0, patience=PATIENCE)
        over = threading.Event()
        agent = Agent(
            server.service.desk,
            place,
            backend=backend,
            terms=terms,
            # The CAF around us is the only one that drives this folder; it has seen to that.
            take_over=True,
            on_broken=partial(_give_up, server.service.desk, over),
        )
        stack.enter_context(agent)
        stack.callback(over.set)
        client = stack.enter_context(Client(server.url, token))
        try:
            yield client
        except UnfinishedError:
            _until_gone(server.service.desk)
            raise
        _until_gone(server.service.desk)


def _give_up(desk: "AgentDesk", over: threading.Event, error: BaseException) -> None:
    """Without an agent nobody looks after workers: do not wait for their results, now or later."""
    while not over.wait(0.2):
        for crew in desk.crews():
            desk.broken(crew.calibration, f"its agent has ended: {error}")
            desk.dismissed(crew.calibration)


def _until_gone(desk: "AgentDesk") -> None:
    """Let workers end by themselves before their service does."""
    until = time.monotonic() + GOODBYE
    while desk.crews() and time.monotonic() < until:
        time.sleep(0.1)
