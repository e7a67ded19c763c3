"""``caf agent``: the agent of a service that is elsewhere."""

from pathlib import Path

import click

from caf_core.cli.base import Command
from caf_core.cli.exits import Exit


@click.command("agent", cls=Command)
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--url", default="", help="The service's address.  [default: $CAF_SERVICE_URL]")
@click.option("--worker-url", default="", help="The same as workers see it, if that differs.")
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
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
    desk = RemoteDesk(address)
    agent = Agent(desk, place, backend=backend)
    with stop_signals(agent.end):
        agent.run()
    desk.close()
    return Exit.OK
