"""``make kill-campaign``: is anything lost, repeated or wrong when processes are killed at random moments?"""

import argparse
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import victims
from campaign import FAULTS, Campaign, Outcome
from rich.console import Console
from rich.table import Table


def main() -> int:
    """Play, and print; 1 if anything was found that may not be."""
    parser = argparse.ArgumentParser(prog="make kill-campaign", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1, help="of the moments and victims")
    parser.add_argument("--jobs", type=int, default=1, help="how many rounds are played at the same time")
    parser.add_argument("--only", choices=victims.KINDS, action="append", help="only this kind of kill")
    parser.add_argument("--directory", type=Path, help="where to write; on a disk, like results")
    chosen = parser.parse_args()
    console = Console(width=None if Console().is_terminal else 120)
    kinds = chosen.only or list(victims.KINDS)
    folder = Path(tempfile.mkdtemp(prefix="caf-kills-", dir=chosen.directory))
    campaign = Campaign(folder, chosen.seed)
    outcomes: list[Outcome] = []
    with suppress(KeyboardInterrupt):  # the table is of what was played until then
        for one in campaign.play(chosen.rounds, kinds, chosen.jobs):
            outcomes.append(one)
            if one.faults:
                text = f"round {one.number} ({one.kind}): {dict(one.faults)} {one.words}".rstrip()
                console.print(text, markup=False)
    table = Table("kind of kill", "rounds", "struck", "repeated", *FAULTS, title=f"seed {chosen.seed}")
    for kind in [*kinds, "all"]:
        rows = [one for one in outcomes if kind in (one.kind, "all")]
        numbers = [len(rows), sum(one.struck for one in rows), sum(one.repeated for one in rows)]
        numbers += [sum(one.faults[word] for one in rows) for word in FAULTS]
        table.add_row(kind, *map(str, numbers), end_section=kind == kinds[-1])
    console.print(table)
    if any(one.faults for one in outcomes):
        console.print(f"kept in {folder}", markup=False)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
