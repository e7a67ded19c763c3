"""``caf worker``: what the agent has executed on the nodes."""

import click


@click.command(
    "worker",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def command(words: tuple[str, ...]) -> int:
    """Work for a calibration of a service, in the current directory, until it has ended."""
    from caf_service.worker import main

    return main(words)
