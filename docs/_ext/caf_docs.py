"""What the documentation takes from the code when it is built: pictures, commands, exit codes, tables.

Directives: ``caf-commands``, ``caf-exit-codes``, ``caf-errors``, ``caf-checkpoint-tables``,
``caf-state-machine``, ``caf-backend-arguments``. Each writes Markdown, which is then parsed as if it stood on
the page.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path

import click
import peewee
import pictures
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import caf_core.errors
from caf_core.calibration.states import Machine
from caf_core.cli.app import COMMANDS, make_app
from caf_core.control.store.models import make_models
from caf_core.jobs.batch.settings import COMMON, Setting

BATCH_BACKENDS = (
    ("caf_htcondor", "HTCondor"),
    ("caf_slurm", "Slurm"),
    ("caf_pbs", "PBS"),
    ("caf_lsf", "LSF"),
)


def first_line(thing: object) -> str:
    """The first paragraph of a docstring as one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def commands() -> Iterator[str]:
    """Every command of the core with its arguments and options."""
    app = make_app()
    app.forget_plugins()
    yield "## Options of `caf` itself\n"
    yield options(app, click.Context(app, info_name="caf"))
    for name in COMMANDS:
        command = app.get_command(click.Context(app), name)
        if command is None:
            raise RuntimeError(f"caf has no command {name}")
        yield from command_text(command, f"caf {name}", 2)


def command_text(command: click.Command, path: str, level: int) -> Iterator[str]:
    """One command, and those below it."""
    context = click.Context(command, info_name=path)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"{'#' * level} `{path}`\n"
    yield f"```text\n{path} {usage}\n```\n"
    yield inspect.cleandoc(command.help or "").replace("\f", "") + "\n"
    yield options(command, context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from command_text(below, f"{path} {name}", level + 1)


def options(command: click.Command, context: click.Context) -> str:
    """A table of a command's options; nothing if it has none but ``--help`` and ``--debug``."""
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None and not record[0].endswith("--help"):
            name, words = (text.replace("|", r"\|") for text in record)  # a bar would end the cell
            rows.append(f"| `{name}` | {words} |")
    return "\n".join(["| option | |", "|---|---|", *rows, ""]) + "\n" if rows else "\n"


def exit_codes() -> Iterator[str]:
    """The exit codes with the docstrings under them."""
    module = import_module("caf_core.cli.exits")
    yield "| code | name | meaning |\n|---|---|---|"
    lines = inspect.getsource(module.Exit).split('"""')
    for member, words in zip(module.Exit, lines[3::2], strict=True):
        yield f"| {member.value} | `{member.name}` | {' '.join(words.split())} |"


def errors() -> Iterator[str]:
    """The tree of exceptions."""

    def branch(kind: type[BaseException], depth: int) -> Iterator[str]:
        home = "caf_core." if kind.__module__ == "caf_core.errors" else f"{kind.__module__}."
        yield f"{'  ' * depth}- `{home}{kind.__name__}`: {first_line(kind)}"
        for below in kind.__subclasses__():
            if below.__module__ == "caf_core.errors" and below.__bases__[0] is kind:
                yield from branch(below, depth + 1)

    yield from branch(caf_core.errors.CafError, 0)


def checkpoint_tables() -> Iterator[str]:
    """The tables and columns of the checkpoint store."""
    models = make_models(peewee.SqliteDatabase(":memory:"))
    yield "| table | columns |\n|---|---|"
    for model in models.all:
        columns = ", ".join(f"`{column}`" for column in model._meta.columns)
        yield f"| `{model._meta.table_name}` | {columns} |"


def state_machine() -> Iterator[str]:
    """The source of the state machine's drawing."""
    yield f"```text\n{Machine().mermaid()}```"


def backend_arguments() -> Iterator[str]:
    """The arguments of every batch backend."""
    yield "## Known to all of them\n"
    yield settings_table(COMMON, {})
    for module, name in BATCH_BACKENDS:
        backend = getattr(import_module(module), name)
        yield f"## `{name.lower()}`\n"
        yield settings_table(backend.settings, backend.default_backend_args)


def settings_table(settings: Mapping[str, Setting], defaults: Mapping[str, object]) -> str:
    """A table of arguments."""
    rows = []
    for name, setting in settings.items():
        kinds = " or ".join(kind.__name__ for kind in setting.kind)
        default = f"`{defaults[name]!r}`" if defaults.get(name) is not None else ""
        rows.append(f"| `{name}` | {setting.meaning.replace('|', chr(92) + '|')} | {kinds} | {default} |")
    return "\n".join(["| argument | meaning | type | default |", "|---|---|---|---|", *rows, ""]) + "\n"


WRITERS: dict[str, Callable[[], Iterator[str]]] = {
    "caf-commands": commands,
    "caf-exit-codes": exit_codes,
    "caf-errors": errors,
    "caf-checkpoint-tables": checkpoint_tables,
    "caf-state-machine": state_machine,
    "caf-backend-arguments": backend_arguments,
}


class FromCode(SphinxDirective):
    """Puts in what the writer of its name writes."""

    def run(self) -> list[nodes.Node]:
        """The parsed Markdown."""
        text = "\n".join(WRITERS[self.name]())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def draw(app: Sphinx) -> None:
    """Draw the pictures before the pages are read."""
    pictures.write(Path(app.srcdir) / "_build" / "pictures")


def setup(app: Sphinx) -> dict[str, object]:
    """Make Sphinx know the directives."""
    for name in WRITERS:
        app.add_directive(name, FromCode)
    app.connect("builder-inited", draw)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
