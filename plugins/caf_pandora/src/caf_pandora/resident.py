"""The calibration by a service, its agent and resident workers, all of which are started here."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from attrs import frozen

from caf_pandora.constants import Constants, frozen_constants
from caf_pandora.errors import PandoraError
from caf_pandora.step_files import Kit
from caf_pandora.stepping import FILES
from caf_service.agent import Agent, Place, Terms
from caf_service.cli.setup import address_for_workers
from caf_service.client import Client, Status
from caf_service.config import ServiceConfig
from caf_service.server import Server

FAREWELL = 60.0
"""How long workers may take to end when the calibration has ended [s]."""
TERMS = Terms(interval=2.0, patience=300.0)
"""The service lives as long as this process, so nobody need wait for long if it goes away."""
HERE = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - workers of a batch system come from other machines, with tokens
"""The service is then found by its machine's name."""


@frozen(kw_only=True)
class Wish:
    """What is to be calibrated.

    Args:
        plan: The plan's name.
        settings: The plan's settings.
        files: Sample -> input files.
        kit: What it starts from.
        workers: How many workers it gets.
        quorum: The fraction of them that a step waits for.
    """

    plan: str
    settings: Mapping[str, Any]
    files: Mapping[str, Sequence[str]]
    kit: Kit
    workers: int
    quorum: float | None = None


@frozen
class Found:
    """What came of it.

    Args:
        start: The constants at the start.
        constants: The constants at the end.
        steps: Stage, phase and seconds of every step.
    """

    start: Constants
    constants: Constants
    steps: tuple[tuple[str, str, float], ...]


def calibrate(
    wish: Wish,
    directory: Path,
    output: Path,
    backend: str = "local",
    host: str = "",
    notice: Callable[[Mapping[str, Any]], object] = lambda _step: None,
) -> Found:
    """Carry a calibration out with resident workers.

    Args:
        wish: What is to be calibrated.
        directory: Where service, agent and workers have their files; nodes of a batch system see it too.
        output: Where the result goes.
        backend: What executes the workers.
        host: The address to listen on; if left out this machine alone for workers that are executed here, and
            everywhere for those of a batch system.
        notice: Told every step when it is over.
    Raises:
        PandoraError: If it fails.
    """
    host = host or (HERE if backend == "local" else EVERYWHERE)
    with ExitStack() as stack:
        config = ServiceConfig(data=directory / "service", host=host, trusting=True)
        server = stack.enter_context(Server(config))
        url = address_for_workers({}, host, server.url)
        place = Place(directory / "agent", url)
        stack.enter_context(Agent(server.service.desk, place, backend=backend, terms=TERMS))
        stack.callback(_until_gone, server)
        token = server.service.accounts.ensure("demo", "user")
        client = stack.enter_context(Client(url, token))
        kit = (wish.kit.steering.content(), wish.kit.pandora_settings, wish.kit.likelihood)
        number = client.create_calibration(
            wish.plan,
            workers=wish.workers,
            settings=wish.settings,
            inputs=wish.files,
            files=dict(zip(FILES, kit, strict=True)),
            quorum=wish.quorum,
        ).id
        stack.callback(client.kill, number)
        status = _watched(client, number, notice)
        if status["state"] != "finished":
            raise PandoraError(f"the calibration has {status['state']}: {status['message']}")
        client.get_result(number, output)
        parameters = client.parameters(number)
    steps = [(one["stage"], one["phase"], one["ended"] - one["began"]) for one in status["steps"]]
    start, end = (frozen_constants(parameters[name]) for name in ("start", "constants"))
    return Found(start, end, tuple(steps))


def _watched(client: Client, number: int, notice: Callable[[Mapping[str, Any]], object]) -> Status:
    """Follow a calibration to its end."""
    told = 0
    status: Status = {}
    for status in client.watch(number):
        over = [step for step in status["steps"][told:] if step["ended"] is not None]
        for step in over:
            notice(step)
        told += len(over)
    return status


def _until_gone(server: Server) -> None:
    """Let workers end by themselves before their service does."""
    until = time.monotonic() + FAREWELL
    while server.service.desk.crews() and time.monotonic() < until:
        time.sleep(0.1)
