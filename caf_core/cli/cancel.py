"""``caf cancel``: end what an interrupted controller has left."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from caf_core.cli.asking import backend_arg_option, make_backend
from caf_core.cli.base import Command, Settings, json_option, path_option, say, shown
from caf_core.cli.exits import Exit
from caf_core.json_text import json_text

if TYPE_CHECKING:
    from caf_core.control.cancelling import Ended, Outcome


@click.command("cancel", cls=Command)
@path_option
@json_option
@backend_arg_option
@click.option("--take-over", is_flag=True, help="Declare a controller on another host dead.")
@click.argument("calibration", required=False)
@click.pass_obj
def command(
    settings: Settings, backend_args: tuple[str, ...], take_over: bool, calibration: str | None
) -> int:
    """End what goes on at batch systems and on this machine, of CALIBRATION or of all.

    For tasks that were left by Ctrl-C, or by a controller that died; one that lives is stopped with Ctrl-C
    first. Nothing is lost: what has completed stays so, and the next start of the same script or command
    executes again what was ended here. The exit code is 1 if something could not be ended.
    """
    from caf_core.control.cancelling import cancel
    from caf_core.jobs.config.reading import load_config

    config = load_config()
    outcome = cancel(
        settings.path,
        lambda name, chosen: make_backend(config, name, backend_args, chosen=chosen),
        calibration,
        take_over=take_over,
    )
    if settings.json:
        import attrs

        print(json_text(attrs.asdict(outcome), indent=2))
    else:
        _print(outcome)
    return Exit.FAILED if outcome.kept else Exit.OK


def _print(outcome: "Outcome") -> None:
    for (calibration, backend), tasks in _sums(outcome.ended).items():
        say(f"{shown(calibration)}: ended {tasks} task{'s' * (tasks != 1)} {_place(backend)}")
    for one in outcome.kept:
        say(
            f"caf: {shown(one.calibration)}: {one.tasks} task{'s' * (one.tasks != 1)} {_place(one.backend)}, "
            f"called {one.token} there, not ended: {shown(one.reason)}",
            err=True,
        )
    if outcome.ended:
        print("the same script or command again executes what was ended here")
    elif not outcome.kept:
        print("nothing goes on")


def _place(backend: str) -> str:
    from caf_core.control.outstanding import EXECUTIONS

    return "of algorithms" if backend == EXECUTIONS else f"at {shown(backend)}"


def _sums(ended: "Iterable[Ended]") -> dict[tuple[str, str], int]:
    """How many tasks, by calibration and backend."""
    found: dict[tuple[str, str], int] = {}
    for one in ended:
        key = (one.calibration, one.backend)
        found[key] = found.get(key, 0) + len(one.tasks)
    return found
