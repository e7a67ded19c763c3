"""``caf payloads``: the constants of a database, where they came from, and how two databases differ."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caf_core.cli.base import Command, Settings, json_option, parse_run, path_option, say, shown
from caf_core.cli.exits import Exit
from caf_core.errors import CheckpointError, ConfigurationError
from caf_core.json_text import json_text

if TYPE_CHECKING:
    from caf_core.conditions.database import ConditionsDatabase
    from caf_core.conditions.payload import Entry
    from caf_core.control.account import Account, Gap
    from caf_core.iov import ExpRun


_LONGEST = 200
"""How much of a reason or a content is shown in a table; ``--json`` has all of it."""


@click.command("payloads", cls=Command)
@path_option
@json_option
@click.option("--name", "names", multiple=True, help="Only this payload; may be given several times.")
@click.option("--run", metavar="EXP,RUN", help="Only what is valid for this run.")
@click.option(
    "--diff",
    "other",
    metavar="OTHER",
    help="How it differs from another database, in all or by --name or --run; exit code 1 if so.",
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
    source = database if database is not None else str(settings.path)
    if folder is not None:
        unused = {"--run": run, "--diff": other, "--show": show, "--json": settings.json}
        if given := [option for option, value in unused.items() if value]:
            raise ConfigurationError(
                f"--export-basf2 writes whole databases, and knows no {' or '.join(given)}; leave that out."
            )
        return _export(source, folder, names)
    here = _open(source)
    wanted = parse_run(run) if run is not None else None
    if other is not None:
        return _print_difference((here, _open(other)), names, wanted, show=show, as_json=settings.json)
    entries = _chosen(here, names, wanted)
    accounts = _accounts(here)
    everything = {entry.name for entry in here.entries()}
    if not everything.intersection(names):
        _check_names(names, everything, here.url)
    rows = _rows(here, entries, show=show)
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


def _chosen(database: "ConditionsDatabase", names: tuple[str, ...], run: "ExpRun | None") -> list["Entry"]:
    """The entries to show, by name and then by interval; for a run those that a look-up gives."""
    entries = _of_names(database.entries(), names)
    if run is not None:
        found = [database.find(name, run) for name in sorted({entry.name for entry in entries})]
        return [entry for entry in found if entry is not None]
    return sorted(entries, key=lambda entry: (entry.name, entry.iov))


def _check_names(names: tuple[str, ...], known: Iterable[str], where: str) -> None:
    if names:
        raise ConfigurationError(
            f"there is no payload {' or '.join(map(repr, names))} in {where}; there is: "
            f"{', '.join(sorted(known)) or 'none'}."
        )


def _rows(database: "ConditionsDatabase", entries: Iterable["Entry"], *, show: bool) -> list[dict[str, Any]]:
    entries = list(entries)
    rows = [_described(database, entry) for entry in entries]
    if show:
        contents = _contents(database, entries)
        rows = [{**row, "content": content} for row, content in zip(rows, contents, strict=True)]
    return rows


def _described(database: "ConditionsDatabase", entry: "Entry") -> dict[str, Any]:
    origin = database.provenance(entry)
    inputs, notes = (origin.inputs, origin.notes) if origin is not None else ({}, {})
    return {
        "name": entry.name,
        "revision": entry.revision,
        "iov": str(entry.iov),
        "runs": inputs.get("runs"),
        "entries": inputs.get("entries"),
        "reason": notes.get("reason"),
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
    facts = ("revision", "runs", "entries", "reason", "provenance")
    row = {"name": gap.payload, "iov": gap.iov, **dict.fromkeys(facts)}
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
    columns = ["name", "IoV", "revision", "runs", "entries", "calibration", "iteration", "algorithm"]
    columns += ["convergence", "reason", *(["content"] if show else [])]
    cells = []
    for row in rows:
        origin = row["provenance"] or {}
        facts = [
            None if row["runs"] is None else len(row["runs"]),
            row["entries"],
            *(origin.get(name) for name in ("calibration", "iteration", "algorithm", "convergence")),
            _cut(str(row["reason"] or "")),
        ]
        told = ["-" if fact in (None, "") else fact for fact in facts]
        content = [_one_line(row["content"])] if show else []
        cells.append([row["name"], row["iov"], row["revision"], *told, *content])
    print_table(columns, cells, right=("runs", "entries", "iteration"), below=columns[-1])


def _one_line(content: Any) -> str:
    return shown(_cut(" ".join(repr(content).split())))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _print_difference(
    databases: "tuple[ConditionsDatabase, ConditionsDatabase]",
    names: tuple[str, ...],
    run: "ExpRun | None",
    *,
    show: bool,
    as_json: bool,
) -> int:
    """Print how two databases differ, as far as names and a run say what counts."""
    from caf_core.conditions.diff import difference

    here, there = databases
    known = {entry.name for one in databases for entry in one.entries()}
    if not known.intersection(names):
        _check_names(names, known, f"{here.url} and {there.url}")
    found = difference(*_to_compare(databases, names, run))
    sides = [
        dict(zip(entries, _rows(one, entries, show=show), strict=True))
        for one, entries in zip(databases, found.entries(), strict=True)
    ]
    if as_json:
        only_here, only_there = (list(side.values()) for side in sides)
        print(
            json_text(
                {
                    "differ": bool(found),
                    "only_here": only_here,
                    "only_there": only_there,
                    "reordered": found.reordered(),
                },
                indent=2,
            )
        )
    elif not found:
        print("no difference.")
    else:
        contents = [
            {entry: f": {_one_line(row['content'])}" for entry, row in side.items()} if show else {}
            for side in sides
        ]
        say(found.text(*contents))
    return Exit.FAILED if found else Exit.OK


def _to_compare(
    databases: "tuple[ConditionsDatabase, ConditionsDatabase]", names: tuple[str, ...], run: "ExpRun | None"
) -> "list[list[Entry]]":
    """The entries of two databases that count; those of one run differ if their contents do."""
    if run is None:
        # In their own order: of entries that overlap the last one counts.
        return [_of_names(one.entries(), names) for one in databases]
    chosen = [_chosen(one, names, run) for one in databases]
    here, there = ({(entry.name, entry.revision) for entry in entries} for entries in chosen)
    same = here & there
    return [[entry for entry in entries if (entry.name, entry.revision) not in same] for entries in chosen]


def _of_names(entries: Iterable["Entry"], names: tuple[str, ...]) -> list["Entry"]:
    return [entry for entry in entries if not names or entry.name in names]
