"""Where a resident process is registered, so that clients find it, and one that is dead is recognised.

``resident.json`` in the runtime directory holds the socket's path, and the machine, process id and start
time of the process. The socket lies in a private directory of its own, because a socket's path may not be
longer than some hundred bytes. That directory is under the directory for temporary files and not under
``$XDG_RUNTIME_DIR``, which is emptied when its user logs out, and the resident stays.
"""

# ruff: noqa: PTH105, PTH106, PTH108, PTH118, PTH120, PTH123
# pathlib takes longer to import than all else here together, and os serves as well.

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator

from caf_core.processes import kernel, tree
from caf_core.processes.lean import dump_json

TYPE_CHECKING = False  # the real one would import typing, which is slow
if TYPE_CHECKING:
    from typing import Any

PROTOCOL = 1
_FILE = "resident.json"
_LOCK = "resident.lock"


@contextlib.contextmanager
def lock(runtime_dir: str) -> Iterator[None]:
    """Keep everybody else from starting, finding or removing a resident process in ``runtime_dir``."""
    fd = os.open(os.path.join(runtime_dir, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def write(runtime_dir: str, pid: int, door: str) -> None:
    """Register a process."""
    entry = {
        "protocol": PROTOCOL,
        **kernel.here(),
        "pid": pid,
        "started": tree.start_time(pid),
        "socket": door,
    }
    path = os.path.join(runtime_dir, _FILE)
    with open(f"{path}.new", "w", encoding="ascii") as stream:
        stream.write(dump_json(entry))
    os.replace(f"{path}.new", path)


def read(runtime_dir: str) -> dict[str, Any] | None:
    """What is registered; ``None`` if nothing is, or if it cannot be read."""
    try:
        with open(os.path.join(runtime_dir, _FILE), encoding="ascii") as stream:
            entry = json.load(stream)
    except (FileNotFoundError, ValueError):
        return None
    return entry if isinstance(entry, dict) and {"host", "pid", "started", "socket"} <= entry.keys() else None


def is_alive(entry: dict[str, Any]) -> bool | None:
    """Whether the registered process, of this machine, lives; ``None`` if that cannot be seen from here."""
    return kernel.is_alive(entry, int(entry["pid"]), entry["started"])


def remove(runtime_dir: str, pid: int) -> None:
    """Remove the registration of process ``pid`` and its socket, unless another process is registered."""
    entry = read(runtime_dir)
    if entry is None or entry["pid"] != pid:
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(runtime_dir, _FILE))
    if kernel.is_here(entry):
        with contextlib.suppress(OSError):  # what lies there besides is not ours to remove
            os.unlink(entry["socket"])
            os.rmdir(os.path.dirname(entry["socket"]))
