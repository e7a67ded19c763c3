"""``caf debug``: one task or execution again, in the foreground."""

import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import click

from caf_core.cli.base import Command, Settings, UserPath, path_option, shown


@click.command("debug", cls=Command)
@path_option
@click.option("--iteration", type=click.IntRange(min=0), help="Another iteration than the last that has it.")
@click.option("--pdb", "debugger", is_flag=True, help="End in the debugger if the Python code raises.")
@click.option(
    "--scratch",
    type=UserPath(file_okay=False),
    help="Where the copy is made.  [default: a temporary folder]",
)
@click.argument("calibration", metavar="[CALIBRATION]")
@click.argument("task", metavar="TASK|EXECUTION", required=False)
@click.pass_obj
def command(
    settings: Settings,
    calibration: str,
    task: str | None,
    iteration: int | None,
    debugger: bool,
    scratch: Path | None,
) -> None:
    """Execute one TASK or EXECUTION of CALIBRATION again, in the foreground.

    It gets the same inputs, constants and environment, in a folder of its own; what was recorded stays as it
    is. A task is named by its collection and number, such as default/3; an execution by its algorithm and the
    name of its folder, such as Fit/0_0.0_2 (`caf why CALIBRATION` tells the names). Where there is only one
    calibration, it need not be named. The exit code is its own.
    """
    from caf_core.control.reading.causes import read_case
    from caf_core.control.reading.naming import find_work, meant
    from caf_core.control.reading.overview import reading
    from caf_core.control.reading.repeating import prepare

    with reading(settings.path) as store:
        # One word alone is the task.
        name, _ = meant(store, None if task is None else calibration)
        case = read_case(store, find_work(store, name, calibration if task is None else task, iteration))
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="caf-debug-", dir=scratch))
    try:
        again = prepare(case, folder, debugger=debugger)
    except Exception:
        shutil.rmtree(folder)
        raise
    click.echo(
        f"caf: {shown(case.work.name)}, iteration {case.work.iteration}, in {shown(again.directory)}",
        err=True,
    )
    click.echo(f"caf: {shown(shlex.join(again.argv))}", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os.chdir(again.directory)
    # In place of this process: its terminal, its signals and its exit code are those of the task.
    os.execvpe(again.argv[0], again.argv, again.environment)  # noqa: S606 - an argument list; no shell is wanted
