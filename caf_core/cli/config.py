"""``caf config``: which settings hold here, and which file says so."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from caf_core.cli.base import Command, Settings, json_option, say
from caf_core.cli.exits import Exit
from caf_core.cli.tables import print_table
from caf_core.errors import ConfigurationError
from caf_core.json_text import json_text

if TYPE_CHECKING:
    from caf_core.jobs.config.listing import Row
    from caf_core.jobs.config.reading import Config


@click.command("config", cls=Command)
@json_option
@click.argument("backend", required=False)
@click.pass_obj
def command(settings: Settings, backend: str | None) -> int:
    """Show which settings hold here, and which file says so; with BACKEND: all arguments that it knows.

    Files are looked for in /etc/caf/caf.toml, in ~/.config/caf/caf.toml and in the current directory
    (caf.toml); a later one wins. CAF_CONFIG names others in their place. Instances in a script win over
    files, and calibrations, collections and jobs win over instances.
    """
    from caf_core.jobs.config.places import places
    from caf_core.jobs.config.reading import load_config

    config = load_config()
    found = places(os.environ, Path.cwd())
    rows, notes = _one(config, backend) if backend else _all(config)
    if settings.json:
        print(json_text(_as_json(found, config, rows, notes), indent=2))
        return Exit.OK
    for path in found:
        say(f"{path}: {'read' if path in config.files else 'not there'}")
    print("" if found else "CAF_CONFIG is empty: no file is read\n")
    _print(rows, with_meaning=backend is not None)
    for note in notes:
        say(f"caf: {note}", err=True)
    return Exit.OK


def _all(config: "Config") -> "tuple[list[Row], list[str]]":
    """What holds for all backends, and what the files say of each."""
    from caf_core.control.tables import unused_tables
    from caf_core.errors import PluginError
    from caf_core.jobs.config.listing import backend_rows, general_rows
    from caf_core.plugins.registry import Registry

    registry = Registry.load()
    rows, notes = list(general_rows(config)), [str(table) for table in unused_tables(registry, config)]
    for name in sorted(config.backends):
        kind = None
        try:
            kind = registry.backend(name) if name in registry.names("backend") else None
        except PluginError as error:
            notes.append(f"[backends.{name}] is not used here: {error}")
        if kind is not None:
            _check(config, name)
        rows += backend_rows(config, name, kind, every=False)
    return rows, notes


def _one(config: "Config", name: str) -> "tuple[list[Row], list[str]]":
    """Every argument of one backend."""
    from caf_core.control.tables import unused_tables
    from caf_core.jobs.config.listing import backend_rows
    from caf_core.plugins.registry import Registry

    registry = Registry.load()
    kind = registry.backend(name)
    _check(config, name)
    notes = [str(table) for table in unused_tables(registry, config)]
    if kind.known_args() is None:
        notes.append(f"the backend {name!r} does not tell which arguments it knows")
    return list(backend_rows(config, name, kind, every=True)), notes


def _check(config: "Config", name: str) -> None:
    """Let the backend refuse what it does not know."""
    from caf_core.cli.asking import make_backend

    try:
        make_backend(config, name, ())
    except TypeError as error:
        raise ConfigurationError(
            f"backend {name!r} cannot be made without arguments ({error}); make an instance in a script."
        ) from error


def _print(rows: "list[Row]", *, with_meaning: bool) -> None:
    from caf_core.jobs.config.listing import text_of

    columns = ["setting", "value", "from", *(["meaning"] if with_meaning else [])]
    print_table(
        columns, [[row.key, text_of(row.value), row.source, row.meaning][: len(columns)] for row in rows]
    )


def _as_json(
    found: tuple[Path, ...], config: "Config", rows: "list[Row]", notes: list[str]
) -> dict[str, object]:
    from caf_core.jobs.config.listing import json_of

    return {
        "files": [{"path": str(path), "read": path in config.files} for path in found],
        "settings": {
            row.key: {"value": json_of(row.value), "from": row.source, "meaning": row.meaning} for row in rows
        },
        "notes": notes,
    }
