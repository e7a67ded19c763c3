"""Finding the resident process of a directory, or starting one."""

# ruff: noqa: PTH101, PTH118, PTH119, PTH120
# The paths go to calls of the operating system, which take text.

import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from errno import EPERM
from pathlib import Path
from typing import Any

from attrs import frozen

from caf_core.processes import kernel, registration, survivors, tree
from caf_core.processes.calls import ResidentError
from caf_core.processes.protocol import Channel, peer_user

_PROGRAM = str(Path(__file__).with_name("__main__.py"))
_DYING = 2.0
"""How long a process that is being killed may be seen after its socket was closed [s]."""
_RESET = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


@frozen
class Found:
    """A resident process that lives.

    Args:
        channel: A connection to it.
        door: Path of its socket.
        pid: Its process id.
        started_here: Whether it is a child of this process.
    """

    channel: Channel
    door: str
    pid: int
    started_here: bool


def connect(door: str) -> Channel:
    """A connection to the resident process behind a socket.

    Raises:
        OSError: If nobody listens there, or another user does.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address(door) as address:
            connection.connect(address)
        if (user := peer_user(connection)) != os.getuid():
            raise PermissionError(EPERM, f"it belongs to another user ({user})", door)
    except OSError:
        connection.close()
        raise
    return Channel(connection)


@contextmanager
def _address(door: str) -> Iterator[str]:
    """A short name of a socket: its path may be longer than the 107 bytes that the kernel takes."""
    folder = os.open(os.path.dirname(door), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{os.path.basename(door)}"
    finally:
        os.close(folder)


def find(directory: str, *, take_over: bool = False) -> Found | None:
    """Find the resident process of a directory; clear away what a dead one left. Needs the directory's lock.

    If it is dead, the supervisors that it leaves are waited for: then all records are there.

    Args:
        directory: Its runtime directory.
        take_over: Whether one of another host is known to be dead.
    Raises:
        ResidentError: If there is one that cannot be used.
        OSError: If what a dead one left cannot be waited for.
    """
    entry = registration.read(directory)
    if entry is not None:
        if not kernel.is_here(entry):
            if not take_over:
                raise ResidentError(
                    f"{_name(entry, directory)} is registered on host {entry['host']}; continue there, or, "
                    "if you know that it is dead, start with --take-over: what it executed counts as lost, "
                    "and is executed again.",
                    host=str(entry["host"]),
                )
            survivors.disown(directory)
        elif (found := _living(entry, directory)) is not None:
            return found
        registration.remove(directory, int(entry["pid"]))
    survivors.outlive(directory)
    return None


def _name(entry: Mapping[str, Any], directory: str) -> str:
    return f"the resident process {entry['pid']} of {directory}"


def _living(entry: dict[str, Any], directory: str) -> Found | None:
    """A connection to a registered process of this machine; ``None`` if it is dead."""
    end = time.monotonic() + _DYING
    while (alive := registration.is_alive(entry)) is not False:
        if alive and entry.get("protocol") != registration.PROTOCOL:
            raise ResidentError(
                f"{_name(entry, directory)} belongs to another version of caf; let it finish, or end it."
            )
        try:
            return Found(connect(entry["socket"]), entry["socket"], int(entry["pid"]), started_here=False)
        except OSError as error:
            if alive is None and not survivors.any_left(directory):
                return None
            if time.monotonic() > end:
                where = "" if alive else f", in another container (host {entry['host']})"
                raise ResidentError(
                    f"{_name(entry, directory)} lives{where}, but its socket {entry['socket']} does not "
                    f"answer ({error}); end the process there."
                ) from error
        time.sleep(tree.POLL_SECONDS)
    return None


def launch(directory: str, slots: int, idle_timeout: float) -> Found:
    """Start a resident process, without waiting for it. Needs the directory's lock.

    The socket is made here and handed over, so that requests can be sent while the process starts.

    Raises:
        OSError: If it cannot be started.
    """
    folder = tempfile.mkdtemp(prefix="caf-")  # nobody else may enter it
    door = os.path.join(folder, "door")
    log = survivors.take(directory)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            with _address(door) as address:
                listener.bind(address)
            os.chmod(door, 0o600)
            listener.listen(64)
            # Without -I and -E: what PYTHONPATH says holds for the tasks' Python too.
            options = [directory, str(slots), str(idle_timeout)]
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-S", "-P", _PROGRAM, *options],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, listener.fileno(), 0),
                    (os.POSIX_SPAWN_DUP2, log, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                ],
                # A Ctrl-C at the terminal is for the client alone. Not a session: a batch system that
                # executes the client must go on to see what the client started.
                setpgroup=0,
                setsigmask=(),
                setsigdef=_RESET,
            )
            registration.write(directory, pid, door)
            return Found(connect(door), door, pid, started_here=True)
    finally:
        os.close(log)
