"""``caf payloads``: the constants of a database, where they came from, and how two databases differ."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caf_core.cli.base import Command, Settings, json_option, path_option, say, shown
from caf_core.cli.exits import Exit
from caf_core.errors import CheckpointError, ConfigurationError
from caf_core.json_text import json_text

if TYPE_CHECKING:
    from caf_core.conditions.database import ConditionsDatabase
    from caf_core.conditions.payload import Entry
    from caf_core.control.account import Account, Gap
    from caf_core.iov import ExpRun


@click.command("payloads", cls=Command)
@path_option
@json_option
@click.option("--name", "names", multiple=True, help="Only this payload; may be given several times.")
@click.option("--run", metavar="EXP,RUN", help="Only what is valid for this run.")
@click.option(
    "--diff", "other", metavar="OTHER", help="How it differs from another database; exit code 1 if it does."
)
@click.option(
    "--export-basf2",
    "folder",
    metavar="FOLDER",
    help="Write a local database of basf2 with these payloads (of --name), which are ROOT files.",
)
@click.option("--show", is_flag=True, help="Show the contents too.")
@click.argument("database", required=False)
@click.pass_obj
def command(
    settings: Settings,
    names: tuple[str, ...],
    run: str | None,
    other: str | None,
    folder: str | None,
    show: bool,
    database: str | None,
) -> int:
    """List the constants of DATABASE: intervals of validity, revisions, and where they came from.

    DATABASE is a directory or a URL such as sqlite:///constants.db?tag=NAME; an output directory stands for
    the database of its results, and so does nothing at all. With --export-basf2 it may also be the
    conditions.json of a task.
    """
    if folder is not None:
        return _export(database if database is not None else str(settings.path), folder, names)
    here = _open(database if database is not None else str(settings.path))
    if other is not None:
        return _print_difference(here, _open(other))
    wanted = _run(run) if run is not None else None
    entries = _chosen(here, names, wanted)
    accounts = _accounts(here)
    everything = {entry.name for entry in here.entries()}
    if names and not entries and not everything.intersection(names):
        known = sorted({entry.name for entry in here.entries()})
        raise ConfigurationError(
            f"there is no payload {' or '.join(map(repr, names))} in {here.url}; there is: "
            f"{', '.join(known) or 'none'}."
        )
    rows = [_described(here, entry) for entry in entries]
    if show:
        contents = _contents(here, entries)
        rows = [{**row, "content": content} for row, content in zip(rows, contents, strict=True)]
    chosen = frozenset(names or everything)
    gaps = _gaps(accounts, chosen, wanted, entries)
    if settings.json:
        rows += [_described_gap(gap, show=show) for gap in gaps]
        print(json_text(rows, indent=2))
    else:
        _print(rows, show=show)
        _print_accounts(accounts, chosen, wanted, gaps)
    return Exit.OK


def _export(source: str, folder: str, names: tuple[str, ...]) -> int:
    from caf_core.conditions.basf2 import databases_of, export_basf2

    databases = databases_of(source) if Path(source).is_file() else [_open(source)]
    click.echo(f"written: {shown(export_basf2(databases, folder, names or None))}", err=True)
    return Exit.OK


def _open(name: str) -> "ConditionsDatabase":
    from caf_core.conditions.opening import open_database
    from caf_core.control.store import FILE_NAME
    from caf_core.plugins.registry import Registry

    results = Path(name) / "outputdb"
    if (Path(name) / FILE_NAME).exists() or (results.is_dir() and not (Path(name) / "database.txt").exists()):
        name = str(results)
    openers = Registry.load().conditions_openers() if "://" in name or ":" in name.partition("/")[0] else None
    return open_database(name, openers)


def _run(text: str) -> "ExpRun":
    from caf_core.iov import ExpRun

    numbers = text.replace("/", ",").split(",")
    if len(numbers) != 2 or not all(number.strip().isdecimal() for number in numbers):
        raise ConfigurationError(f"{text!r} is no run; write experiment and number, such as --run 1,42.")
    return ExpRun(int(numbers[0]), int(numbers[1]))


def _chosen(database: "ConditionsDatabase", names: tuple[str, ...], run: "ExpRun | None") -> list["Entry"]:
    """The entries to show, by name and then by interval; for a run those that a look-up gives."""
    entries = [entry for entry in database.entries() if not names or entry.name in names]
    if run is not None:
        found = [database.find(name, run) for name in sorted({entry.name for entry in entries})]
        return [entry for entry in found if entry is not None]
    return sorted(entries, key=lambda entry: (entry.name, entry.iov))


def _described(database: "ConditionsDatabase", entry: "Entry") -> dict[str, Any]:
    origin = database.provenance(entry)
    return {
        "name": entry.name,
        "revision": entry.revision,
        "iov": str(entry.iov),
        "provenance": origin.to_json() if origin is not None else None,
    }


def _contents(database: "ConditionsDatabase", entries: Iterable["Entry"]) -> list[Any]:
    from caf_core.conditions.codecs import Codecs
    from caf_core.plugins.registry import Registry

    codecs = Codecs(Registry.load().codecs())
    return [codecs.decode(database.read(entry)) for entry in entries]


def _accounts(database: "ConditionsDatabase") -> "dict[str, Account]":
    """What the calibrations whose constants these are have come to, where that is known."""
    from caf_core.conditions.local import LocalDatabase
    from caf_core.control.reading.accounts import accounts_of

    if not isinstance(database, LocalDatabase):
        return {}
    try:
        return accounts_of(database.path)
    except CheckpointError as error:
        say(f"caf: which runs have no constant is not known: {error}", err=True)
        return {}


def _gaps(
    accounts: "dict[str, Account]", names: frozenset[str], run: "ExpRun | None", entries: list["Entry"]
) -> "list[Gap]":
    """The runs without a constant of these names; for a run, the names that it lacks."""
    from caf_core.control.reading.accounts import gap_at, of_payloads

    if run is None:
        return [gap for account in accounts.values() for gap in of_payloads(account, names).gaps]
    lacking = sorted(names.difference(entry.name for entry in entries)) if accounts else []
    return [gap_at(accounts, name, run) for name in lacking]


def _described_gap(gap: "Gap", *, show: bool) -> dict[str, Any]:
    """A run without a constant, beside rows of constants."""
    row = {"name": gap.payload, "revision": None, "iov": gap.iov, "provenance": None}
    return {**row, **({"content": None} if show else {}), "gap": gap}


def _print_accounts(
    accounts: "dict[str, Account]", names: frozenset[str], run: "ExpRun | None", gaps: "list[Gap]"
) -> None:
    """What did not converge, and why there is no constant."""
    from caf_core.control.account_words import account_texts
    from caf_core.control.reading.accounts import of_payloads

    if run is not None:
        for gap in gaps:
            name = gap.payload or f"of {gap.algorithm}"
            print(f"run {run} has no constant {shown(name)}: {shown(gap.reason)}")
        return
    for name, account in accounts.items():
        for text in account_texts(of_payloads(account, names)):
            print(f"{shown(name)}: {shown(text)}")


def _print(rows: list[dict[str, Any]], *, show: bool) -> None:
    from caf_core.cli.tables import print_table

    if not rows:
        print("no payloads.")
        return
    columns = ["name", "IoV", "revision", "calibration", "iteration", "algorithm", "convergence"]
    cells = []
    for row in rows:
        origin = row["provenance"] or {}
        iteration = origin.get("iteration")
        facts = [
            origin.get("calibration") or "-",
            "-" if iteration is None else iteration,
            origin.get("algorithm") or "-",
            origin.get("convergence") or "-",
        ]
        cells.append(
            [row["name"], row["iov"], row["revision"], *facts, *([_one_line(row["content"])] if show else [])]
        )
    print_table([*columns, *(["content"] if show else [])], cells, right=("iteration",))


def _one_line(content: Any) -> str:
    text = " ".join(repr(content).split())
    return shown(text if len(text) <= 200 else f"{text[:197]}...")


def _print_difference(here: "ConditionsDatabase", there: "ConditionsDatabase") -> int:
    from caf_core.conditions.diff import difference

    found = difference(here.entries(), there.entries())
    if not found:
        print("no difference.")
        return Exit.OK
    say(found.text())
    return Exit.FAILED
