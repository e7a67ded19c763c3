"""What the documentation takes from the code when it is built: pictures, commands, exit codes, tables.

Directives: ``caf-commands``, ``caf-exit-codes``, ``caf-errors``, ``caf-checkpoint-tables``,
``caf-state-machine``, ``caf-backend-arguments``, ``caf-service-commands``, ``caf-service-limits``,
``caf-service-tables``, ``caf-http-api``. Each writes Markdown, which is then parsed as if it stood on
the page.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

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
from caf_service.app import create_app
from caf_service.limits import Limits
from caf_service.store import models as service_models

SERVICE_COMMANDS = ("service", "agent", "calibrations")
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
    return tables(make_models(peewee.SqliteDatabase(":memory:")))


def service_tables() -> Iterator[str]:
    """The tables and columns of a service's database."""
    return tables(service_models.make_models(peewee.SqliteDatabase(":memory:")))


def tables(models: Any) -> Iterator[str]:
    """Tables and their columns."""
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


def service_commands() -> Iterator[str]:
    """The commands of caf-service; ``caf worker`` is not for people."""
    for name in SERVICE_COMMANDS:
        command = import_module(f"caf_service.cli.{name}").command
        yield from command_text(command, f"caf {name}", 2)


def service_limits() -> Iterator[str]:
    """What a service lets its clients ask for."""
    meanings = re.findall(r"^ {4}(\w+): (.*)$", inspect.getdoc(Limits) or "", flags=re.MULTILINE)
    yield "| key | default | meaning |\n|---|---|---|"
    for name, meaning in meanings:
        yield f"| `{name}` | {getattr(Limits(), name):,} | {meaning.rstrip('.')} |"


def http_api() -> Iterator[str]:
    """The HTTP API, from the description that a service gives of itself."""
    # Nothing but the routes is looked at, and no service is asked.
    description = create_app(None).openapi()  # type: ignore[arg-type]
    parts: dict[str, list[str]] = {}
    for path, operations in description["paths"].items():
        group = next(text for start, text in API_GROUPS if path.startswith(start))
        for method, operation in operations.items():
            parts.setdefault(group, []).extend(_operation(method, path, operation, description))
    for _, group in API_GROUPS:
        yield f"## {group}\n"
        yield "\n".join(parts.get(group, ()))
    yield from _objects(description)


API_GROUPS = (
    ("/calibrations", "Calibrations, with the token of a user or administrator"),
    ("/worker", "Workers, with a token of their own"),
    ("/agent", "Agents, with a token of the role agent or admin"),
    ("/users", "Users, for administrators"),
    ("/", "Everybody"),
)
"""How a path begins, and what it belongs to; the first one counts."""


def _operation(
    method: str, path: str, operation: Mapping[str, Any], description: Mapping[str, Any]
) -> Iterator[str]:
    yield f"### `{method.upper()} {path}`\n"
    yield f"{operation.get('description', '')}\n"
    rows = [
        " | ".join(
            [
                f"| `{one['name']}`",
                one["in"],
                _kind(one["schema"], description),
                one.get("description", "required" if one["required"] else "") + " |",
            ]
        )
        for one in operation.get("parameters", ())
        if one["in"] != "path" or one.get("description")
    ]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = _resolved(content.get("schema", {}), description)
        for name, field in schema.get("properties", {}).items():
            needed = "required" if name in schema.get("required", ()) else ""
            rows.append(f"| `{name}` | body | {_kind(field, description)} | {needed} |")
        if not schema:
            rows.append("| | body | the bytes of a file | |")
    if rows:
        yield "\n".join(["| name | where | type | |", "|---|---|---|---|", *rows, ""])
    answers = []
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            kinds = [
                _kind(content["schema"], description) if kind == "application/json" else kind
                for kind, content in answer.get("content", {}).items()
            ]
            answers.append(f"{status}, {' or '.join(kinds) or 'nothing'}")
    yield f"Answer: {'; '.join(answers)}.\n"


def _objects(description: Mapping[str, Any]) -> Iterator[str]:
    """What is sent and answered, by its name."""
    yield "## Objects\n"
    for name, schema in sorted(description["components"]["schemas"].items()):
        if schema.get("properties"):
            yield f"### `{name}`\n"
            yield f"{' '.join(schema.get('description', '').split())}\n"
            yield "| field | type |\n|---|---|"
            for field, kind in schema["properties"].items():
                yield f"| `{field}` | {_kind(kind, description)} |"
            yield ""


def _resolved(schema: Mapping[str, Any], description: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema without a reference at its top, and without the alternative of nothing."""
    choices = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if len(choices) == 1:
        return _resolved(choices[0], description)
    if "$ref" in schema:
        found: Mapping[str, Any] = description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return found
    return schema


def _kind(schema: Mapping[str, Any], description: Mapping[str, Any]) -> str:
    """A type in words; objects by their names, which are explained below."""
    choices = schema.get("anyOf", ())
    if choices:
        return " or ".join(dict.fromkeys(_kind(one, description) for one in choices))
    found = _resolved(schema, description)
    if "enum" in found or "const" in found:
        return ", ".join(f"`{one}`" for one in found.get("enum", [found.get("const")]))
    if "$ref" in schema and found.get("properties"):
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if found.get("type") == "array":
        return f"list of {_kind(found.get('items', {}), description)}"
    inner = found.get("additionalProperties")
    if isinstance(inner, Mapping) and inner:
        return f"object of {_kind(inner, description)}"
    return str(found.get("type", "anything"))


WRITERS: dict[str, Callable[[], Iterator[str]]] = {
    "caf-commands": commands,
    "caf-exit-codes": exit_codes,
    "caf-errors": errors,
    "caf-checkpoint-tables": checkpoint_tables,
    "caf-state-machine": state_machine,
    "caf-backend-arguments": backend_arguments,
    "caf-http-api": http_api,
    "caf-service-commands": service_commands,
    "caf-service-limits": service_limits,
    "caf-service-tables": service_tables,
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
