"""The client's side of a resident process."""

import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Self

from caf_core.processes import registration, resident
from caf_core.processes.calls import CallEvent, CallKind, CallRequest, ResidentError
from caf_core.processes.protocol import Channel, dumps

_KINDS = {kind.value: kind for kind in CallKind}


class ResidentClient:
    """A conversation with a resident process; ``start`` or ``attach`` make one. Its methods may be called from any thread.

    Args:
        channel: Connection to the resident process.
        door: Path of its socket.
        pid: Its process id.
        child: Whether it is a child of this process, and has to be collected when it ends.
    """

    def __init__(self, channel: Channel, door: str, pid: int, *, child: bool) -> None:
        self.pid = pid
        self._door = door
        self._child = child
        self._channel = channel
        self._asking = threading.Lock()
        self._events: Channel | None = None
        self._listener: threading.Thread | None = None
        self._closing = False

    @classmethod
    def start(
        cls, runtime_dir: Path, *, slots: int, idle_timeout: float = 60.0, take_over: bool = False
    ) -> Self:
        """Start the resident process of a directory, or attach to the one that lives.

        A new one is not waited for: requests wait in its socket until it reads them.

        Args:
            runtime_dir: Where it is registered; made if needed.
            slots: How many calls it executes at the same time.
            idle_timeout: How long it stays when it has nothing to do and no client [s].
            take_over: Start one even if another host's is registered here, because that one is known to be dead.
        Raises:
            ResidentError: If it cannot be started, or one of another host is registered.
        """
        if not sys.platform.startswith("linux"):
            raise ResidentError(
                f"caf executes tasks on this machine only under Linux, and this is {sys.platform}."
            )
        runtime_dir.mkdir(parents=True, exist_ok=True)
        directory = str(runtime_dir.resolve())
        with registration.lock(directory):
            found = cls._attach(directory, take_over=take_over)
            if found is None:
                return cls._spawn(directory, slots, idle_timeout)
        found._ask({"op": "renew"})
        found.set_slots(slots)
        return found

    @classmethod
    def attach(cls, runtime_dir: Path) -> Self | None:
        """Attach to the resident process of a directory; ``None`` if none lives.

        Raises:
            ResidentError: If one of another host is registered.
        """
        directory = str(runtime_dir.resolve())
        if registration.read(directory) is None:
            return None
        with registration.lock(directory):
            return cls._attach(directory, take_over=False)

    @classmethod
    def _attach(cls, directory: str, *, take_over: bool) -> Self | None:
        entry = registration.read(directory)
        if entry is None:
            return None
        if not registration.is_local(entry) and not take_over:
            raise ResidentError(
                f"the resident process of {directory} is on host {entry['host']} (pid {entry['pid']}); continue "
                "there, or take over if it is dead.",
                host=str(entry["host"]),
            )
        if registration.is_alive(entry):
            if entry.get("protocol") != registration.PROTOCOL:
                raise ResidentError(
                    f"the resident process {entry['pid']} of {directory} belongs to another version of caf; "
                    "let it finish, or end it."
                )
            with contextlib.suppress(OSError):
                return cls(_connect(entry["socket"]), entry["socket"], int(entry["pid"]), child=False)
            raise ResidentError(
                f"the resident process {entry['pid']} of {directory} lives, but its socket {entry['socket']} "
                "does not answer; end the process."
            )
        registration.remove(directory, int(entry["pid"]))
        return None

    @classmethod
    def _spawn(cls, directory: str, slots: int, idle_timeout: float) -> Self:
        folder = tempfile.mkdtemp(prefix="caf-")  # nobody else may enter it
        door = os.path.join(folder, "door")
        log = os.open(os.path.join(directory, "resident.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
                listener.bind(door)
                os.chmod(door, 0o600)
                listener.listen(64)
                # Without -I and -E: what PYTHONPATH says holds for the tasks' Python too.
                argv = [
                    sys.executable,
                    "-S",
                    "-P",
                    resident.__file__,
                    directory,
                    str(slots),
                    str(idle_timeout),
                ]
                actions = [
                    (os.POSIX_SPAWN_DUP2, listener.fileno(), 0),
                    (os.POSIX_SPAWN_DUP2, log, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                ]
                pid = os.posix_spawn(
                    sys.executable,
                    argv,
                    os.environ,
                    file_actions=actions,
                    setsid=True,  # a Ctrl-C at the terminal is for the client alone
                    setsigmask=(),
                    setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGXFSZ),
                )
                registration.write(directory, pid, door)
                return cls(_connect(door), door, pid, child=True)
        except OSError as error:
            raise ResidentError(f"the resident process of {directory} cannot be started: {error}.") from error
        finally:
            os.close(log)

    def listen(
        self, callback: Callable[[list[CallEvent]], None], lost: Callable[[], None] = lambda: None
    ) -> None:
        """Hear of every change from now on; what happened before is in ``states``.

        Args:
            callback: Called with batches, in one daemon thread of its own. Of several changes of a call within one
                batch only the last is told.
            lost: Called in that thread if the resident process dies.
        """
        self._events = _connect(self._door)
        self._request(self._events, {"op": "listen"})
        self._listener = threading.Thread(
            target=self._hear, args=(self._events, callback, lost), name="caf-resident-events", daemon=True
        )
        self._listener.start()

    def submit(self, calls: Sequence[CallRequest]) -> None:
        """Hand calls over; they are the resident's when this returns."""
        batches = []
        for (group, function, preload, path), members in groupby(
            calls, lambda call: (call.group, call.function, call.preload, call.path)
        ):
            batches.append(
                {
                    "group": group,
                    "function": function,
                    "preload": preload,
                    "path": path,
                    "calls": [(call.key, dumps(dict(call.arguments)).decode()) for call in members],
                }
            )
        self._ask({"op": "submit", "batches": batches})

    def cancel(self, keys: Sequence[str]) -> None:
        """End calls; those that have ended or are unknown are no error."""
        self._ask({"op": "cancel", "keys": list(keys), "group": None})

    def cancel_group(self, group: str) -> None:
        """End all calls of a group."""
        self._ask({"op": "cancel", "keys": [], "group": group})

    def states(self, group: str | None = None) -> Mapping[str, CallEvent]:
        """The state of every call of a group, or of all, that the resident knows; in the order they came."""
        rows = self._ask({"op": "states", "group": group})["states"]
        return {row[0]: _event(row) for row in rows}

    def forget(self, group: str) -> None:
        """Have the resident forget what has ended of a group."""
        self._ask({"op": "forget", "group": group})

    def set_slots(self, slots: int) -> None:
        """Change how many calls are executed at the same time; those that execute go on."""
        self._ask({"op": "slots", "slots": slots})

    def shutdown(self, *, kill: bool) -> None:
        """Have the resident process end, and wait for that.

        Args:
            kill: Whether to cancel what is queued and executing; else it is finished first.
        """
        with contextlib.suppress(ResidentError):
            self._ask({"op": "shutdown", "kill": kill})
            with self._asking, contextlib.suppress(OSError):
                while self._channel.receive() is not None:
                    pass
        self.close()
        if self._child:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
                self._child = False

    def close(self) -> None:
        """Go away; the resident process finishes what it was given."""
        self._closing = True
        if self._events is not None:
            with contextlib.suppress(OSError):
                self._events.connection.shutdown(socket.SHUT_RDWR)
        if self._listener is not None and self._listener is not threading.current_thread():
            self._listener.join()
        if self._events is not None:
            self._events.close()
        self._channel.close()
        self._collect()

    def _collect(self) -> None:
        if self._child:
            with contextlib.suppress(ChildProcessError):
                self._child = os.waitpid(self.pid, os.WNOHANG)[0] == 0

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        with self._asking:
            return self._request(self._channel, message)

    def _request(self, channel: Channel, message: dict[str, Any]) -> dict[str, Any]:
        try:
            channel.send(dumps(message))
            body = channel.receive()
        except OSError as error:
            raise ResidentError(f"the resident process {self.pid} cannot be reached: {error}.") from error
        if body is None:
            self._collect()
            raise ResidentError(
                f"the resident process {self.pid} has ended; see resident.log, and start it again."
            )
        answer: dict[str, Any] = json.loads(body)
        if "error" in answer:
            raise ResidentError(f"the resident process {self.pid} refused a request: {answer['error']}.")
        return answer

    def _hear(
        self, events: Channel, callback: Callable[[list[CallEvent]], None], lost: Callable[[], None]
    ) -> None:
        with contextlib.suppress(OSError):
            while (body := events.receive()) is not None:
                callback([_event(row) for row in json.loads(body)])
        if not self._closing:
            self._collect()
            lost()


def _event(row: list[Any]) -> CallEvent:
    key, kind, pid, status, value, error = row
    return CallEvent(key, _KINDS[kind], pid, status, value, error)


def _connect(door: str) -> Channel:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(door)
    except OSError:
        connection.close()
        raise
    return Channel(connection)
