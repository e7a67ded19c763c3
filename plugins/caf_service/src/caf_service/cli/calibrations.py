"""``caf calibrations``: create, watch and end calibrations of a service."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import click

from caf_core.cli.base import Command, Settings, UserPath, duration, json_option, shown
from caf_core.cli.exits import Exit
from caf_core.cli.tables import print_table
from caf_core.errors import ConfigurationError
from caf_core.json_text import json_text
from caf_core.text import clause
from caf_service.cli.showing import COLUMNS, PLANS, plan_row, plan_text, row, step_line, text_of

if TYPE_CHECKING:
    from caf_service.client import Client

Function = TypeVar("Function", bound=Callable[..., Any])

ID = click.argument("calibration", type=click.IntRange(min=1))
ENDED = ("finished", "failed", "killed")


@click.group("calibrations")
@click.option("--url", default="", help="The service's address.  [default: $CAF_SERVICE_URL]")
@click.option(
    "--token-file",
    type=UserPath(dir_okay=False, exists=True),
    help="File with the token.  [default: $CAF_SERVICE_TOKEN]",
)
@click.pass_context
def command(context: click.Context, url: str, token_file: Path | None) -> None:
    """Create, watch and end calibrations of a service."""
    context.meta["caf_service"] = (url, token_file)


def _client() -> "Client":
    from caf_service.client import Client

    url, token_file = click.get_current_context().meta["caf_service"]
    token = token_file.read_text(encoding="utf-8").strip() if token_file else ""
    return Client(
        url, token, notice=lambda problem: click.echo(f"caf: {shown(clause(problem))}; waiting", err=True)
    )


@command.command("list", cls=Command)
@click.option(
    "--state",
    type=click.Choice(["running", "updating", *ENDED]),
    help="Only those in this state.",
)
@json_option
@click.pass_obj
def list_(settings: Settings, state: str | None) -> int:
    """List your calibrations."""
    with _client() as client:
        found = client.statuses(state)
    if settings.json:
        click.echo(json_text(found, indent=2))
    else:
        print_table(COLUMNS, [row(one, time.time()) for one in found], right=("id",))
    return Exit.OK


@command.command("plans", cls=Command)
@click.argument("name", required=False)
@json_option
@click.pass_obj
def plans(settings: Settings, name: str | None) -> int:
    """List the plans of the service, or the samples, phases and settings of the plan NAME."""
    with _client() as client:
        found = client.plans()
    if name is not None:
        found = [one for one in found if one["name"] == name]
        if not found:
            raise ConfigurationError(f"there is no plan called {name!r}; see: caf calibrations plans.")
    if settings.json:
        click.echo(json_text(found, indent=2))
    elif name is not None:
        click.echo(plan_text(found[0]))
    else:
        print_table(PLANS, [plan_row(one) for one in found])
    return Exit.OK


@command.command("show", cls=Command)
@ID
@json_option
@click.pass_obj
def show(settings: Settings, calibration: int) -> int:
    """Show where CALIBRATION is, with every step."""
    with _client() as client:
        status = client.status(calibration)
    click.echo(json_text(status, indent=2) if settings.json else text_of(status, time.time()))
    return Exit.OK


@command.command("watch", cls=Command)
@ID
def watch(calibration: int) -> int:
    """Show how CALIBRATION gets on, until it has ended; the exit code is 1 if it did not finish."""
    with _client() as client:
        return _watch(client, calibration)


def _watch(client: "Client", calibration: int) -> int:
    """On a terminal the whole picture, again and again; elsewhere a line for every step that has ended."""
    live, told = sys.stdout.isatty(), 0
    status: Mapping[str, Any] = {}
    for status in client.watch(calibration):
        if live:
            click.echo("\033[H\033[2J" + text_of(status, time.time(), last=20))
            continue
        done = [step for step in status["steps"] if step["ended"] is not None]
        for step in done[told:]:
            click.echo(step_line(step))
        told = len(done)
        sys.stdout.flush()
    ending = f": {shown(status['message'])}" if status["message"] else ""
    lasted = duration((status["ended"] or time.time()) - status["created"])
    click.echo(f"calibration {calibration} has {_ended(status['state'])} after {lasted}{ending}")
    return Exit.OK if status["state"] == "finished" else Exit.FAILED


def _ended(state: str) -> str:
    return "been killed" if state == "killed" else shown(state)


@command.command("create", cls=Command)
@click.argument("plan")
@click.option("-w", "--workers", type=click.IntRange(min=1), required=True, help="How many workers it gets.")
@click.option("-q", "--quorum", type=click.FloatRange(0, 1, min_open=True), help="Fraction that must report.")
@click.option("-s", "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the plan.")
@click.option(
    "--settings",
    "settings_file",
    type=UserPath(exists=True),
    help="A JSON file with settings.",
)
@click.option(
    "-i", "--input", "inputs", multiple=True, metavar="SAMPLE=PATTERN", help="Input files of a sample."
)
@click.option("-f", "--file", "files", multiple=True, metavar="NAME=PATH", help="A file that comes along.")
@click.option("--start", metavar="STAGE[.PHASE]", help="Where to start.")
@click.option("--stop", metavar="STAGE[.PHASE]", help="Where to stop.")
@click.option("-b", "--backend", metavar="NAME", help="What executes the workers.")
@click.option("--backend-arg", "backend_args", multiple=True, metavar="NAME=VALUE", help="For the backend.")
@click.option("-o", "--output", "output_dir", help="Where the service puts the result.")
@click.option("--name", help="Its name for people.")
@click.option("--watch", "then_watch", is_flag=True, help="Show how it gets on until it has ended.")
def create(plan: str, then_watch: bool, **options: Any) -> int:
    """Begin a calibration of PLAN; prints its number.

    caf calibrations create muon -w 8 -q 1.0 -i dimuon='data/*.root' -s min_events=150

    Values are JSON where they are valid JSON (numbers, true, lists), and text otherwise.
    """
    asked = wish_of(options)
    with _client() as client:
        made = client.create_calibration(plan, **asked)
        for warning in made.warnings:
            click.echo(f"caf: {shown(warning)}", err=True)
        click.echo(made.id)
        return _watch(client, made.id) if then_watch else Exit.OK


def wish_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """What ``create_calibration`` is to be told.

    Raises:
        ConfigurationError: If something has no value, or no file matches.
    """
    from caf_core.jobs.config.typed import pairs

    settings: dict[str, Any] = {}
    if options["settings_file"] is not None:
        try:
            settings = json.loads(options["settings_file"].read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigurationError(
                f"{options['settings_file']} is no JSON ({error}); correct it."
            ) from error
    settings |= {name: _value(text) for name, text in pairs(options["settings"], "--set").items()}
    return {
        "workers": options["workers"],
        "quorum": options["quorum"],
        "settings": settings,
        "inputs": _inputs(options["inputs"]),
        "files": {name: Path(path) for name, path in pairs(options["files"], "--file").items()},
        "start": _place(options["start"]),
        "stop": _place(options["stop"]),
        "backend": options["backend"],
        "backend_args": {
            name: _value(text) for name, text in pairs(options["backend_args"], "--backend-arg").items()
        },
        "output_dir": options["output_dir"],
        "name": options["name"],
    }


def _inputs(texts: Iterable[str]) -> dict[str, list[str]]:
    """Input files by sample; a sample may be named several times."""
    from caf_core.cli.submit import find_inputs
    from caf_core.jobs.config.typed import pairs

    found: dict[str, list[str]] = {}
    for text in texts:
        for sample, pattern in pairs([text], "--input").items():
            found.setdefault(sample, []).extend(find_inputs([pattern]))
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _place(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    stage, _, phase = text.partition(".")
    return {"stage": _value(stage), **({"phase": _value(phase)} if phase else {})}


@command.command("kill", cls=Command)
@click.argument("calibrations", type=click.IntRange(min=1), nargs=-1, required=True)
def kill(calibrations: tuple[int, ...]) -> int:
    """End CALIBRATIONS; those that have ended stay as they are."""
    with _client() as client:
        for calibration in calibrations:
            click.echo(f"calibration {calibration}: {shown(client.kill(calibration)['state'])}")
    return Exit.OK


@command.command("clean", cls=Command)
@click.argument("calibrations", type=click.IntRange(min=1), nargs=-1, required=True)
def clean(calibrations: tuple[int, ...]) -> int:
    """Let the service forget CALIBRATIONS that have ended, with all their files."""
    with _client() as client:
        for calibration in calibrations:
            client.clean(calibration)
            click.echo(f"calibration {calibration}: cleaned")
    return Exit.OK


@command.command("result", cls=Command)
@ID
@click.option("-o", "--output", type=UserPath(file_okay=False), help="Where to.")
def result(calibration: int, output: Path | None) -> int:
    """Fetch the result of CALIBRATION; prints the folder."""
    with _client() as client:
        click.echo(shown(client.get_result(calibration, output)))
    return Exit.OK


@command.command("files", cls=Command)
@ID
@click.argument("name", required=False)
@click.option("-o", "--output", type=UserPath(dir_okay=False), help="Where to.  [default: stdout]")
def files(calibration: int, name: str | None, output: Path | None) -> int:
    """List the files of CALIBRATION, or fetch the file NAME.

    There are those of its result, what its steps have left (steps/), and the last lines of workers that
    failed (failures/); they can be had while it goes on.
    """
    with _client() as client:
        if name is None:
            found = [(str(one["size"]), shown(one["name"])) for one in client.files(calibration)]
            print_table(("bytes", "name"), found, right=("bytes",))
        elif output is not None:
            client.get_file(calibration, name, output)
        else:
            with TemporaryDirectory(prefix="caf-file-") as scratch:
                file = client.get_file(calibration, name, Path(scratch) / "file")
                _print_file(file.read_bytes())
    return Exit.OK


def _print_file(content: bytes) -> None:
    """Print a file as it is, but on a terminal, which would obey what stands in it."""
    if not _is_terminal():
        click.echo(content, nl=False)
        return
    for line in content.decode("utf-8", "backslashreplace").splitlines():
        click.echo("\t".join(shown(part) for part in line.split("\t")))


def _is_terminal() -> bool:
    return sys.stdout.isatty()


@command.command("output", cls=Command)
@ID
@click.argument("path")
def output(calibration: int, path: str) -> int:
    """Let the service copy the result of CALIBRATION below PATH; prints the folder.

    A relative PATH lies in the service's area of yours, an absolute one where its administrator allows it.
    """
    with _client() as client:
        folder = client.change_output_dir(calibration, path)["output_dir"]
    click.echo(shown(f"{folder}/calibration-{calibration}"))
    return Exit.OK
