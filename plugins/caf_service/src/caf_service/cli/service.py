"""``caf service``: set a service up, start it, look after its users."""

import logging
from pathlib import Path
from typing import Any

import click

from caf_core.cli.base import Command, Settings, UserPath, json_option, shown
from caf_core.cli.exits import Exit
from caf_core.cli.tables import print_table
from caf_core.errors import ConfigurationError
from caf_core.json_text import json_text
from caf_service.cli.setup import (
    FILE,
    absent,
    address_for_workers,
    broken_plans,
    given,
    make_config,
    read_setup,
    setup_options,
    unreachable,
    write_setup,
)

DATA = click.argument("data", type=UserPath(file_okay=False))
ROLES = click.Choice(["user", "admin", "agent"])


@click.group("service")
def command() -> None:
    """Set a calibration service up, start it, look after its users."""


@command.command("init", cls=Command)
@DATA
@setup_options
@click.option("--admin", default="admin", show_default=True, help="Name of the first administrator.")
def init(data: Path, admin: str, **options: Any) -> int:
    """Make a service in the folder DATA, with its database and first administrator.

    What is said here is kept in DATA/service.json. The administrator's token is printed once.
    """
    from caf_service.service import initialise

    if (data / FILE).exists():
        raise ConfigurationError(
            f"there is a service in {shown(data)} already; start it with: caf service start {shown(data)}, "
            "or name another folder."
        )
    setup = given(options)
    config = make_config(data, setup)
    token = initialise(config, admin)
    write_setup(data, setup)
    click.echo(f"a service is in {shown(data)}; start it with: caf service start {shown(data)}", err=True)
    click.echo(f"the token of {admin}, shown once:", err=True)
    click.echo(token)
    return Exit.OK


@command.command("start", cls=Command)
@DATA
@setup_options
@click.option("--no-agent", is_flag=True, help="`caf agent` is started elsewhere.")
def start(data: Path, no_agent: bool, **options: Any) -> int:
    """Start the service in the folder DATA, and its agent; Ctrl-C or SIGTERM ends both, and workers wait.

    What is said here holds in place of what was said at the beginning.
    """
    from caf_core.control.stopping import stop_signals
    from caf_core.jobs.inbox import Inbox
    from caf_service.server import Server

    setup = {**read_setup(data), **given(options)}
    config = make_config(data, setup)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    stopped = Inbox[bool]()
    with stop_signals(lambda: stopped.put(True)), Server(config) as server:
        url = address_for_workers(setup, config.host, server.url)
        click.echo(f"the service listens at {server.url}", err=True)
        for problem in broken_plans(server.service.catalogue):
            click.echo(f"caf: {shown(problem)}", err=True)
        if no_agent:
            stopped.get()
            return Exit.OK
        from caf_service.agent import Agent, Place, Terms

        click.echo(f"workers find it at {url}", err=True)
        if warning := absent(setup) or unreachable(setup, url):
            click.echo(f"caf: {warning}", err=True)
        place = Place(config.data / "agent", url, config.certificate)
        terms = Terms(places=config.limits.local_workers or None)
        with Agent(server.service.desk, place, backend=setup.get("backend"), terms=terms) as agent:
            while not stopped.get(1.0):
                if not agent.alive:
                    raise ConfigurationError("the agent has ended; what it wrote says why.")
    return Exit.OK


@command.group("user")
def user() -> None:
    """Look after the users; the service may go on meanwhile."""


@user.command("add", cls=Command)
@DATA
@click.argument("name")
@click.option("--role", type=ROLES, default="user", show_default=True)
def add(data: Path, name: str, role: str) -> int:
    """Add the user NAME; prints the token, once."""
    with _accounts(data) as accounts:
        click.echo(accounts.add(name, role))
    return Exit.OK


@user.command("token", cls=Command)
@DATA
@click.argument("name")
def token(data: Path, name: str) -> int:
    """Make one more token for NAME; prints it, once."""
    with _accounts(data) as accounts:
        click.echo(accounts.token(name))
    return Exit.OK


@user.command("revoke", cls=Command)
@DATA
@click.argument("name")
def revoke(data: Path, name: str) -> int:
    """End all tokens of NAME."""
    with _accounts(data) as accounts:
        click.echo(f"{accounts.revoke(name)} tokens of {shown(name)} have ended", err=True)
    return Exit.OK


@user.command("list", cls=Command)
@DATA
@json_option
@click.pass_obj
def list_(settings: Settings, data: Path) -> int:
    """List the users."""
    with _accounts(data) as accounts:
        found = [(one.name, str(one.role), "yes" if one.active else "no") for one in accounts.users()]
    if settings.json:
        click.echo(
            json_text([dict(zip(("name", "role", "active"), one, strict=True)) for one in found], indent=2)
        )
    else:
        print_table(("name", "role", "active"), found)
    return Exit.OK


def _accounts(data: Path) -> Any:
    from caf_service.service import open_accounts

    return open_accounts(make_config(data, read_setup(data)))
