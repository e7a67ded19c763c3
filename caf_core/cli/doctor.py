"""``caf doctor``: whether a backend works here, and what to set."""

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caf_core.cli.asking import (
    SPAN,
    backend_arg_option,
    backend_name,
    make_backend,
    resource_options,
    resources_of,
)
from caf_core.cli.base import Command, Settings, UserPath, json_option, say, shown
from caf_core.cli.exits import Exit
from caf_core.json_text import json_text

if TYPE_CHECKING:
    from caf_core.control.doctor.facts import Examination
    from caf_core.jobs.findings import Finding

_MARKS = {"ok": "ok     ", "note": "note   ", "warning": "WARNING", "problem": "PROBLEM"}


@click.command("doctor", cls=Command)
@backend_arg_option
@resource_options
@click.option(
    "-o",
    "--output-dir",
    type=UserPath(file_okay=False),
    default=Path(),
    help="Where output would lie; the probe works in a folder in it.  [default: here]",
)
@click.option("--no-probe", is_flag=True, help="Submit nothing; only ask.")
@click.option(
    "--wait",
    type=SPAN,
    metavar="TIME",
    default="10min",
    show_default=True,
    help="How long to wait for the probe.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show only what is not in order.")
@json_option
@click.argument("backend", required=False)
@click.pass_obj
def command(
    settings: Settings, /, backend: str | None, output_dir: Path, no_probe: bool, quiet: bool, **given: Any
) -> int:
    """Find out whether BACKEND works here, and say what to set.

    It looks for the scheduler's commands, asks the scheduler for its version and limits, and submits one
    small task (the probe), which tells what the nodes are like: Python, memory, processors, whether they see
    the output directory, how long files take to be seen. It also tells how long your credentials live.

    Without BACKEND the configured one is examined. The exit code is 1 if there is a problem.
    """
    from caf_core.control.doctor.asking import examine
    from caf_core.control.doctor.judgement import judge
    from caf_core.jobs.config.reading import load_config
    from caf_core.plugins.registry import Registry

    # What is warned about on the way is judged, and told, at the end.
    logging.getLogger("caf").addHandler(logging.NullHandler())
    config = load_config()
    name = backend_name(config, backend)
    wait: timedelta = given["wait"]
    found = examine(
        make_backend(config, name, given["backend_args"]),
        name,
        config,
        directory=None if no_probe else output_dir,
        patience=wait.total_seconds(),
        say=_sayer(quiet=quiet or settings.json),
        resources=resources_of(given),
        registry=Registry.load(),
    )
    findings = judge(found)
    if settings.json:
        print(json_text(_as_json(found, findings), indent=2))
    else:
        _print(found, findings, quiet=quiet)
    return Exit.FAILED if any(one.level == "problem" for one in findings) else Exit.OK


def _sayer(*, quiet: bool) -> Callable[[str], None]:
    return (lambda _text: None) if quiet else (lambda text: click.echo(f"caf: {shown(text)}", err=True))


def _print(found: "Examination", findings: "list[Finding]", *, quiet: bool) -> None:
    from caf_core.control.doctor.judgement import suggestions
    from caf_core.jobs.config.writing import table_text

    told = [one for one in findings if not quiet or one.level in ("warning", "problem")]
    section = ""
    for one in told:
        if one.section != section:
            print(f"{chr(10) if section else ''}{one.section}")
            section = one.section
        print(f"  {_MARKS[one.level]}  {shown(one.text)}")
        if one.remedy:
            print(f"           -> {shown(one.remedy)}")
    wanted = suggestions(findings)
    if wanted:
        print("\nFor caf.toml:\n")
        say(table_text(f"backends.{found.backend}", wanted))
    counts = {level: sum(one.level == level for one in findings) for level in ("problem", "warning")}
    words = ", ".join(f"{number} {level}(s)" for level, number in counts.items() if number)
    say(f"{chr(10) if told else ''}{found.backend}: {words or 'everything is in order'}")


def _as_json(found: "Examination", findings: "list[Finding]") -> dict[str, object]:
    import attrs

    from caf_core.control.doctor.judgement import suggestions

    return {
        "backend": found.backend,
        "findings": [attrs.asdict(one) for one in findings],
        "settings": suggestions(findings),
        "facts": attrs.asdict(found),
    }
