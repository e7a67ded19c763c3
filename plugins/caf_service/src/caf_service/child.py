"""One step of a worker in a process of its own, which may do and die as it likes.

The worker has one thread, so that a fork is safe; while the child works it waits for the signal of its end
and now and then gives a sign of life.
"""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from caf_core.processes import tree

_CHILD = {signal.SIGCHLD}
_DEFAULT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
FAILED = 1
_LONGEST = 1e9
"""What is longer than this is no limit [s]."""
CANNOT = 127


class Child:
    """A forked process that executes a function, and perhaps a command after it.

    Args:
        function: What is executed there; what it returns, if anything, is executed in its place afterwards.
        directory: Where it works.
        log: What it prints goes here.
        limit: After so long it ends, even if nobody is there any more to end it [s].
    """

    def __init__(
        self,
        function: Callable[[], Sequence[str] | None],
        directory: Path,
        log: Path,
        limit: float = float("inf"),
    ) -> None:
        # Blocked, so that an end between a look and the waiting is not missed.
        signal.pthread_sigmask(signal.SIG_BLOCK, _CHILD)
        sys.stdout.flush()
        sys.stderr.flush()
        self._status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _become(function, directory, log, limit)

    def wait(self, seconds: float) -> bool:
        """Wait until it ends, at most for so long; tells whether it has ended."""
        until = time.monotonic() + seconds
        while self.poll() is None:
            left = until - time.monotonic()
            if left <= 0:
                return False
            signal.sigtimedwait(_CHILD, left)
        return True

    def poll(self) -> int | None:
        """Its exit code if it has ended, negative for a signal."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def end(self, grace: float = 2.0) -> None:
        """End it with everything that it started."""
        if self._status is None:
            tree.end_tree(self.pid, grace=grace, reap=self.poll)
            self.wait(grace)


def _become(function: Callable[[], Sequence[str] | None], directory: Path, log: Path, limit: float) -> None:
    """In the child: never returns."""
    code = CANNOT
    try:
        os.setpgid(0, 0)  # not a session: what a batch system executes must stay within its sight
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        for one in _DEFAULT:
            signal.signal(one, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _CHILD)
        if limit < _LONGEST:
            # Who waits for this process may be stopped; the kernel is not, and a command keeps the alarm.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, max(limit, 0.001))
        os.chdir(directory)
        code = FAILED
        argv = function()
        sys.stdout.flush()
        sys.stderr.flush()
        code = 0
        if argv:
            code = CANNOT
            os.execvp(argv[0], [str(word) for word in argv])  # noqa: S606 - an argument list, and no shell
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else FAILED
    except BaseException:  # whatever it is, it ends this process and no other
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)
