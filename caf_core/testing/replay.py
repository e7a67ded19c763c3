"""Carrying a dialogue out on recorded answers, for tests of what a backend asks and how it reads."""

# ruff: noqa: S101 - a tool of tests is made of assertions

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, field

from caf_core.jobs.batch.dialogue import Command, Dialogue, converse
from caf_core.processes.command import CommandResult

T = TypeVar("T")


@define
class Replay:
    """Answers the commands of dialogues by recordings, in order.

    A recording is a mapping, or a JSON file with one: ``command`` (as it would be typed), ``rc`` (``null``
    for a command that did not answer in time), ``stdout``, ``stderr``; each may be left out.

        sent = Replay(folder / "qsub_array.json")
        assert sent(backend.submitting(submission)) == ("2[0].vm", "2[1].vm")
        assert sent.commands[0].submits

    Args:
        recordings: The recordings, or paths of files.
        arguments: Whether the arguments must be the recorded ones too, and not only the program.
    Attributes:
        commands: The commands that were asked for.
    """

    recordings: tuple[Mapping[str, Any] | Path | str, ...]
    arguments: bool
    commands: list[Command] = field(factory=list)

    def __init__(self, *recordings: Mapping[str, Any] | Path | str, arguments: bool = False) -> None:
        self.__attrs_init__(recordings, arguments)  # type: ignore[attr-defined]  # made by attrs

    def __call__(self, dialogue: Dialogue[T]) -> T:
        """Carry a dialogue out.

        Returns:
            What it returns; what it raises is raised.
        """
        value = converse(dialogue, self._answer)
        self.finish()
        return value

    def finish(self) -> None:
        """Check that every recording was asked for."""
        left = self.recordings[len(self.commands) :]
        assert not left, f"{len(left)} recorded answers were not asked for: {left}"

    def _answer(self, command: Command) -> CommandResult:
        number = len(self.commands)
        self.commands.append(command)
        assert number < len(self.recordings), f"there is no recorded answer to {shlex.join(command.argv)}"
        recording = _load(self.recordings[number])
        if "command" in recording:
            self._compare(command.argv, shlex.split(_without_redirection(recording["command"])))
        return CommandResult(
            command.argv,
            recording.get("rc", 0),
            recording.get("stdout", ""),
            recording.get("stderr", ""),
            0.0,
        )

    def _compare(self, asked: Sequence[str], recorded: Sequence[str]) -> None:
        program = Path(asked[0]).name
        assert program == Path(recorded[0]).name, f"{program} was asked for, {recorded[0]} is recorded"
        if self.arguments:
            assert list(asked[1:]) == list(recorded[1:]), "the recorded command had other arguments"


def _load(recording: Mapping[str, Any] | Path | str) -> Mapping[str, Any]:
    if isinstance(recording, Mapping):
        return recording
    content: Mapping[str, Any] = json.loads(Path(recording).read_text(encoding="utf-8"))
    return content


def _without_redirection(command: str) -> str:
    """A recorded command line without ``< FILE``: a dialogue gives the text itself."""
    return command.partition(" <")[0]
