"""The rows of the table, and how they are printed."""

import json
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from attrs import frozen
from rich.console import Console
from rich.table import Table


@frozen
class Row:
    """One line of the table.

    Args:
        what: What was measured.
        values: What came out, one value a repetition; empty if it could not be measured.
        unit: Their unit.
        budget: What the median may be at the most (at the least, with ``at_least``); ``None`` if it is there
            for comparison only.
        at_least: Whether more is better.
        note: What else one should know; why there are no values.
    """

    what: str
    values: tuple[float, ...] = ()
    unit: str = ""
    budget: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def verdict(self) -> str:
        """``ok``, ``misses``, ``missing``, or nothing where there is no budget."""
        if not self.values:
            return "missing"
        if self.budget is None:
            return ""
        middle = median(self.values)
        good = middle >= self.budget if self.at_least else middle <= self.budget
        return "ok" if good else "misses"

    @property
    def measured(self) -> str:
        """Median, number of repetitions, smallest and largest."""
        if not self.values:
            return self.note
        text = f"{_number(median(self.values))} {self.unit}"
        if len(self.values) > 1:
            low, high = _number(min(self.values)), _number(max(self.values))
            text += f" ({len(self.values)}: {low}–{high})"
        return text

    @property
    def allowed(self) -> str:
        """The budget."""
        return "" if self.budget is None else f"{'≥' if self.at_least else '≤'} {self.budget:g} {self.unit}"

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "what": self.what,
            "values": list(self.values),
            "median": median(self.values) if self.values else None,
            "unit": self.unit,
            "budget": self.budget,
            "at_least": self.at_least,
            "verdict": self.verdict,
            "note": self.note,
        }


def show(rows: Iterable[Row], console: Console) -> None:
    """Print the table, and below it what the numbers mean."""
    table = Table("what", "measured: median (n: min–max)", "budget", "")
    notes: list[str] = []
    for row in rows:
        mark = ""
        if row.values and row.note:
            if row.note not in notes:
                notes.append(row.note)
            mark = f" [{notes.index(row.note) + 1}]"
        style = {"misses": "bold red", "missing": "dim"}.get(row.verdict, "")
        table.add_row(_plain(row.what + mark), _plain(row.measured), row.allowed, row.verdict, style=style)
    console.print(table)
    for number, note in enumerate(notes, 1):
        console.print(f"[{number}] {note}", markup=False, highlight=False)


def write(rows: Iterable[Row], path: Path) -> None:
    """Write the rows, and where they were measured, as JSON."""
    content = {"machine": machine(), "rows": [row.to_json() for row in rows]}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """Where this is measured, and how much else goes on there."""
    return {
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _plain(text: str) -> str:
    return text.replace("[", "\\[")
