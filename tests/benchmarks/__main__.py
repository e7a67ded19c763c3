"""``make benchmark``: everything that has a budget, side by side, in one table."""

import argparse
import shutil
import tempfile
from pathlib import Path

import executions
import resident
import scale
import schedulers
import tasks
import whole
from attrs import evolve
from rich.console import Console
from sizes import FULL, QUICK
from table import Row, machine, show, write

SUBJECTS = {
    "whole": whole,
    "executions": executions,
    "tasks": tasks,
    "scale": scale,
    "schedulers": schedulers,
    "service": resident,
}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="make benchmark", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small numbers: shows that it works, not how fast"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    parser.add_argument("--only", choices=SUBJECTS, action="append", help="measure only this subject")
    parser.add_argument(
        "--runs", type=int, action="append", metavar="N", help="of executions: so many runs; several times"
    )
    parser.add_argument("--directory", type=Path, help="where to write; on a disk, like results")
    chosen = parser.parse_args()
    sizes = QUICK if chosen.quick else FULL
    if chosen.runs:
        sizes = evolve(sizes, executions=tuple(chosen.runs))
    console = Console(width=None if Console().is_terminal else 150)
    rows: list[Row] = []
    before = machine()
    folder = Path(tempfile.mkdtemp(prefix="caf-benchmark-", dir=chosen.directory))
    tempfile.tempdir = str(folder)  # nothing is removed before all is measured: see ``scratch``
    try:
        for name in chosen.only or SUBJECTS:
            for row in SUBJECTS[name].rows(sizes, folder):
                console.print(f"{row.what}: {row.measured} {row.verdict}", markup=False, highlight=False)
                rows.append(row)
    finally:
        shutil.rmtree(folder)
    console.print()
    show(rows, console)
    words = ", ".join(f"{name} {value}" for name, value in before.items())
    console.print(f"Measured with {words}.", markup=False, highlight=False)
    if chosen.quick:
        console.print("These numbers are too small to judge anything by.")
    if chosen.json:
        write(rows, chosen.json)


if __name__ == "__main__":
    main()
