"""The ``caf`` command: finds commands, and turns every error into one sentence and an exit code.

The module of a command is imported when that command is called. Plugins are loaded only for ``caf --help``
and for a command that is not one of these, because their commands may be anything; a plugin's entry module is
cheap to import, so this stays within what ``caf --help`` may cost.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, TextIO, cast

import click

from caf_core.cli.base import Settings, debug_option, say, shown, tame_log
from caf_core.cli.exits import Exit
from caf_core.errors import CafError, CheckpointError, ConfigurationError
from caf_core.text import clause

COMMANDS = {
    "run": "Execute a script and show the progress of its calibrations.",
    "status": "Show where calibrations are; set them back.",
    "why": "Tell why a calibration, task or execution failed.",
    "debug": "Execute one task or execution again, in the foreground.",
    "payloads": "List the constants of a database, and compare databases.",
    "filemap": "Find out which runs are in which input files.",
    "graph": "Draw the state machine, or what depends on what.",
    "plugins": "List the installed plugins and what they bring.",
    "submit": "Execute a command many times, without a calibration.",
    "cancel": "End what an interrupted start has left at batch systems.",
    "tidy": "Remove files that the next start does not need.",
    "config": "Show which settings hold here, and which file says so.",
    "doctor": "Find out whether a backend works here, and what to set.",
}
"""Command -> its line in ``caf --help``; ``x`` is ``command`` in the module ``caf_core.cli.x``."""

_MODULES = {"plugins": "plugin_list"}


class _Messages:
    """A stream for messages: where none can be written (a full disk, a dead terminal), the work goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Commands(click.Group):
    """All commands: the core's own, and those of plugins."""

    _asked_plugins = False

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The core's commands in the order of their use, then those of plugins."""
        self._ask_plugins()
        return [*COMMANDS, *sorted(self.commands)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One command, imported now."""
        if cmd_name in COMMANDS:
            found: click.Command = import_module(f"caf_core.cli.{_MODULES.get(cmd_name, cmd_name)}").command
            return found
        self._ask_plugins()
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name; the error says which there are."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            from difflib import get_close_matches

            names = self.list_commands(ctx)
            close = get_close_matches(args[0], names, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(
                f"there is no command {args[0]!r}; there are: {', '.join(names)}.{hint}", ctx
            )
        tame_log()
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands in ``caf --help``; imports none of them."""
        names = self.list_commands(ctx)
        plugins = {name: self.commands[name].get_short_help_str(60) for name in names if name not in COMMANDS}
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        if plugins:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(list(plugins.items()))

    def forget_plugins(self) -> None:
        """Ask no plugins for commands: somebody adds them."""
        self._asked_plugins = True

    def _ask_plugins(self) -> None:
        if not self._asked_plugins:
            from caf_core.plugins.registry import Registry

            self._asked_plugins = True
            Registry.load().commands(self)


def _version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"caf {version('caf-core')}")
        context.exit()


def make_app() -> Commands:
    """The command line, with nothing imported yet."""
    return Commands(
        "caf",
        help="Run detector calibrations: collect, calibrate, store constants with their validity, iterate.",
        params=[
            debug_option(),
            click.Option(
                ["--version"],
                is_flag=True,
                expose_value=False,
                is_eager=True,
                callback=_version,
                help="Show the version.",
            ),
        ],
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        epilog="Exit codes: 0 done; 1 something failed; 2 wrong usage or configuration; 3 output directory "
        "in use or unusable; 4 other errors; 130 stopped.",
    )


def execute(arguments: Sequence[str] | None = None) -> int:
    """Execute a command line.

    Args:
        arguments: The words after ``caf``; those of this process by default.
    Returns:
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        # File names may hold bytes that are no text; printing them must not fail.
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    settings = Settings()
    words = None if arguments is None else list(arguments)
    try:
        code = make_app().main(words, prog_name="caf", standalone_mode=False, obj=settings)
        sys.stdout.flush()
    except Exception as error:
        if settings.debug and not isinstance(error, click.ClickException):
            import traceback

            traceback.print_exception(error)
        return _complain(error, settings)
    except KeyboardInterrupt:
        return _say("stopped.", Exit.INTERRUPTED)
    return int(code or 0)


def prepare_streams() -> None:
    """Make the standard streams of this process fit to be used, whatever the caller did to them.

    Where one is closed, the null device is opened, so that no other file gets its number.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(null := os.open(os.devnull, os.O_RDWR), number)
            if null > number:
                os.close(null)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
    sys.stderr = cast(TextIO, _Messages(sys.stderr))


def _complain(error: Exception, settings: Settings) -> int:
    """Say in one sentence what went wrong."""
    match error:
        case click.exceptions.Abort():
            said = str(error.__cause__) if isinstance(error.__cause__, KeyboardInterrupt) else ""
            return _say(said or "stopped.", Exit.INTERRUPTED)
        case click.exceptions.NoArgsIsHelpError():
            say(error.format_message(), err=True)
            return Exit.CONFIGURATION
        case click.ClickException():
            return _say(_usage(error), Exit.CONFIGURATION)
        case BrokenPipeError():
            # Nobody reads on (`caf status | head`); the interpreter must not try to flush either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return Exit.FAILED
        case CheckpointError():
            return _say(str(error), Exit.CHECKPOINT)
        case ConfigurationError():
            return _say(str(error), Exit.CONFIGURATION)
        case CafError():
            return _say(str(error), Exit.OTHER)
        case OSError():
            return _say(f"{error.strerror or error}{_of(error)}; mend that and try again.", Exit.OTHER)
    hint = "" if settings.debug else "; --debug shows where"
    return _say(
        f"a fault of caf itself: {type(error).__name__}: {clause(error)}{hint}, please report it.", Exit.OTHER
    )


def _of(error: OSError) -> str:
    return f": {shown(error.filename)}" if error.filename is not None else ""


def _usage(error: click.ClickException) -> str:
    text = error.format_message().strip()
    text = text[:1].lower() + text[1:]
    context = getattr(error, "ctx", None)
    if context is None or text.endswith("?"):
        return text
    return f"{text.rstrip('.')}; see {context.command_path} --help."


def _say(text: str, code: Exit) -> int:
    lines = text.splitlines() or [""]
    say("caf: " + " ".join(line.strip() for line in lines), err=True)
    return int(code)
