"""What the commands share: options, settings, the text of errors."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from caf_core.errors import ConfigurationError
from caf_core.home import given_path

if TYPE_CHECKING:
    from caf_core.iov import ExpRun

DEFAULT_OUTPUT = Path("calibration_results")

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass
class Settings:
    """What holds for a whole command line, wherever on it the options stood.

    Args:
        debug: Whether errors show their traceback.
        path: The output directory.
        json: Whether a machine reads the answer.
    """

    debug: bool = False
    path: Path = DEFAULT_OUTPUT
    json: bool = False


class UserPath(click.Path):
    """A path; the shell leaves ``~`` as it is in ``--option=~/path``."""

    def __init__(self, *, exists: bool = False, file_okay: bool = True, dir_okay: bool = True) -> None:
        super().__init__(exists=exists, file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See ``click.ParamType``."""
        return super().convert(given_path(value), param, ctx)


def settings_of(context: click.Context) -> Settings:
    """The settings of a command line."""
    return context.ensure_object(Settings)


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value is not None and value is not False:
            setattr(settings_of(context), name, value)

    return callback


def debug_option() -> click.Option:
    """``--debug``, which every command has."""
    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        callback=_remember("debug"),
        help="Show the traceback of errors.",
    )


class Command(click.Command):
    """A command with ``--debug``."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters, ``--debug`` and ``--help``."""
        return [*super().get_params(ctx)[:-1], debug_option(), *super().get_params(ctx)[-1:]]


def path_option(function: Function) -> Function:
    """``-p DIR``: the output directory; it ends up in ``Settings.path``."""
    return click.option(
        "-p",
        "--path",
        type=UserPath(),
        expose_value=False,
        callback=_remember("path"),
        help=f"The output directory.  [default: {DEFAULT_OUTPUT}]",
    )(function)


def json_option(function: Function) -> Function:
    """``--json``; it ends up in ``Settings.json``."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        expose_value=False,
        callback=_remember("json"),
        help="Write JSON for machines.",
    )(function)


def parse_run(text: str) -> "ExpRun":
    """The run that ``--run`` names.

    Raises:
        ConfigurationError: If it names none.
    """
    from caf_core.iov import ExpRun

    numbers = text.replace("/", ",").split(",")
    if len(numbers) != 2 or not all(number.strip().isdecimal() for number in numbers):
        raise ConfigurationError(f"{text!r} is no run; write experiment and number, such as --run 1,42.")
    return ExpRun(int(numbers[0]), int(numbers[1]))


def shown(text: object) -> str:
    """A text as one line that can be printed anywhere: line breaks, control characters and undecodable
    bytes of file names are escaped.
    """
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in plain)


def say(text: object, *, err: bool = False, end: bool = True) -> None:
    """Print lines whose words come from files, tasks or other users: only line breaks and tabs act on the
    terminal.

    Args:
        text: The lines.
        err: Whether they are a message, and no output.
        end: Whether a line break is added.
    """
    click.echo(_tame(str(text)), err=err, nl=end)


def _tame(text: str) -> str:
    return "\n".join("\t".join(map(shown, line.split("\t"))) for line in text.split("\n"))


def tame_log() -> None:
    """Have what is logged, for which nobody has set up anything, be printed as ``say`` does."""
    import logging

    class Tame(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return _tame(super().format(record))

    if logging.lastResort is not None:
        logging.lastResort.setFormatter(Tame())


def listed(names: "list[str] | tuple[str, ...]", limit: int = 12) -> str:
    """Names for an error message; a long list is cut."""
    more = f", ... ({len(names)} in all)" if len(names) > limit else ""
    return ", ".join(map(shown, names[:limit])) + more if names else "none"


def duration(seconds: float) -> str:
    """A time span for people: ``4 s``, ``3 min 5 s``, ``2 h 10 min``, ``3 d 4 h``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    for big, size, small, part in (("min", 60, "s", 1), ("h", 3600, "min", 60), ("d", 86400, "h", 3600)):
        if whole < size * (24 if big == "h" else 60) or big == "d":
            rest = whole % size // part
            return f"{whole // size} {big}" + (f" {rest} {small}" if rest else "")
    raise AssertionError("unreachable: days take everything")
