"""What a backend says to its scheduler, and how the answers are read: generators without any I/O.

A dialogue yields commands, is sent what came of each, and returns a value. Whoever carries it out (``Batch``,
or a test with recorded answers) executes the commands.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path, PurePath
from typing import TypeVar

from attrs import field, frozen

from caf_core.errors import PollError, SubmissionError
from caf_core.processes.command import CommandResult

NOT_FOUND = 127
"""The exit code that stands for a command that is not there, as in a shell."""

T = TypeVar("T")


def _words(argv: Iterable[str]) -> tuple[str, ...]:
    return tuple(argv)


@frozen
class Command:
    """A command of a scheduler.

    Args:
        argv: The command and its arguments; no shell reads them.
        stdin: Text for its standard input, or the file that it reads; nothing by default. A command that
            submits gets a file: of a text it would get a part, or nothing, if we were killed meanwhile.
        env: Variables added to the environment, or taken away where they are ``None``.
        cwd: Its working directory; ours by default.
        timeout: After this long it is ended [s]; the backend's ``command_timeout`` by default.
        submits: Whether it hands tasks over. Such a command holds the lock of its submission, so that one
            that outlives the controller keeps the next controller from asking too early.
    """

    argv: tuple[str, ...] = field(converter=_words)
    stdin: str | Path | None = None
    env: Mapping[str, str | None] = field(factory=dict)
    cwd: Path | None = None
    timeout: float | None = None
    submits: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse what could hand over half a script."""
        if self.submits and isinstance(self.stdin, str):
            raise ValueError(f"{self.argv[0]} submits, so it must read a file: write it by files().")


Dialogue = Generator[Command, CommandResult, T]
"""Yields commands, is sent their results, returns a value."""


def converse(dialogue: Dialogue[T], execute: Callable[[Command], CommandResult]) -> T:
    """Carry a dialogue out.

    Args:
        dialogue: The dialogue.
        execute: Executes one command.
    Returns:
        What the dialogue returns; what it raises is raised.
    """
    try:
        command = next(dialogue)
        while True:
            command = dialogue.send(execute(command))
    except StopIteration as end:
        value: T = end.value
        return value


def sole(values: Iterable[T]) -> T | None:
    """The one value that occurs, be it several times; ``None`` if there is none, or another one too. An id is
    believed only so: what else a site's commands print may look like one.
    """
    found = list(dict.fromkeys(values))
    return found[0] if len(found) == 1 else None


def words(answer: CommandResult, limit: int = 500) -> str:
    """What a command that failed said, in one line: its errors, else its output, else its exit code."""
    said = " ".join((answer.stderr.strip() or answer.stdout.strip()).split())
    if len(said) > limit:
        said = said[:limit] + "..."
    if answer.returncode is None:
        how = f"no answer within {answer.seconds:.0f} s"
        return f"{how}: {said}" if said else how
    return said or f"exit code {answer.returncode}"


def refused(
    answer: CommandResult, *, remedy: str = "", credentials: bool = False, full: bool = False
) -> SubmissionError:
    """The error for a submission that the scheduler certainly did not take.

    Args:
        answer: The answer of the submit command.
        remedy: What the user can do about it.
        credentials: Whether a credential has expired or is missing: it is tried again later, and costs no
            attempt for a long time.
        full: Whether there is no room for more jobs of the user now: it is tried again until there is.
    """
    later = credentials or full
    return _submission_error(answer, remedy, transient=later, credentials=credentials, full=full)


def doubtful(answer: CommandResult) -> SubmissionError:
    """The error for a submission of which nobody knows whether the scheduler took it: the core searches for
    the token before it does anything else.
    """
    return _submission_error(answer, "", transient=True)


def unanswered(answer: CommandResult) -> PollError:
    """The error for a question that the scheduler did not answer; it says nothing about the tasks. A command
    that is not there will not answer later either.
    """
    return PollError(_said(answer), transient=answer.returncode != NOT_FOUND)


def _said(answer: CommandResult) -> str:
    """What a command said, after its name; many begin with their name themselves."""
    said, name = words(answer), answer.argv[0]
    return said if said.startswith(f"{PurePath(name).name}: ") else f"{name}: {said}"


def _submission_error(
    answer: CommandResult, remedy: str, *, transient: bool, credentials: bool = False, full: bool = False
) -> SubmissionError:
    message = _said(answer)
    return SubmissionError(
        f"{message}; {remedy}" if remedy else message,
        command=answer.argv,
        returncode=answer.returncode,
        output=answer.stdout + answer.stderr,
        transient=transient,
        credentials=credentials,
        full=full,
    )
