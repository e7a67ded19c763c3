"""``caf graph``: drawings, as text for Mermaid or Graphviz."""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import click

from caf_core.cli.base import Command, Settings, UserPath, path_option, say, shown
from caf_core.errors import CafError, ConfigurationError

if TYPE_CHECKING:
    from caf_core.control.caf import CAF

FORMATS = ("mermaid", "dot")


@click.command("graph", cls=Command, context_settings={"allow_interspersed_args": False})
@path_option
@click.option(
    "--format",
    "language",
    type=click.Choice(FORMATS),
    default="mermaid",
    show_default=True,
    help="The language of the drawing.",
)
@click.option("--states", is_flag=True, help="Draw the state machine of a calibration.")
@click.argument("script", required=False, type=UserPath(exists=True, dir_okay=False))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
@click.pass_obj
def command(
    settings: Settings, language: str, states: bool, script: Path | None, arguments: tuple[str, ...]
) -> None:
    """Draw which calibration waits for which: those of SCRIPT, or else of the output directory.

    A script is executed up to its CAF.run(); nothing is submitted. Of an output directory the states are
    drawn too. Mermaid is what GitLab, GitHub and Sphinx draw; `--format dot` is for Graphviz.
    """
    from caf_core.control import graph

    if states and script is not None:
        raise ConfigurationError(
            "--states draws the state machine that all calibrations have; leave out the script, or --states."
        )
    if states:
        print(_machine(settings.path, language), end="")
        return
    labels: dict[str, str] = {}
    if script is not None:
        links = _links_of_script(script, arguments)
    else:
        links, labels = _links_of_output(settings.path)
    say((graph.mermaid if language == "mermaid" else graph.dot)(links, labels), end=False)


def _machine(path: Path, language: str) -> str:
    """The state machine; where there is an output directory, with its calibrations in it."""
    from caf_core.calibration.states import Machine, State
    from caf_core.control.store import FILE_NAME

    current = {}
    if (path / FILE_NAME).exists():
        from caf_core.control.reading.overview import read_overview

        current = {one.name: State(one.state) for one in read_overview(path).calibrations}
    machine = Machine()
    return machine.mermaid(current) if language == "mermaid" else machine.dot(current)


def _links_of_output(path: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    from caf_core.control.reading.overview import read_overview

    found = read_overview(path).calibrations
    return {one.name: list(one.depends_on) for one in found}, {one.name: one.state for one in found}


def _links_of_script(script: Path, arguments: tuple[str, ...]) -> dict[str, list[str]]:
    from caf_core.cli.script import execute_script, script_error
    from caf_core.control.options import Options, using
    from caf_core.control.resolve import dependency_graph

    try:
        with using(Options(check_only=True)):
            execute_script(script, arguments)
    except CafError as error:
        # Whether the check went well does not matter here: input files may be elsewhere, for instance.
        caf = _caf_in(error.__traceback__)
        if caf is None:
            raise
        return dependency_graph(list(caf.calibrations.values()))
    except Exception as error:
        raise script_error(script, error) from error
    raise ConfigurationError(
        f"{shown(script)} ended without reaching CAF.run(), so there is nothing to draw."
    )


def _caf_in(trace: TracebackType | None) -> "CAF | None":
    """The CAF whose ``run`` raised."""
    from caf_core.control.caf import CAF

    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        if trace.tb_frame.f_code is CAF.run.__code__ and isinstance(owner, CAF):
            return owner
        trace = trace.tb_next
    return None
