"""``caf run``: execute a script, and show how its calibrations get on."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caf_core.cli.asking import backend_options, resource_options, resources_of
from caf_core.cli.base import Command, Settings, UserPath, json_option, say, shown
from caf_core.cli.exits import Exit
from caf_core.errors import CafError, ConfigurationError
from caf_core.json_text import json_text

if TYPE_CHECKING:
    from caf_core.control.options import Options
    from caf_core.control.report import Report

_STARTS = ("init", "collector_completed", "completed")


@click.command("run", cls=Command, context_settings={"allow_interspersed_args": False})
@click.option("-o", "--output-dir", type=UserPath(), help="In place of the script's output_dir.")
@backend_options
@click.option("--algorithm-backend", metavar="NAME", help="What executes the algorithms.")
@resource_options
@click.option("-j", "--processes", type=click.IntRange(min=1), help="Processes at a time on this machine.")
@click.option("--check", is_flag=True, help="Try everything but the submission, and say what would be done.")
@click.option("--from", "start", type=click.Choice(_STARTS), help="Start every calibration from this state.")
@click.option("--iteration", type=click.IntRange(min=0), help="The iteration for --from.")
@click.option("--take-over", is_flag=True, help="Declare a controller on another host dead.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@json_option
@click.argument("script", type=UserPath(exists=True, dir_okay=False))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
@click.pass_obj
def command(
    settings: Settings,
    /,
    script: Path,
    arguments: tuple[str, ...],
    **given: Any,
) -> int:
    """Execute SCRIPT with ARGS, and show the progress of its calibrations.

    Options come before SCRIPT; what follows belongs to the script. --backend takes the place of the script's
    backend; --backend-arg is for that one, and calibrations and collections that say otherwise win. Likewise
    --cpus, --memory, --walltime and --disk hold where neither a collection nor its calibration says anything.
    Progress goes to stderr: bars on a terminal, lines elsewhere. Start again with the same output directory
    after a failure or an interrupt: what was done is kept.
    """
    options = _options(given)
    code = _execute(script, arguments, options, settings, quiet=given["quiet"] or options.check_only)
    if settings.json and not options.check_only:
        print(json_text([report_as_json(report) for report in options.reports], indent=2))
    return code


def _options(given: Mapping[str, Any]) -> "Options":
    """What the command line adds to the script."""
    from caf_core.calibration.states import State
    from caf_core.cli.progress import listener_for
    from caf_core.control.options import Options, Override
    from caf_core.control.report import Silence
    from caf_core.jobs.config.typed import pairs

    start, iteration, check = given["start"], given["iteration"], given["check"]
    if iteration is not None and start is None:
        raise ConfigurationError("--iteration needs --from: say from which state that iteration starts.")
    return Options(
        output_dir=given["output_dir"],
        backend=given["backend"],
        algorithm_backend=given["algorithm_backend"],
        backend_args=pairs(given["backend_args"], "--backend-arg"),
        resources=resources_of(given),
        processes=given["processes"],
        check_only=check,
        override=Override(State(start), iteration) if start else None,
        take_over=given["take_over"],
        listener=Silence() if given["quiet"] or check else listener_for(sys.stderr),
    )


def _execute(
    script: Path, arguments: tuple[str, ...], options: "Options", settings: Settings, *, quiet: bool
) -> int:
    """Execute the script; its end as an exit code. What went wrong is said last."""
    from caf_core.cli.script import execute_script, script_error
    from caf_core.control.checking import CheckedError
    from caf_core.control.options import using
    from caf_core.control.report import CalibrationFailedError, InterruptedRunError

    try:
        try:
            with using(options):
                execute_script(script, arguments)
        finally:
            if not quiet:
                _summary(options.reports)
    except CheckedError as error:
        from caf_core.cli.checked import print_checked

        print_checked(error.result, as_json=settings.json)
        return Exit.OK
    except SystemExit as exit_:
        return _code_of(exit_)
    except InterruptedRunError as error:
        say(f"caf: {error}", err=True)
        return Exit.INTERRUPTED
    except CalibrationFailedError as error:
        say(f"caf: {error}", err=True)
        return Exit.FAILED
    except (CafError, click.ClickException):
        raise
    except Exception as error:
        raise script_error(script, error) from error
    return _ended(script, options)


def _ended(script: Path, options: "Options") -> int:
    """What the normal end of a script means."""
    if options.check_only:
        raise ConfigurationError(
            f"{shown(script)} ended without reaching CAF.run(), so there was nothing to check; call run() in "
            "it."
        )
    if not options.reports:
        click.echo(f"caf: {shown(script)} ended without calling CAF.run(); nothing was calibrated.", err=True)
    if any(report.interrupted for report in options.reports):
        return Exit.INTERRUPTED
    # A script may look at its reports itself (run(check=False)); that does not make a failure a success.
    return Exit.OK if all(report.success for report in options.reports) else Exit.FAILED


def _code_of(exit_: SystemExit) -> int:
    """The exit code of ``sys.exit(...)``, as the interpreter has it."""
    if exit_.code is None or isinstance(exit_.code, int):
        return exit_.code or 0
    say(exit_.code, err=True)
    return 1


def _summary(reports: "list[Report]") -> None:
    from caf_core.control.account_words import account_texts

    for report in reports:
        for name, one in report.calibrations.items():
            if one.convergence:
                click.echo(
                    f"{shown(name)}: completed in iteration {one.iteration} ({one.convergence}); constants "
                    f"in {shown(one.database)}",
                    err=True,
                )
            for text in account_texts(one.account):
                click.echo(f"{shown(name)}: {shown(text)}", err=True)


def report_as_json(report: "Report") -> dict[str, object]:
    """A report for machines."""
    return {
        "output_dir": str(report.output_dir),
        "success": report.success,
        "interrupted": report.interrupted,
        "left": dict(report.left),
        "calibrations": {
            name: {
                "state": str(one.state),
                "iteration": one.iteration,
                "convergence": one.convergence,
                "reason": one.reason,
                "database": str(one.database),
                **one.account.to_json(),
            }
            for name, one in report.calibrations.items()
        },
    }
