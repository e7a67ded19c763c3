"""What ``caf plugins`` shows."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import asdict, field, frozen

from caf_core.json_text import json_text
from caf_core.plugins.loading import describe_error
from caf_core.plugins.plugin import DISABLE_VARIABLE, Plugin

if TYPE_CHECKING:
    from rich.table import Table

    from caf_core.plugins.registry import Registry


@frozen
class PluginRow:
    """One line of the listing.

    Args:
        distribution: The distribution.
        version: Its version.
        entry_point: The entry point.
        status: ``ok``, ``broken`` or ``disabled``.
        brings: Kind -> names; commands are of the kind ``command``.
        hooks: The hooks that it implements.
        error: Why it is broken, if it is.
        problems: What else is wrong: misspelt hooks, names that another plugin brings as well, commands left
            out.
    """

    distribution: str
    version: str
    entry_point: str
    status: str
    brings: dict[str, tuple[str, ...]] = field(factory=dict)
    hooks: tuple[str, ...] = ()
    error: str = ""
    problems: tuple[str, ...] = ()


def plugin_rows(registry: "Registry") -> tuple[PluginRow, ...]:
    """One row a plugin, in the order in which they were loaded; imports nothing further."""
    return tuple(_row(plugin, registry.plugins) for plugin in registry.plugins)


def as_json(rows: Iterable[PluginRow]) -> str:
    """The listing for machines: a JSON list of objects with the fields of ``PluginRow``."""
    return json_text([asdict(row) for row in rows], indent=2, ensure_ascii=False)


def as_table(rows: Sequence[PluginRow]) -> "Table":
    """The listing for people."""
    from rich.table import Table
    from rich.text import Text

    table = Table("distribution", "version", "entry point", "status", "brings", box=None, pad_edge=False)
    for row in rows:
        lines: list[Any] = [Text(f"{kind}: {', '.join(names)}") for kind, names in row.brings.items()]
        lines += [Text(text, style="red") for text in (row.error, *row.problems) if text]
        style = {"broken": "red", "disabled": "dim"}.get(row.status, "")
        table.add_row(
            row.distribution, row.version, row.entry_point, Text(row.status, style), Text("\n").join(lines)
        )
    return table


def notes(registry: "Registry") -> tuple[str, ...]:
    """What is to be said below the table."""
    return tuple(f"{DISABLE_VARIABLE} names {name!r}, which no plugin has." for name in registry.unmatched)


_SILENT_HOOKS = {
    "caf_iov_of_file": "reader of intervals",
    **dict.fromkeys(
        (
            "caf_calibration_state_changed",
            "caf_jobs_changed",
            "caf_iteration_finished",
            "caf_process_finished",
        ),
        "observer",
    ),
}
"""Hooks that bring something without a name of its own, and what that is."""


def _row(plugin: Plugin, everybody: Sequence[Plugin]) -> PluginRow:
    brings: dict[str, list[str]] = {}
    for one in plugin.registrations:
        brings.setdefault(str(one.kind), []).append(one.name)
    if plugin.commands:
        brings["command"] = plugin.commands
    for hook in plugin.hooks:
        if hook in _SILENT_HOOKS:
            brings.setdefault(_SILENT_HOOKS[hook], []).append(hook)
    return PluginRow(
        distribution=plugin.source.distribution,
        version=plugin.source.version,
        entry_point=plugin.source.entry_point,
        status="disabled" if plugin.disabled else "broken" if plugin.error else "ok",
        brings={kind: tuple(names) for kind, names in brings.items()},
        hooks=plugin.hooks,
        error=describe_error(plugin),
        problems=(*plugin.problems, *_duplicates(plugin, everybody)),
    )


def _duplicates(plugin: Plugin, everybody: Sequence[Plugin]) -> list[str]:
    found = []
    for mine in plugin.registrations:
        others = [
            one.source.label
            for other in everybody
            if other is not plugin
            for one in other.registrations
            if (one.kind, one.name) == (mine.kind, mine.name)
        ]
        if others:
            found.append(f"its {mine.kind} {mine.name!r} is also registered by {' and '.join(others)}.")
    return found
