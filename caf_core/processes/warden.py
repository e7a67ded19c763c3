"""Executing one command or Python function, and answering for everything that descends from it.

The process that calls these functions must be given over to the task: it becomes a *subreaper* (descendants whose parents die become its
children), it collects every child, and it kills what is left when the task is over. Only the standard library is used, so
that this works on a batch node too.

Signals are waited for and never interrupt: SIGTERM and SIGINT end the task (*cancelled*), SIGHUP too (*orphaned*: whoever
watched over this process is gone).
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from caf_core.processes import tree

GRACE = 5.0
"""How long a task that is asked to end may take before it is killed [s]."""

WATCHED = frozenset({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_REASONS = {signal.SIGTERM: "cancelled", signal.SIGINT: "cancelled", signal.SIGHUP: "orphaned"}
_RESET = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)
SET_CHILD_SUBREAPER = 36
_SET_PARENT_DEATH_SIGNAL = 1


class Ended:
    """How a task ended.

    Attributes:
        exit_code: Its exit code; ``None`` if a signal ended it.
        signal: The signal that ended it, or ``None``.
        peak_memory_mb: Largest resident memory of any one of its processes [MB].
        cpu_seconds: Processor time of all its processes [s].
        seconds: Time from start to end [s].
        leftovers: How many processes were killed after its own process had ended.
        ended_by: ``cancelled``, ``walltime`` or ``orphaned`` if it was ended from here; else empty.
        message: Why it could not be started, if so.
    """

    __slots__ = (
        "cpu_seconds",
        "ended_by",
        "exit_code",
        "leftovers",
        "message",
        "peak_memory_mb",
        "seconds",
        "signal",
    )

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self.signal: int | None = None
        self.peak_memory_mb = 0.0
        self.cpu_seconds = 0.0
        self.seconds = 0.0
        self.leftovers = 0
        self.ended_by = ""
        self.message = ""


def prctl(option: int, value: int) -> None:
    """Call the kernel's ``prctl``, for which Python has no function.

    Raises:
        OSError: If the kernel refuses, or is not Linux.
    """
    if not sys.platform.startswith("linux"):
        raise OSError("caf executes tasks on Linux only; this is " + sys.platform)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), f"prctl({option})")


_prepared = 0


def become_warden() -> None:
    """Make this process a subreaper that waits for signals; calling it again does nothing."""
    global _prepared  # noqa: PLW0603 - the kernel's state of this very process
    if _prepared != os.getpid():
        prctl(SET_CHILD_SUBREAPER, 1)
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        _prepared = os.getpid()


def follow_parent() -> None:
    """Have the kernel send SIGHUP to this process when its parent dies."""
    prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGHUP)


def drain_signals() -> None:
    """Forget requests to end that arrived before now."""
    while signal.sigtimedwait(WATCHED, 0) is not None:
        pass


def find_executable(name: str, env: Mapping[str, str], cwd: str) -> str:
    """The path of a command, searched as a shell would in the task's own PATH and directory.

    Raises:
        FileNotFoundError: If there is none.
    """
    if "/" in name:
        candidates = [os.path.join(cwd, name)]
    else:
        candidates = [os.path.join(cwd, folder, name) for folder in env.get("PATH", os.defpath).split(":")]
    for path in candidates:
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    for path in candidates:
        if os.path.exists(path):
            raise PermissionError(f"cannot be executed: {path}")
    where = "" if "/" in name else f" in PATH={env.get('PATH', os.defpath)}"
    raise FileNotFoundError(f"command not found: {name}{where}")


def execute_command(
    argv: Sequence[str],
    *,
    cwd: str,
    env: Mapping[str, str],
    stdout: int,
    stderr: int,
    walltime: float | None = None,
    grace: float = GRACE,
    on_start: Callable[[int], None] | None = None,
) -> Ended:
    """Execute a command in a session of its own and wait until it and all its descendants are gone.

    Args:
        argv: The command; found in the PATH of ``env``. If it cannot be started, that is written to
            ``stderr`` and the exit code is 127 (not found) or 126 (found, but not executable), as in shells.
        cwd: Its working directory.
        env: Its whole environment.
        stdout: File descriptor for its output.
        stderr: File descriptor for its error output.
        walltime: Time limit [s].
        grace: How long it may take to end when asked to [s].
        on_start: Called with its process id.
    Returns:
        How it ended.
    """
    become_warden()
    begin = time.monotonic()
    os.chdir(cwd)
    try:
        pid = _spawn(find_executable(argv[0], env, cwd), argv, env, stdout, stderr)
    except OSError as error:
        ended = Ended()
        ended.message = str(error)
        os.write(stderr, f"caf: {error}\n".encode(errors="backslashreplace"))
        ended.exit_code = 126 if isinstance(error, PermissionError) else 127
        return ended
    finally:
        os.chdir("/")
    if on_start:
        on_start(pid)
    return _watch(pid, begin, walltime, grace)


def _spawn(path: str, argv: Sequence[str], env: Mapping[str, str], stdout: int, stderr: int) -> int:
    # posix_spawn shares this process's memory until the exec, so it costs the same from a large process.
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, stdout, 1),
        (os.POSIX_SPAWN_DUP2, stderr, 2),
    ]
    try:
        return os.posix_spawn(
            path, argv, env, file_actions=actions, setsid=True, setsigmask=(), setsigdef=_RESET
        )
    except OSError as error:
        if error.errno != 8:  # ENOEXEC: a script without an interpreter line, which shells give to sh
            raise
        return _spawn("/bin/sh", ["sh", path, *argv[1:]], env, stdout, stderr)


def execute_python(
    function: Callable[[], None],
    *,
    cwd: str,
    env: Mapping[str, str],
    stdout: int,
    stderr: int,
    walltime: float | None = None,
    grace: float = GRACE,
    on_start: Callable[[int], None] | None = None,
) -> Ended:
    """Call a function in a forked child, in a session of its own; the rest is as in ``execute_command``.

    An exception gives a traceback on ``stderr`` and exit code 1; ``sys.exit`` does what it does in a program.
    """
    become_warden()
    begin = time.monotonic()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = _child(function, cwd, env, stdout, stderr)
        finally:  # whatever happens, the child must not return into its parent's code
            os._exit(code)
    if on_start:
        on_start(pid)
    return _watch(pid, begin, walltime, grace)


def _child(function: Callable[[], None], cwd: str, env: Mapping[str, str], stdout: int, stderr: int) -> int:
    for number in _RESET:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.setsid()
    null = os.open("/dev/null", os.O_RDONLY)
    for source, target in ((null, 0), (stdout, 1), (stderr, 2)):
        os.dup2(source, target)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr] # real files
    _reseed()
    code = _call(function)
    return max(code, _call(_finish))


def _reseed() -> None:
    # Forked siblings would all draw the same numbers from numpy's global generator (Python's own reseeds itself).
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()


def _call(function: Callable[[], None]) -> int:
    try:
        function()
    except SystemExit as leave:
        if leave.code is None or isinstance(leave.code, int):
            return (leave.code or 0) & 0xFF
        print(leave.code, file=sys.stderr)  # noqa: T201 - this is what the interpreter does
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _finish() -> None:
    # What an interpreter does when it ends, without the slow freeing of every object.
    threading = sys.modules.get("threading")
    if threading is not None:
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()


def _watch(pid: int, begin: float, walltime: float | None, grace: float) -> Ended:
    ended = Ended()
    deadline = None if walltime is None else begin + walltime
    while True:
        if deadline is None:
            number = signal.sigwaitinfo(WATCHED).si_signo
        else:
            info = signal.sigtimedwait(WATCHED, max(0.0, deadline - time.monotonic()))
            number = info.si_signo if info else 0
        if number == signal.SIGCHLD:
            if _reap(pid, ended):
                break
            if ended.exit_code is not None or ended.signal is not None:
                if not ended.ended_by:
                    ended.leftovers += kill_descendants(ended)
                    break
        elif number == 0 and ended.ended_by:
            ended.leftovers += kill_descendants(ended, pid)
            break
        elif not ended.ended_by:
            ended.ended_by = _REASONS.get(signal.Signals(number), "") if number else "walltime"
            tree.send(tree.descendants(os.getpid()), signal.SIGTERM)
            deadline = time.monotonic() + grace
    ended.seconds = time.monotonic() - begin
    return ended


def _reap(pid: int, ended: Ended) -> bool:
    """Collect the children that have ended; whether none is left."""
    while True:
        try:
            child, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if child == 0:
            return False
        ended.peak_memory_mb = max(ended.peak_memory_mb, usage.ru_maxrss / 1024)
        ended.cpu_seconds += usage.ru_utime + usage.ru_stime
        if child == pid:
            if os.WIFSIGNALED(status):
                ended.signal = os.WTERMSIG(status)
            else:
                ended.exit_code = os.WEXITSTATUS(status)


def kill_descendants(ended: Ended, pid: int = 0) -> int:
    """Kill all that descends from this process until the kernel says that no child is left.

    Args:
        ended: Where their use of memory and time is added.
        pid: The task's own process, if it is among them.
    Returns:
        How many different processes were killed besides ``pid``.
    """
    killed: set[int] = set()
    while not _reap(pid, ended):
        alive = [process for process in tree.descendants(os.getpid()) if tree.start_time(process)]
        killed.update(alive)
        tree.send(alive, signal.SIGKILL)
        # A killed process wakes us; the limit is for one whose parent alone could know.
        signal.sigtimedwait({signal.SIGCHLD}, tree.POLL_SECONDS)
    return len(killed - {pid})
