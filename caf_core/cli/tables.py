"""Tables: drawn on a terminal, aligned columns elsewhere."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from caf_core.cli.base import say, shown

if TYPE_CHECKING:
    from rich.text import Text

COLOURS = {
    "init": "",
    "collector_completed": "",
    "algorithms_completed": "",
    "completed": "green",
    "failed": "bold red",
    "collector_failed": "red",
    "algorithms_failed": "red",
    "running_collector": "cyan",
    "running_algorithms": "cyan",
}
"""Colour of a cell with exactly this text: the states of a calibration."""

Rows = Sequence[Sequence[object]]


def print_table(
    columns: Sequence[str], rows: Rows, *, right: Sequence[str] = (), below: str | None = None
) -> None:
    """Print a table to stdout.

    Args:
        columns: The heads.
        rows: The cells.
        right: Columns that are aligned to the right.
        below: The head of the last column, whose cells stand below their rows where the table is wider than
            the terminal; its other cells stay whole then, so that they can be copied.
    """
    if not sys.stdout.isatty():
        say("\n".join(aligned(columns, rows)))
        return
    from rich.console import Console

    console = Console(highlight=False)
    lines = aligned(columns, rows)
    if below is None or max(map(len, lines)) <= console.width:
        console.print(_drawn(columns, rows, right))
    elif columns[-1] == below:
        head, *lines = aligned(columns[:-1], [row[:-1] for row in rows])
        say(head)
        for line, row in zip(lines, rows, strict=True):
            say(f"{line}\n    {shown(row[-1])}")
    else:
        say("\n".join(lines))


def aligned(columns: Sequence[str], rows: Rows) -> list[str]:
    """The table in plain lines, two blanks between columns: for pipes and files, whatever their width."""
    cells = [list(columns), *([shown(cell) for cell in row] for row in rows)]
    widths = [max(len(row[number]) for row in cells) for number in range(len(columns))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _cell(text: str) -> "Text":
    from rich.text import Text

    # With blanks a long state can be broken at one.
    return Text(text.replace("_", " "), COLOURS[text]) if text in COLOURS else Text(text)


def _drawn(columns: Sequence[str], rows: Rows, right: Sequence[str]) -> object:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        texts = [shown(cell) for cell in row]
        table.add_row(*(_cell(text) for text in texts))
    return table
