"""The plugin's commands, imported when one of them is called or listed."""

from importlib import import_module

import click

COMMANDS = {
    "service": ("service", "Set a calibration service up, start it, look after its users."),
    "agent": ("agent", "Look after the workers of a service elsewhere."),
    "worker": ("worker", "Work for a calibration of a service; started by the agent."),
    "calibrations": ("calibrations", "Create, watch and end calibrations of a service."),
}
"""Command -> its module here, and its line in ``caf --help``."""


class Later(click.Group):
    """A command that is imported when it is called; ``caf --help`` needs only its line."""

    def __init__(self, name: str, module: str, short_help: str) -> None:
        super().__init__(name, short_help=short_help)
        self._module = module

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: object,
    ) -> click.Context:
        """The context of the real command."""
        module = import_module(f"caf_service.cli.{self._module}")
        command: click.Command = module.command
        return command.make_context(info_name, args, parent, **extra)


def add_to(cli: click.Group) -> None:
    """Add all commands."""
    for name, (module, line) in COMMANDS.items():
        cli.add_command(Later(name, module, line))
