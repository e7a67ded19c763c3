"""Measuring whole processes: repeated, in turns, from the same environment."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).with_name("programs")
TIME_LIMIT = 900.0
"""No process of a benchmark may take longer [s]."""


class MissingTool(Exception):
    """What is to be measured is not installed here."""


def environment() -> dict[str, str]:
    """The environment of what is measured: ours, but bytecode is written, as in an ordinary installation."""
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**ours, "TMPDIR": tempfile.gettempdir()}


def seconds(argv: Sequence[object], **more: Any) -> float:
    """How long a command takes, from before its start until after its end [s].

    Raises:
        RuntimeError: If it fails; with the end of what it wrote.
    """
    begin = time.perf_counter()
    output(argv, **more)
    return time.perf_counter() - begin


def output(argv: Sequence[object], env: Mapping[str, str] | None = None, **more: Any) -> str:
    """What a command writes.

    Raises:
        RuntimeError: If it fails.
    """
    done = subprocess.run(
        [str(word) for word in argv],
        env={**environment(), **(env or {})},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        **more,
    )
    if done.returncode:
        raise RuntimeError(f"{argv}: exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def program(name: str, *arguments: object) -> dict[str, Any]:
    """Execute one of the programs; its last line is its answer.

    Raises:
        MissingTool: If it says that something is not installed.
    """
    answer = json.loads(output([sys.executable, PROGRAMS / f"{name}.py", *arguments]).splitlines()[-1])
    if "missing" in answer:
        raise MissingTool(answer["missing"])
    return dict(answer)


def in_turns(rounds: int, *contenders: Callable[[int], float]) -> list[list[float]]:
    """Measure contenders one after the other, again and again, so that a machine that drifts harms none.

    Args:
        rounds: How often.
        contenders: Each is called with the number of the round and returns what it measured.
    Returns:
        What each measured, in its order.
    """
    found: list[list[float]] = [[] for _ in contenders]
    for number in range(rounds):
        for contender, values in zip(contenders, found, strict=True):
            values.append(contender(number))
    return found
