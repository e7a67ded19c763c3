"""``caf plugins``: what is installed, what it brings, and what is broken."""

import sys

import click

from caf_core.cli.base import Command, Settings, json_option, say
from caf_core.cli.exits import Exit


@click.command("plugins", cls=Command)
@json_option
@click.pass_obj
def command(settings: Settings) -> int:
    """List the installed plugins and what they bring.

    The exit code is 1 if a plugin is broken.
    """
    from caf_core.cli.app import make_app
    from caf_core.plugins.listing import as_json, notes, plugin_rows
    from caf_core.plugins.registry import Registry

    registry = Registry.load()
    # Only a command line can tell which of their commands have a name that is taken.
    app = make_app()
    app.forget_plugins()
    registry.commands(app)
    rows = plugin_rows(registry)
    if settings.json:
        print(as_json(rows))
    elif sys.stdout.isatty():
        from rich.console import Console

        from caf_core.plugins.listing import as_table

        Console(highlight=False).print(as_table(rows))
    else:
        from caf_core.cli.tables import print_table

        print_table(
            ["distribution", "version", "entry point", "status", "brings"],
            [
                [row.distribution, row.version, row.entry_point, row.status, _brings(row.brings)]
                for row in rows
            ],
        )
        for row in rows:
            for problem in filter(None, (row.error, *row.problems)):
                say(f"{row.distribution}: {problem}")
    for note in notes(registry):
        say(f"caf: {note}", err=True)
    return Exit.FAILED if any(row.status == "broken" for row in rows) else Exit.OK


def _brings(brings: dict[str, tuple[str, ...]]) -> str:
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in brings.items())
