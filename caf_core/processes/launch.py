"""Finding the resident process of a directory, or starting one."""

# ruff: noqa: PTH101, PTH118, PTH119, PTH120
# The paths go to calls of the operating system, which take text.

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EPERM
from pathlib import Path

from attrs import frozen

from caf_core.processes import registration
from caf_core.processes.calls import ResidentError
from caf_core.processes.protocol import Channel, peer_user

_PROGRAM = str(Path(__file__).with_name("__main__.py"))
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

    Args:
        directory: Its runtime directory.
        take_over: Whether one of another host is known to be dead.
    Raises:
        ResidentError: If there is one that cannot be used.
    """
    entry = registration.read(directory)
    if entry is None:
        return None
    who = f"the resident process {entry['pid']} of {directory}"
    if not registration.is_local(entry) and not take_over:
        raise ResidentError(
            f"{who} is on host {entry['host']}; continue there, or take over if it is dead.",
            host=str(entry["host"]),
        )
    if not registration.is_alive(entry):
        registration.remove(directory, int(entry["pid"]))
        return None
    if entry.get("protocol") != registration.PROTOCOL:
        raise ResidentError(f"{who} belongs to another version of caf; let it finish, or end it.")
    try:
        return Found(connect(entry["socket"]), entry["socket"], int(entry["pid"]), started_here=False)
    except OSError as error:
        raise ResidentError(
            f"{who} lives, but its socket {entry['socket']} does not answer ({error}); end the process."
        ) from error


def launch(directory: str, slots: int, idle_timeout: float) -> Found:
    """Start a resident process, without waiting for it. Needs the directory's lock.

    The socket is made here and handed over, so that requests can be sent while the process starts.

    Raises:
        OSError: If it cannot be started.
    """
    folder = tempfile.mkdtemp(prefix="caf-")  # nobody else may enter it
    door = os.path.join(folder, "door")
    log = os.open(os.path.join(directory, "resident.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
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
