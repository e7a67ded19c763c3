"""``caf agent``: the agent of a service that is elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from caf_core.cli.base import Command, UserPath
from caf_core.cli.exits import Exit
from caf_core.errors import ConfigurationError
from caf_core.text import clause

if TYPE_CHECKING:
    from caf_service.transport import Address


@click.command("agent", cls=Command)
@click.argument("directory", type=UserPath(file_okay=False))
@click.option("--url", default="", help="The service's address.  [default: $CAF_SERVICE_URL]")
@click.option("--worker-url", default="", help="The same as workers see it, if that differs.")
@click.option(
    "--token-file",
    type=UserPath(dir_okay=False, exists=True),
    help="File with a token of role agent.  [default: $CAF_SERVICE_TOKEN]",
)
@click.option("-b", "--backend", metavar="NAME", help="What executes workers where nothing is said.")
def command(directory: Path, url: str, worker_url: str, token_file: Path | None, backend: str | None) -> int:
    """Look after the workers of a service elsewhere: submit them, watch over them, submit the dead again.

    Its files, and the workers' folders, are in DIRECTORY, which they must reach. Ctrl-C or SIGTERM
    ends it; the workers go on, and the next agent in the same directory finds them.
    """
    import logging

    from caf_core.control.stopping import stop_signals
    from caf_service.agent import Agent, Place
    from caf_service.client import find_address
    from caf_service.remote_desk import RemoteDesk

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    address = find_address(url, token_file.read_text(encoding="utf-8").strip() if token_file else "")
    place = Place(directory.absolute(), worker_url or address.url, address.certificate)
    check_role(address)
    desk = RemoteDesk(address)
    agent = Agent(desk, place, backend=backend)
    with stop_signals(agent.end):
        agent.run()
    desk.close()
    return Exit.OK


def check_role(address: "Address") -> None:
    """Look whether the token is good for an agent; a service that is away now is asked later.

    Raises:
        ConfigurationError: If it is not.
    """
    from caf_service.transport import RefusedError, Transport, UnreachableError, UntrustedError

    transport = Transport(address)
    try:
        role = transport.get("/me")["role"]
    except UntrustedError as error:
        raise ConfigurationError(f"{clause(error)}.") from error
    except UnreachableError:
        return
    except RefusedError as error:
        if error.passing:
            return
        raise ConfigurationError(f"the service does not take the token: {error}") from error
    finally:
        transport.close()
    if role not in ("agent", "admin"):
        raise ConfigurationError(
            f"the token is one of the role {role}, and an agent needs one of the role agent; make one with: "
            "caf service user add DATA NAME --role agent."
        )
