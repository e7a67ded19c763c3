"""Executing a command and waiting for what it prints: schedulers' commands and the like."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from attrs import frozen

from caf_core.processes import tree

OUTPUT_LIMIT = 1 << 24
"""How many bytes of each stream are kept; the rest is read and dropped."""


@frozen
class CommandResult:
    """What came of a command.

    Args:
        argv: The command.
        returncode: Its exit code, negative for a signal; ``None`` if it was ended because it took too long.
        stdout: What it printed, undecodable bytes replaced.
        stderr: What it printed as errors, likewise.
        seconds: How long it took [s].
    """

    argv: tuple[str, ...]
    returncode: int | None
    stdout: str
    stderr: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.returncode == 0


class _Drain(threading.Thread):
    """Reads a stream to its end and keeps the first part."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._kept = bytearray()
        self.start()

    def run(self) -> None:
        """See ``threading.Thread``."""
        with self._stream:
            while data := os.read(self._stream.fileno(), 1 << 16):
                self._kept += data[: OUTPUT_LIMIT - len(self._kept)]

    def text(self, patience: float) -> str:
        """What was kept; a stream that somebody else holds open is not waited for much longer."""
        self.join(patience)
        return bytes(self._kept).decode("utf-8", "replace")


def execute(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: str | Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    grace: float = 2.0,
    inherit: Sequence[int] = (),
    started: Callable[["subprocess.Popen[bytes]"], object] = lambda _: None,
) -> CommandResult:
    """Execute a command, without a shell, in a process group of its own.

    Args:
        argv: The command and its arguments.
        timeout: After this time the command and all that descends from it is ended [s].
        stdin: Text for its standard input, or a file that it reads; nothing by default.
        cwd: Its working directory; ours by default.
        env: Its whole environment; ours by default.
        grace: How long it may take to end before it is killed [s].
        inherit: Descriptors that it keeps open, such as that of a lock.
        started: Told the process when it has begun, for who wants to end it earlier from another thread.
    Returns:
        Its exit code and what it printed.
    Raises:
        OSError: If it cannot be started.
    """
    begin = time.monotonic()
    source = subprocess.PIPE if isinstance(stdin, str) else os.open(stdin or os.devnull, os.O_RDONLY)
    try:
        process = subprocess.Popen(
            argv,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=env,
            process_group=0,
            pass_fds=inherit,
        )
    finally:
        if source != subprocess.PIPE:
            os.close(source)
    assert process.stdout is not None and process.stderr is not None  # noqa: S101 - both are pipes
    drains = [_Drain(process.stdout), _Drain(process.stderr)]
    text = stdin if isinstance(stdin, str) else ""
    feeder = threading.Thread(target=_feed, args=(process.stdin, text), daemon=True)
    feeder.start()
    returncode: int | None
    try:
        started(process)
        returncode = process.wait(timeout)
    except subprocess.TimeoutExpired:
        returncode = None
    finally:
        if process.returncode is None:  # it took too long, or we are interrupted
            tree.end_tree(process.pid, grace=grace, reap=process.poll)
            process.wait()
    feeder.join(grace)  # nobody reads any more
    stdout, stderr = (drain.text(grace) for drain in drains)
    return CommandResult(tuple(argv), returncode, stdout, stderr, time.monotonic() - begin)


def _feed(stream: IO[bytes] | None, text: str) -> None:
    if stream is None:
        return
    try:
        with stream:
            stream.write(text.encode("utf-8", "surrogateescape"))
    except BrokenPipeError:
        return  # it did not want to read it
