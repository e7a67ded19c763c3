"""Executing one command or Python function, and answering for everything that descends from it.

The process that calls these functions must be given over to the task (see ``caf_core.processes.subreaper``).
Only the standard library is used, so that this works on a batch node too.
"""

# ruff: noqa: PTH110, PTH112, PTH118
# pathlib takes longer to import than all else here together, and os serves as well.

from __future__ import annotations

import atexit
import os
import sys
import time

from caf_core.processes.lean import signal
from caf_core.processes.subreaper import GRACE, Ended, become_subreaper, watch

TYPE_CHECKING = False  # the real one would import typing, which is slow
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["GRACE", "Ended", "execute_command", "execute_python"]

_RESET = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)

_found: dict[tuple[str, str], str] = {}
"""Commands found already, by name and PATH; as in a shell, a new one in an earlier folder is not noticed."""


def find_executable(name: str, env: Mapping[str, str], cwd: str) -> str:
    """The path of a command, searched as a shell would in the task's own PATH and directory.

    Raises:
        FileNotFoundError: If there is none.
    """
    search = env.get("PATH", os.defpath)
    if (name, search) in _found and os.access(_found[name, search], os.X_OK):
        return _found[name, search]
    if "/" in name:
        candidates = [os.path.join(cwd, name)]
    else:
        candidates = [os.path.join(cwd, folder, name) for folder in search.split(":")]
    for path in candidates:
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            if not path.startswith(cwd):
                _found[name, search] = path
            return path
    for path in candidates:
        if os.path.exists(path):
            raise PermissionError(f"cannot be executed: {path}")
    where = "" if "/" in name else f" in PATH={search}"
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
    """Execute a command in a process group of its own and wait until it and all its descendants are gone.

    It stays in our session, because batch systems count, limit and end what is in the session that they
    made. What reaches all of a task is descent (we are a subreaper), whatever groups or sessions it makes.

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
    become_subreaper()
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
    return watch(pid, begin, walltime, grace)


def _spawn(path: str, argv: Sequence[str], env: Mapping[str, str], stdout: int, stderr: int) -> int:
    # posix_spawn shares this process's memory until the exec, so it costs the same from a large process.
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, stdout, 1),
        (os.POSIX_SPAWN_DUP2, stderr, 2),
    ]
    try:
        return os.posix_spawn(
            path, list(argv), env, file_actions=actions, setpgroup=0, setsigmask=(), setsigdef=_RESET
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
    """Call a function in a forked child, in a group of its own; the rest is as in ``execute_command``.

    An exception gives a traceback on ``stderr`` and exit code 1; ``sys.exit`` does what it does in a program.
    """
    become_subreaper()
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
    return watch(pid, begin, walltime, grace)


def _child(function: Callable[[], None], cwd: str, env: Mapping[str, str], stdout: int, stderr: int) -> int:
    for number in _RESET:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.setpgid(0, 0)
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
    # Forked siblings would draw the same numbers from numpy's global generator; Python's own reseeds itself.
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
        # It waits for threads, and first tells those of executors that were not shut down to end.
        threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
