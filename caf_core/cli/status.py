"""``caf status``: where calibrations are, and setting them back."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from caf_core.cli.base import Command, Settings, debug_option, duration, json_option, path_option, say, shown
from caf_core.cli.exits import Exit
from caf_core.cli.tables import print_table
from caf_core.json_text import json_text

if TYPE_CHECKING:
    from caf_core.control.reading.overview import CalibrationRow, Overview

COLUMNS = ("name", "state", "checkpoint", "iteration", "tasks", "convergence", "since")


class _Group(click.Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is named; the error says what to do about a folder."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            remedy = f"there are: {', '.join(self.list_commands(ctx))}"
            if Path(args[0]).is_dir():
                remedy = "name an output directory with -p"
            raise click.UsageError(f"there is no command {args[0]!r}; {remedy}.")
        return super().resolve_command(ctx, args)


@click.group("status", cls=_Group, invoke_without_command=True, params=[debug_option()])
@path_option
@json_option
@click.pass_context
def command(context: click.Context) -> int | None:
    """Show where calibrations are; set them back.

    Without a further word: show. It may be called by anybody who may read the output directory, while the
    controller works.
    """
    return context.invoke(show) if context.invoked_subcommand is None else None


@command.command("show", cls=Command)
@path_option
@json_option
@click.pass_obj
def show(settings: Settings) -> int:
    """Show where calibrations are."""
    from caf_core.control.reading.overview import read_overview

    found = read_overview(settings.path)
    if settings.json:
        print(json_text(as_json(found), indent=2))
        return Exit.OK
    now = time.time()
    if found.calibrations:
        print_table(COLUMNS, rows(found, now), right=("iteration",))
    for job in found.jobs:
        print(f"job {shown(job.name)}: {tasks_text(job.tasks)}")
    say("".join(f"{line}\n" for line in (*waiting_lines(found), *account_lines(found))), end=False)
    say(controller_text(found, now))
    return Exit.OK


@command.command("update", cls=Command)
@path_option
@click.option("--take-over", is_flag=True, help="Declare a controller on another host dead.")
@click.argument("calibration")
@click.argument("column")
@click.argument("value")
@click.pass_obj
def update(settings: Settings, calibration: str, column: str, value: str, take_over: bool) -> int:
    """Set COLUMN (state, checkpoint or iteration) of CALIBRATION to VALUE.

    The next `caf run` begins there, as with --from: what lies behind is done again. To set the iteration
    begins with its algorithms, or with its collectors if their output was not kept. A calibration set to
    failed begins at its checkpoint. Refused while a controller drives the output directory.
    """
    from caf_core.control.reading.overruling import overrule

    done = overrule(settings.path, calibration, column, value, take_over=take_over)
    say(
        f"{shown(calibration)}: {column} was {done.before} and is {done.after} now; the next caf run begins "
        f"at {done.start.state}, iteration {done.start.iteration}."
    )
    return Exit.OK


@command.command("watch", cls=Command)
@path_option
@click.option(
    "-n",
    "--interval",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    help="Seconds between looks.",
)
@click.pass_obj
def watch(settings: Settings, interval: float) -> int:
    """Show where calibrations are, again and again until the controller has ended.

    The exit code is 1 if a calibration has failed then.
    """
    from caf_core.control.reading.overview import read_overview

    live = sys.stdout.isatty()
    before: list[list[str]] = []
    while True:
        found, now = read_overview(settings.path), time.time()
        if live:
            # Home, and clear what is left below: no flicker, and nothing is lost from the scroll-back.
            click.echo("\033[H\033[2J", nl=False)
        now_rows = rows(found, now)
        if live or [row[:-1] for row in now_rows] != before:
            print_table(COLUMNS, now_rows, right=("iteration",))
            say("".join(f"{line}\n" for line in (*waiting_lines(found), *account_lines(found))), end=False)
            say(controller_text(found, now))
        before = [row[:-1] for row in now_rows]
        if found.controller is None:
            failed = any(one.state == "failed" for one in found.calibrations)
            return Exit.FAILED if failed else Exit.OK
        time.sleep(interval)


def rows(found: "Overview", now: float) -> list[list[str]]:
    """The cells of the table."""
    # Ctrl-C ends what executes on this machine; of what a killed controller left nobody knows.
    stopped = found.controller is None and found.how == "interrupted"
    unfinished = "stopped" if stopped else "running"
    return [
        [
            one.name,
            one.state,
            one.checkpoint,
            f"{one.iteration}/{one.max_iterations}",
            executions_text(one.executions, unfinished)
            if one.state == "running_algorithms"
            else tasks_text(one.tasks),
            one.convergence or "-",
            f"{duration(now - one.since)} ago" if one.since is not None else "-",
        ]
        for one in found.calibrations
    ]


def waiting_lines(found: "Overview") -> list[str]:
    """What the scheduler says of tasks that have not ended."""
    words = {"init": "not submitted", "submitted": "waiting", "running": "running"}
    everything = [(one.name, one.waiting) for one in found.calibrations]
    everything += [(one.name, one.waiting) for one in found.jobs]
    return [
        f"{shown(name)}: {part.count} {words[part.state]}: {shown(part.reason)}"
        for name, waiting in everything
        for part in waiting
    ]


def account_lines(found: "Overview") -> list[str]:
    """What was not started, what did not converge, and which runs have no constant."""
    from caf_core.control.account_words import account_texts

    return [
        f"{shown(one.name)}: {shown(text)}"
        for one in found.calibrations
        for text in (*blocked_texts(one.state, one.blocked_by), *account_texts(one.account))
    ]


def blocked_texts(state: str, because: str | None) -> list[str]:
    """That a calibration waits for one that has failed, if it does."""
    if because is None or state == "failed":
        return []
    how = "not started again" if state == "completed" else "not started"
    return [f"{how}, as {because!r}, on which it depends, failed"]


def tasks_text(counts: Mapping[str, int]) -> str:
    """``12/40, 3 running, 1 failed``."""
    known = dict(counts)
    total = sum(known.values())
    parts = [f"{known[state]} {state}" for state in ("running", "failed", "cancelled") if known.get(state)]
    return ", ".join([f"{known.get('completed', 0)}/{total}", *parts]) if total else "-"


def executions_text(counts: Mapping[str, int], unfinished: str) -> str:
    """``7 executed, 1 running``; ``unfinished`` is the word for those without a result."""
    known = dict(counts)
    running = known.pop("running", 0)
    return f"{sum(known.values())} executed" + (f", {running} {unfinished}" if running else "")


def controller_text(found: "Overview", now: float) -> str:
    """One sentence about who drives the output directory."""
    if (one := found.controller) is not None:
        age = duration(now - float(one["started"]))
        return f"controller: alive on host {one['host']}, pid {one['pid']}, started {age} ago."
    if found.ended is not None:
        return f"controller: none; the last one ended {duration(now - found.ended)} ago: {found.how}."
    if not found.calibrations:
        return "controller: none."
    again = "start the script again with this output directory, and it goes on"
    return f"controller: none; the last one was killed: {again}."


def as_json(found: "Overview") -> dict[str, object]:
    """The overview for machines."""
    import attrs

    def described(one: "CalibrationRow") -> dict[str, object]:
        facts = attrs.asdict(one, filter=lambda field, _: field.name != "account")
        return {**facts, **one.account.to_json()}

    return {
        "output_dir": str(found.directory.absolute()),
        "controller": found.controller,
        "last": {"how": found.how, "ended": found.ended},
        "calibrations": [described(one) for one in found.calibrations],
        "jobs": [attrs.asdict(one) for one in found.jobs],
    }
