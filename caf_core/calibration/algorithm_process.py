"""The process that executes an algorithm for a plan: forked, watched, and forked again when it has died."""

import contextlib
import os
import resource
import select
import shutil
import signal
import sys
import time
import traceback
from math import ceil
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

from attrs import field, frozen

from caf_core.calibration.carry_out import Question
from caf_core.calibration.loaded_algorithm import LoadedAlgorithm
from caf_core.processes import tree
from caf_core.processes.lean import call_libc
from caf_core.processes.subreaper import SET_CHILD_SUBREAPER, die_with_parent, prctl
from caf_core.text import with_last_line

LOG_FILE = "stderr"
WORK = "work"
_LOOK = 0.5
"""How often the process is looked at while it says nothing [s]: a child of it may hold its connection."""


@frozen
class Answer:
    """What the process said: the answer as JSON, and the bytes of its payloads."""

    text: str
    payloads: tuple[bytes, ...]


@frozen
class Death:
    """That the process died.

    Args:
        how: In words.
        killed: Whether somebody else killed it, such as the kernel for lack of memory.
    """

    how: str
    killed: bool = False


def log_size() -> int:
    """How much has been written to the log [bytes]."""
    return os.fstat(2).st_size


class AlgorithmProcess:
    """Asks a process that was forked from this one, in which the algorithm is loaded already.

    Args:
        loaded: The algorithm.
        folder: Where executions leave files, in a folder each.
        walltime: How long one may take [s].
        isolate: Whether each has a process of its own.
    """

    def __init__(
        self, loaded: LoadedAlgorithm, folder: Path, walltime: float | None = None, *, isolate: bool = False
    ) -> None:
        self._loaded, self._folder = loaded, folder
        self._walltime, self._isolate = walltime, isolate
        self._pid = 0
        self._key = ""
        self._connection: Connection | None = None
        # What the algorithm's process leaves executing becomes ours, and can be told from what was there.
        prctl(SET_CHILD_SUBREAPER, 1)
        self._others = frozenset(tree.children(os.getpid()))

    def __enter__(self) -> Self:
        """This object."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        if self._connection is not None:
            self._kill()

    def put(self, key: str, question: Question) -> None:
        """Ask a question; ``wait`` for its answer before the next one.

        Args:
            key: Its key.
            question: The question.
        """
        if self._connection is None:
            self._fork()
        assert self._connection is not None  # noqa: S101 - made by ``_fork``
        self._key = key
        with contextlib.suppress(OSError):  # one that died meanwhile is noticed by ``wait``
            self._connection.send((key, question))

    def wait(self) -> Answer | Death:
        """The answer to the question that was put last."""
        connection = self._connection
        assert connection is not None  # noqa: S101 - there since ``put``
        try:
            if not self._answers(connection):
                self._kill()
                Scratch(self._folder).take_over(self._key)
                return Death(f"ended after the time limit of {self._walltime:g} s for one execution")
            answer = Answer(*connection.recv())
        except (EOFError, OSError):
            death = _death(self._reap())
            Scratch(self._folder).take_over(self._key)
            return death
        if self._isolate:
            self._reap()
        return answer

    def _answers(self, connection: Connection) -> bool:
        """Wait until there is something to read; ``False`` if the time is over."""
        limit = None if self._walltime is None else time.monotonic() + self._walltime
        while True:
            rest = _LOOK if limit is None else min(_LOOK, max(0.0, limit - time.monotonic()))
            if self._poll(ceil(1000 * rest)):
                return True
            if os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                if connection.poll(0):
                    return True
                raise EOFError
            if limit is not None and time.monotonic() >= limit:
                return False

    def _fork(self) -> None:
        here, there = Pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                die_with_parent(parent)
                here.close()
                _serve(there, self._loaded, self._folder, once=self._isolate)
            except BaseException:  # such as a full disk
                traceback.print_exc()
            finally:
                os._exit(1)
        there.close()
        self._pid, self._connection = pid, here
        poll = select.poll()  # ``Connection.poll`` makes one anew each time
        poll.register(here, select.POLLIN)
        self._poll = poll.poll

    def _kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self._reap()

    def _reap(self) -> int:
        """Wait for the end of the process, end what it left executing, and return its exit code."""
        _, status = os.waitpid(self._pid, 0)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        while left := set(tree.children(os.getpid())) - self._others:
            tree.send([*left, *(pid for one in left for pid in tree.descendants(one))], signal.SIGKILL)
            for pid in left:
                os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)


def _death(code: int) -> Death:
    if code >= 0:
        return Death(f"it ended without returning, with exit code {code}")
    return Death(f"its process was killed by signal {-code} ({_name(-code)})", -code == signal.SIGKILL)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


_ENVIRON = os.environ


def _variables() -> dict[bytes, bytes]:
    # What ``os.environ`` holds inside: it decodes every word of it whenever it is copied or compared.
    variables: dict[bytes, bytes] = _ENVIRON._data  # type: ignore[attr-defined]  # of CPython and PyPy
    return variables


@frozen
class _Surroundings:
    """What an execution finds, and the next one finds again."""

    variables: dict[bytes, bytes] = field(factory=lambda: dict(_variables()))
    path: list[str] = field(factory=lambda: list(sys.path))

    def restore(self) -> None:
        """Make it as it was."""
        os.environ = _ENVIRON  # noqa: B003 - it is cleared below
        if _variables() != self.variables:
            os.environb.clear()
            os.environb.update(self.variables)
        if sys.path != self.path:
            sys.path[:] = self.path


class Scratch:
    """The working directory of executions: one for all, which is kept for those that leave files.

    Args:
        folder: Where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._work = folder, folder / WORK
        self._target: Path | None = None
        self._kept = False

    def enter(self, key: str) -> None:
        """Begin an execution."""
        self._target, self._kept = self._folder / "executions" / key.replace("/", "_"), False
        try:
            os.chdir(self._work)
        except FileNotFoundError:  # the first one, or the last one has kept it
            self._work.mkdir()
            os.chdir(self._work)

    def keep(self) -> Path:
        """The folder of this execution; from now on it has its own name."""
        assert self._target is not None  # noqa: S101 - set by ``enter``
        if not self._kept:
            self._target.parent.mkdir(exist_ok=True)
            shutil.rmtree(self._target, ignore_errors=True)  # of an execution that died
            # Whoever works in it goes on doing so.
            self._work.rename(self._target)
            self._kept = True
        return self._target

    def leave(self) -> None:
        """End an execution: what it left in its folder stays there."""
        self._keep_what_is_left()

    def take_over(self, key: str) -> None:
        """End an execution whose process has died."""
        self._target = self._folder / "executions" / key.replace("/", "_")
        try:
            self._keep_what_is_left()
        except OSError as error:
            print(f"caf: what {key} left cannot be kept: {error}", file=sys.stderr)  # noqa: T201 - the task's log
            shutil.rmtree(self._work, ignore_errors=True)

    def _keep_what_is_left(self) -> None:
        try:
            used = any(True for _ in os.scandir(self._work))
        except FileNotFoundError:
            return
        if used:
            self.keep()


def _serve(connection: Connection, loaded: LoadedAlgorithm, folder: Path, *, once: bool) -> None:
    """Answer questions until nobody asks any more; does not return."""
    surroundings, scratch = _Surroundings(), Scratch(folder)
    while True:
        try:
            key, question = connection.recv()
        except EOFError:
            os._exit(0)
        scratch.enter(key)
        begin = log_size()
        answered = loaded.answer(key, question, scratch.keep)
        answered.answer["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        scratch.leave()
        surroundings.restore()
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        call_libc("fflush", 0)  # what C and C++ have not written yet
        if answered.exited:
            answered.answer["message"] = with_last_line(answered.answer["message"], folder / LOG_FILE, begin)
        connection.send((answered.text(), answered.payloads))
        if once:
            os._exit(0)
