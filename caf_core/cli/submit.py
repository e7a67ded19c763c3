"""``caf submit``: a command, executed many times, without a calibration."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caf_core.cli.asking import (
    backend_name,
    backend_options,
    make_backend,
    resource_options,
    resources_of,
    warn_of_tables,
)
from caf_core.cli.base import Command, Settings, UserPath, json_option, say, shown
from caf_core.cli.exits import Exit
from caf_core.errors import ConfigurationError
from caf_core.json_text import json_text
from caf_core.text import clause

if TYPE_CHECKING:
    from caf_core.cli.submission import Result, Show
    from caf_core.jobs.config.reading import Config
    from caf_core.jobs.ledger import TaskChange
    from caf_core.jobs.retry import RetryPolicy
    from caf_core.jobs.task import TaskSpec


@click.command("submit", cls=Command, context_settings={"allow_interspersed_args": False})
@click.option(
    "-o",
    "--output-dir",
    type=UserPath(file_okay=False),
    default=Path("caf_job"),
    show_default=True,
    help="Where everything lies.",
)
@backend_options
@click.option(
    "-j",
    "--processes",
    type=click.IntRange(min=1),
    help="Tasks at the same time, on a backend that lets you choose.",
)
@click.option("-n", "--array", type=click.IntRange(min=1), help="So many tasks.")
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="PATTERN",
    help="Input files: names, globs, URIs; may be given several times.",
)
@click.option("--max-files", type=click.IntRange(min=1), help="Input files a task at most.  [default: 1]")
@click.option("--max-tasks", type=click.IntRange(min=1), help="Share the input files among so many tasks.")
@click.option(
    "--outputs", multiple=True, metavar="GLOB", help="What a task must leave; may be given several times."
)
@click.option(
    "--setup",
    multiple=True,
    metavar="LINE",
    help="Shell line before the command; may be given several times.",
)
@resource_options
@click.option("--attempts", type=click.IntRange(min=1), help="How often a task that fails is tried in all.")
@click.option(
    "--min-fraction",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    help="The part of the tasks that must succeed.  [default: 1]",
)
@click.option(
    "--env", multiple=True, metavar="NAME=VALUE", help="For the command; may be given several times."
)
@click.option("--name", default="job", show_default=True, help="The job's name.")
@click.option("--take-over", is_flag=True, help="Declare a controller on another host dead.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@json_option
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND...")
@click.pass_obj
def command(settings: Settings, /, output_dir: Path, words: tuple[str, ...], **options: Any) -> int:
    """Execute COMMAND many times, and wait: caf submit -n 10 -- prog --seed {index}

    A program that is named by its path, such as ./my.sh, is taken from here. In the words of the command
    {index} is the task's number, from 0; {file} its input file; {files}, as a
    word of its own, all its input files. A task works in OUTPUT_DIR/NUMBER/attempt-1, where stdout and stderr
    are too. The same command with the same output directory again goes on where it was, executes what failed
    once more, and otherwise only shows the results; `caf status`, `caf why`, `caf debug` and `caf cancel`
    work with -p OUTPUT_DIR. After Ctrl-C tasks on a batch system go on; `caf cancel` ends them. The exit code
    is 1 if a task failed.
    """
    from caf_core.calibration.calibration import check_name
    from caf_core.cli.submission import Wish, carry_out
    from caf_core.control.outstanding import interruptible
    from caf_core.jobs.config.reading import load_config

    check_name(options["name"], "a job")
    config = load_config()
    name = backend_name(config, options["backend"])
    backend = make_backend(config, name, options["backend_args"], options["processes"])
    warn_of_tables(config)
    wish = Wish(
        name=options["name"],
        directory=output_dir.absolute(),
        tasks=make_tasks(words, output_dir.absolute(), options),
        backend=backend,
        backend_name=name,
        resources=resources_of(options).or_else(config.make_resources()),
        retry=_retry(config, options["attempts"]),
        min_fraction=options["min_fraction"],
    )
    show, close = _shower(options["name"], quiet=options["quiet"])
    with interruptible(output_dir):
        try:
            result = carry_out(wish, show, take_over=options["take_over"])
        finally:
            close()
        return _report(wish.name, output_dir, result, as_json=settings.json)


def make_tasks(words: Sequence[str], directory: Path, options: Mapping[str, Any]) -> "list[TaskSpec]":
    """The tasks of a command line.

    Raises:
        ConfigurationError: If the options contradict each other, or input files are missing.
    """
    from caf_core.jobs.config.typed import pairs
    from caf_core.jobs.task import TaskSpec

    words = [_program(words[0]), *words[1:]]
    env = pairs(options["env"], "--env")
    files = find_inputs(options["inputs"])
    if files and options["array"]:
        raise ConfigurationError("--array and --input both say how many tasks there are; give one of them.")
    if not files and (options["max_files"] or options["max_tasks"] or any("{file" in word for word in words)):
        raise ConfigurationError("there are no input files to share out; give some with --input.")
    groups = _shared_out(files, options) if files else [[] for _ in range(options["array"] or 1)]
    return [
        TaskSpec(
            output_dir=directory / str(index),
            argv=tuple(_words(words, index, group)),
            input_files=tuple(group),
            setup_cmds=tuple(options["setup"]),
            env=env,
            output_patterns=tuple(options["outputs"]),
        )
        for index, group in enumerate(groups)
    ]


def find_inputs(patterns: Iterable[str]) -> list[str]:
    """The input files that are meant, each once.

    Raises:
        ConfigurationError: If a pattern matches nothing.
    """
    from caf_core.jobs import input_names

    found: list[str] = []
    for pattern in patterns:
        names = input_names.matches(pattern)
        if not names:
            raise ConfigurationError(f"no input file matches {pattern!r}; correct it.")
        found += names
    files, doubles = input_names.distinct(found)
    if doubles:
        click.echo(f"caf: {shown(input_names.told(doubles))}.", err=True)
    return files


def _shared_out(files: list[str], options: Mapping[str, Any]) -> list[list[str]]:
    from caf_core.jobs.model import Job
    from caf_core.jobs.splitters import MaxFilesSplitter, MaxSubjobsSplitter

    if options["max_files"] and options["max_tasks"]:
        raise ConfigurationError("--max-files and --max-tasks contradict each other; give one of them.")
    number = options["max_tasks"]
    splitter = MaxSubjobsSplitter(number) if number else MaxFilesSplitter(options["max_files"] or 1)
    job = Job("job", cmd=["true"], input_files=files, splitter=splitter)
    splitter.create_subjobs(job)
    return [list(subjob.input_files) for subjob in job.subjobs.values()]


def _program(word: str) -> str:
    """The program as tasks find it, which work elsewhere: ``./my.sh`` is the one that lies here."""
    here = Path(word).absolute()
    return str(here) if "/" in word and not Path(word).is_absolute() and here.is_file() else word


def _words(words: Sequence[str], index: int, files: list[str]) -> list[str]:
    """The command of one task; braces that mean nothing here stay."""
    found: list[str] = []
    for word in words:
        if word == "{files}":
            found += files
            continue
        if "{file}" in word:
            if len(files) != 1:
                raise ConfigurationError(
                    f"task {index} has {len(files)} input files, so {{file}} is not clear; write {{files}}, "
                    "or leave out --max-files and --max-tasks."
                )
            word = word.replace("{file}", files[0])
        found.append(word.replace("{index}", str(index)))
    return found


def _retry(config: "Config", attempts: int | None) -> "RetryPolicy":
    """What failures get: so many attempts, whatever the failure, unless it is not the task's."""
    from caf_core.jobs.ledger import FailureKind

    policy = config.make_retry()
    if attempts is None:
        return policy
    spared = (FailureKind.CANCELLED, FailureKind.CREDENTIALS, FailureKind.SUBMISSION)
    return policy.with_attempts(attempts, [kind for kind in FailureKind if kind not in spared])


def _shower(name: str, *, quiet: bool) -> "tuple[Show, Any]":
    """What shows the progress, and what ends that."""
    if quiet:
        return (lambda _status: None), (lambda: None)
    if sys.stderr.isatty():
        from caf_core.cli.bars import Bars

        bars = Bars(sys.stderr)
        bars.begun({name: None})
        return (lambda status: bars.jobs(name, "tasks", status)), bars.ended
    from caf_core.cli.progress import Lines

    lines = Lines(sys.stderr)
    return (lambda status: lines.jobs(name, "tasks", status)), lines.ended


def _report(name: str, directory: Path, result: "Result", *, as_json: bool) -> int:
    from caf_core.jobs.ledger import TaskState

    failed = [change for change in result.changes if change.state is TaskState.FAILED]
    if as_json:
        print(json_text(_as_json(result), indent=2))
    elif result.status.success:
        done = result.status.total - len(failed)
        click.echo(f"{done} tasks done; everything lies in {shown(directory)}", err=True)
    if result.interrupted:
        from caf_core.control.outstanding import left_text

        text = "caf: stopped; give the same command again and it goes on where it was."
        say(f"{text} {left_text(result.left, directory)}".rstrip(), err=True)
        return Exit.INTERRUPTED
    if failed:
        say(_failed_text(name, directory, failed, result), err=True)
    return Exit.OK if result.status.success else Exit.FAILED


def _failed_text(name: str, directory: Path, failed: "Sequence[TaskChange]", result: "Result") -> str:
    first = failed[0]
    reason = clause(first.reason or first.failure or f"exit code {first.exit_code}")
    allowed = ", which --min-fraction allows" if result.status.success else ""
    return (
        f"caf: {len(failed)} of {result.status.total} tasks failed{allowed}; tasks/{first.index}: "
        f"{shown(reason)}. Look closer with: caf why {shown(name)} -p {shown(directory)}; the same command "
        "again executes what failed once more."
    )


def _as_json(result: "Result") -> dict[str, object]:
    return {
        "success": result.status.success,
        "interrupted": result.interrupted,
        "left": dict(result.left),
        "tasks": [
            {
                "index": change.index,
                "state": str(change.state),
                "attempt": change.attempt,
                "failure": str(change.failure) if change.failure else None,
                "exit_code": change.exit_code,
                "reason": change.reason,
                "directory": str(result.folders[change.index]) if change.index in result.folders else None,
            }
            for change in result.changes
        ],
    }
