"""``caf filemap``: which runs are in which input files."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from caf_core.cli.base import Command, UserPath, shown
from caf_core.cli.exits import Exit
from caf_core.errors import ConfigurationError


@click.command("filemap", cls=Command)
@click.option(
    "-m",
    "--method",
    type=click.Choice(("metadata", "raw")),
    default="metadata",
    show_default=True,
    help="Read the files (what plugins can), or their paths.",
)
@click.option(
    "--path-regex",
    metavar="REGEX",
    help="For raw: a regular expression with the groups exp and run.  [default: .../e0003/.../r00042...]",
)
@click.option("-re", "--filter-regex", metavar="REGEX", help="Leave out the files whose path matches.")
@click.option(
    "--experiment",
    type=click.IntRange(min=0),
    metavar="N",
    help="The experiment of files that tell their runs alone, such as NanoAOD.",
)
@click.option(
    "-f",
    "-o",
    "--output-file",
    type=UserPath(dir_okay=False),
    default=Path("file_iov_map.pkl"),
    show_default=True,
    help="Where the map is written: F.json, or F.pkl for a pickle.",
)
@click.option("-p", "--print-map", is_flag=True, help="Print the map too.")
@click.option(
    "-j",
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Files to read at the same time.",
)
@click.argument("patterns", nargs=-1, required=True, metavar="PATTERN...")
def command(
    method: str,
    path_regex: str | None,
    experiment: int | None,
    filter_regex: str | None,
    output_file: Path,
    print_map: bool,
    processes: int,
    patterns: tuple[str, ...],
) -> int:
    """Find out which runs are in the files that match PATTERN..., once and for all.

    Patterns are file names, globs (** too) or URIs. A calibration takes the map:
    collection.files_to_iovs = "F.json". The exit code is 1 if a file could not be mapped; the others are in
    the map all the same. No map is written without any file in it.
    """
    from caf_core.calibration import filemap

    if path_regex is not None and method != "raw":
        raise ConfigurationError(
            "--path-regex needs --method raw: metadata are read in the files, not in their paths."
        )
    names = find_names(patterns, filter_regex)
    if method == "raw":
        pattern = path_regex or filemap.DEFAULT_PATTERN
        filemap.check_pattern(pattern, experiment)
        found = [_by_path(name, pattern, experiment) for name in names]
    else:
        with _bar(len(names)) as advance:
            if processes == 1:
                found = []
                for name in names:
                    found += filemap.by_metadata([name], experiment)
                    advance(1)
            else:
                from caf_core.cli.mapping import map_parallel

                found = map_parallel(names, processes, advance, experiment)
    return _report(names, found, output_file, print_map=print_map)


def find_names(patterns: Sequence[str], filter_regex: str | None) -> list[str]:
    """The files that patterns mean: absolute, sorted within a pattern, each once.

    Raises:
        ConfigurationError: If a pattern matches nothing, or the filter is no regular expression or leaves
            nothing.
    """
    from caf_core.jobs.input_names import is_uri, matches

    try:
        unwanted = re.compile(filter_regex) if filter_regex is not None else None
    except re.error as error:
        raise ConfigurationError(
            f"{filter_regex!r} is no regular expression: {error}; correct it."
        ) from error
    found: dict[str, None] = {}
    for pattern in patterns:
        files = [name for name in matches(pattern) if is_uri(name) or not Path(name).is_dir()]
        if not files:
            raise ConfigurationError(
                f"no file matches {pattern!r}; correct it, or quote it against the shell."
            )
        found.update(dict.fromkeys(files))
    kept = [name for name in found if unwanted is None or not unwanted.search(name)]
    if not kept:
        raise ConfigurationError(
            f"--filter-regex {filter_regex!r} leaves out all {len(found)} files; correct it."
        )
    return kept


def _by_path(name: str, pattern: str, experiment: int | None) -> list[str]:
    from caf_core.calibration.filemap import by_path

    try:
        return [str(by_path(name, pattern, experiment)), ""]
    except ConfigurationError as error:
        return ["", str(error)]


def _report(names: list[str], found: list[list[str]], output_file: Path, *, print_map: bool) -> int:
    from caf_core.calibration.filemap import save
    from caf_core.iov import IoV

    mapped = {name: iov for name, (iov, _) in zip(names, found, strict=True) if iov}
    lost = [(name, complaint) for name, (iov, complaint) in zip(names, found, strict=True) if not iov]
    if print_map:
        for name, iov in mapped.items():
            print(f"{iov}\t{shown(name)}")
    if mapped:
        save(output_file, {name: IoV.parse(iov) for name, iov in mapped.items()})
        click.echo(f"{len(mapped)} of {len(names)} files are in {shown(output_file)}", err=True)
    for name, complaint in lost:
        click.echo(f"caf: {shown(name)}: {shown(complaint)}", err=True)
    if lost:
        not_written = "" if mapped else f"; {shown(output_file)} is not written"
        click.echo(f"caf: {len(lost)} of {len(names)} files could not be mapped{not_written}.", err=True)
    return Exit.FAILED if lost else Exit.OK


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda _number: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from caf_core.cli.redraw import Redrawn

    columns = (TextColumn("files"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, auto_refresh=False)
    task = progress.add_task("files", total=total)
    with Redrawn(progress.get_renderable, Console(stderr=True), transient=True):
        yield lambda number: progress.advance(task, number)
