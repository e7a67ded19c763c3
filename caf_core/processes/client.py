"""The client's side of a resident process."""

import contextlib
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Self

from caf_core.processes import launch, registration
from caf_core.processes.calls import CallEvent, CallKind, CallRequest, ResidentError
from caf_core.processes.protocol import Channel, dumps

_KINDS = {kind.value: kind for kind in CallKind}


class ResidentClient:
    """A conversation with a resident process, made by ``start`` or ``attach``; any thread may use it.

    Args:
        found: The process that was found or started.
    """

    def __init__(self, found: launch.Found) -> None:
        self.pid = found.pid
        self._door = found.door
        self._child = found.started_here
        self._channel = found.channel
        self._asking = threading.Lock()
        self._events: Channel | None = None
        self._listener: threading.Thread | None = None
        self._closing = False
        self._ending = False
        self._unanswered = 0

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
            take_over: Start one even if another host's is registered, because that one is known to be dead.
        Raises:
            ResidentError: If it cannot be started, or one of another host is registered.
        """
        if not sys.platform.startswith("linux"):
            raise ResidentError(f"caf executes tasks under Linux only, and this is {sys.platform}.")
        try:
            runtime_dir.mkdir(parents=True, exist_ok=True)
            client = cls._find(
                runtime_dir, take_over, lambda directory: launch.launch(directory, slots, idle_timeout)
            )
        except OSError as error:
            raise ResidentError(
                f"the resident process of {runtime_dir} cannot be started: {error}."
            ) from error
        assert client is not None  # noqa: S101 - there is one now
        if not client._child:
            client.set_slots(slots)
        return client

    @classmethod
    def attach(cls, runtime_dir: Path, *, take_over: bool = False) -> Self | None:
        """Attach to the resident process of a directory; ``None`` if none lives.

        Args:
            runtime_dir: Where it is registered.
            take_over: Whether one of another host is known to be dead; what is left of it is cleared away.
        Raises:
            ResidentError: If one of another host is registered, or what a dead one left cannot be ended.
        """
        try:
            return cls._find(runtime_dir, take_over, lambda _: None)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ResidentError(
                f"it cannot be told whether a resident process of {runtime_dir} lives: {error}."
            ) from error

    @classmethod
    def _find(
        cls, runtime_dir: Path, take_over: bool, begin: Callable[[str], launch.Found | None]
    ) -> Self | None:
        """Attach to the one that lives, or to what ``begin`` makes in its place."""
        directory = str(runtime_dir.resolve(strict=True))
        for last in (False, False, True):
            with registration.lock(directory):
                found = launch.find(directory, take_over=take_over)
                if found is None:
                    found = begin(directory)
            if found is None or found.started_here:
                break
            client = cls(found)
            try:
                client._ask({"op": "renew"})  # calls from now on find modules as they are on disk now
            except ResidentError:
                client.close()  # it ended just now
                if last:
                    raise
            else:
                return client
        return cls(found) if found else None

    def listen(
        self, callback: Callable[[list[CallEvent]], None], lost: Callable[[], None] = lambda: None
    ) -> None:
        """Hear of every change from now on; what happened before is in ``states``.

        Args:
            callback: Called with batches, in one daemon thread of its own. Of several changes of a call
                within one batch only the last is told.
            lost: Called in that thread if the resident process dies.
        Raises:
            ResidentError: If it is dead already.
        """
        try:
            self._events = launch.connect(self._door)
            self._events.send(dumps({"op": "listen"}))  # a new resident is not waited for
        except OSError as error:
            raise ResidentError(f"the resident process {self.pid} has ended ({error}).") from error
        self._listener = threading.Thread(
            target=self._hear, args=(self._events, callback, lost), name="caf-resident-events", daemon=True
        )
        self._listener.start()

    def prepare(self, function: str, *, preload: Sequence[str] = (), path: Sequence[str] = ()) -> None:
        """Have the resident import what such calls will need, while the client does something else."""
        with self._asking, contextlib.suppress(OSError):  # the next request will tell that it is dead
            message = {"op": "prepare", "function": function, "preload": list(preload), "path": list(path)}
            self._channel.send(dumps(message))
            self._unanswered += 1

    def submit(self, calls: Sequence[CallRequest]) -> None:
        """Hand calls over; they are the resident's when this returns."""
        batches = []
        for (group, function, preload, path, limit), members in groupby(
            calls, lambda call: (call.group, call.function, call.preload, call.path, call.limit)
        ):
            batches.append(
                {
                    "group": group,
                    "function": function,
                    "preload": preload,
                    "path": path,
                    "limit": limit,
                    "calls": [(call.key, dumps(dict(call.arguments)).decode()) for call in members],
                }
            )
        self._ask({"op": "submit", "batches": batches})

    def cancel(self, keys: Sequence[str]) -> None:
        """End calls; those that have ended or are unknown are no error."""
        self._end({"op": "cancel", "keys": list(keys), "group": None})

    def cancel_group(self, group: str) -> None:
        """End all calls of a group."""
        self._end({"op": "cancel", "keys": [], "group": group})

    def _end(self, message: dict[str, Any]) -> None:
        try:
            self._ask(message)
        except ResidentError:
            if not self._ending:  # else it has ended all calls, and itself
                raise

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
        self._closing, self._ending = True, kill  # its end is no loss
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
            return self._request(message)

    def _request(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            self._channel.send(dumps(message))
            while self._unanswered and self._channel.receive() is not None:
                self._unanswered -= 1
            body = self._channel.receive()
        except OSError as error:
            raise ResidentError(
                f"the resident process {self.pid} cannot be reached ({error}); see resident.log."
            ) from error
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
            events.receive()  # the answer to "listen"
            while (body := events.receive()) is not None:
                callback([_event(row) for row in json.loads(body)])
        if not self._closing:
            self._collect()
            lost()


def _event(row: list[Any]) -> CallEvent:
    key, kind, pid, status, value, error = row
    return CallEvent(key, _KINDS[kind], pid, status, value, error)
