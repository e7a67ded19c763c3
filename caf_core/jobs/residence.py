"""The resident process of one output directory, and who waits for which of its calls."""

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import TypeVar

from attrs import define

from caf_core.errors import CheckpointError
from caf_core.jobs.backend import Notify, Report, SchedulerState
from caf_core.jobs.ledger import FailureKind
from caf_core.processes.calls import CallEvent, CallKind, CallRequest, ResidentError
from caf_core.processes.client import ResidentClient

log = logging.getLogger("caf.jobs")

_CHANCES = 3
_Client = TypeVar("_Client", bound=ResidentClient | None)

IDLE_TIMEOUT = 60.0
"""How long a resident process without a controller and without work stays [s]."""


@define(eq=False)
class _Watch:
    """A submission whose calls have not all ended: who is told, and one byte a call."""

    notify: Notify
    open: bytearray
    left: int


class Residence:
    """One resident process, started when it is first needed, shared by all backends that are given this
    object.

    Args:
        runtime_dir: Where the process is registered, so that a later controller finds it; a temporary folder
            if ``None``.
        slots: How many calls are executed at the same time.
        idle_timeout: How long the process stays when it has neither work nor a controller [s].
        take_over: Whether one that is registered on another host is declared dead: what it executed is lost.
    """

    def __init__(
        self,
        runtime_dir: Path | None = None,
        *,
        slots: int = 1,
        idle_timeout: float = IDLE_TIMEOUT,
        take_over: bool = False,
    ) -> None:
        self._directory = runtime_dir
        self._temporary = runtime_dir is None
        self._slots = slots
        self._idle_timeout = idle_timeout
        self._take_over = take_over
        self._client: ResidentClient | None = None
        self._watched: dict[str, _Watch] = {}
        self._guests: set[int] = set()
        self._lock = RLock()

    @property
    def slots(self) -> int:
        """How many calls are executed at the same time; may be changed at any time."""
        return self._slots

    @slots.setter
    def slots(self, slots: int) -> None:
        with self._lock:
            self._slots = slots
            if self._client is not None:
                self._client.set_slots(slots)

    def start(self) -> ResidentClient:
        """The resident process, started if it does not live.

        Raises:
            ResidentError: If it cannot be started, or another host has it.
        """
        with self._lock:
            if self._client is None:
                directory = self._directory or Path(tempfile.mkdtemp(prefix="caf-resident-"))
                self._directory = directory
                self._client = self._listened(
                    lambda: ResidentClient.start(
                        directory,
                        slots=self._slots,
                        idle_timeout=self._idle_timeout,
                        take_over=self._take_over,
                    )
                )
            return self._client

    def attach(self) -> ResidentClient | None:
        """The resident process if it lives, ``None`` if not.

        Raises:
            ResidentError: If another host has it.
        """
        with self._lock:
            directory = self._directory
            if self._client is None and directory is not None and directory.exists():
                client = self._listened(lambda: ResidentClient.attach(directory, take_over=self._take_over))
                self._client = client
                if client is not None:
                    with suppress(ResidentError):  # whoever listens is told that it has died
                        client.set_slots(self._slots)
            return self._client

    def _listened(self, find: Callable[[], _Client]) -> _Client:
        """A client that hears what happens; if its process ends just now, another one is looked for."""
        for _ in range(_CHANCES):
            client = find()
            if client is None:
                return client
            try:
                client.listen(self._hear, self._lost)
            except ResidentError as error:
                client.close()
                problem = error
            else:
                return client
        raise problem

    def claim(self) -> None:
        """Find out whether the process may be used, before anything else happens.

        Raises:
            CheckpointError: If another host has it.
        """
        try:
            self.attach()
        except ResidentError as error:
            raise CheckpointError(str(error)) from error

    def submit(self, token: str, calls: Iterable[CallRequest], size: int, notify: Notify) -> None:
        """Hand the calls of a submission over.

        Raises:
            ResidentError: If the resident process ended meanwhile.
        """
        client = self.start()
        with self._lock:
            self._watched[token] = _Watch(notify, bytearray(b"\1") * size, size)
        client.submit(list(calls))

    def find(self, token: str, notify: Notify) -> dict[int, CallEvent]:
        """The calls of a submission that the resident process knows, by position; it tells of their endings
        from now on.

        Raises:
            ResidentError: If it does not answer.
        """
        client = self.attach()
        if client is None:
            return {}
        with self._lock:
            # Watched before they are asked for, so that no ending slips through between.
            states = client.states(token)
            known = {split_key(key)[1]: event for key, event in states.items()}
            flags = bytearray(max(known, default=-1) + 1)
            for position, event in known.items():
                flags[position] = not event.kind.final
            if any(flags):
                self._watched[token] = _Watch(notify, flags, sum(flags))
        return known

    def cancel(self, keys: Iterable[str]) -> None:
        """End calls, if the resident process lives."""
        client = self.attach()
        if client is not None:
            client.cancel(list(keys))

    def enter(self, guest: object) -> None:
        """A backend begins to use this residence."""
        with self._lock:
            self._guests.add(id(guest))

    def leave(self, guest: object) -> None:
        """A backend ends to use it. After the last one an idle process is ended, one with work is left to
        it.
        """
        with self._lock:
            self._guests.discard(id(guest))
            if self._guests or self._client is None:
                return
            client, self._client = self._client, None
            watched = bool(self._watched)
        # Not under the lock: the listening thread may be waiting for it, and is waited for here.
        # What nobody watches may be of an earlier controller.
        if not watched and _is_idle(client):
            client.shutdown(kill=False)
            if self._temporary and self._directory is not None:
                shutil.rmtree(self._directory, ignore_errors=True)
                self._directory = None
        else:
            client.close()

    # In the listening thread

    def _hear(self, events: list[CallEvent]) -> None:
        news: dict[str, dict[int, Report]] = {}
        for event in events:
            token, position = split_key(event.key)
            news.setdefault(token, {})[position] = report_of(event)
        for token, reports in news.items():
            with self._lock:
                watch = self._watched.get(token)
                if watch is None:
                    continue
                self._tick_off(token, watch, reports)
            watch.notify(token, reports)

    def _tick_off(self, token: str, watch: _Watch, reports: Mapping[int, Report]) -> None:
        for position, report in reports.items():
            if report.state is SchedulerState.ENDED and position < len(watch.open) and watch.open[position]:
                watch.open[position] = 0
                watch.left -= 1
        if watch.left <= 0:
            del self._watched[token]
            self._forget(token)

    def _forget(self, token: str) -> None:
        """What has ended is in records; the resident process need not remember it."""
        if self._client is not None:
            try:
                self._client.forget(token)
            except ResidentError:
                # It ended just now, and forgot everything.
                return

    def _lost(self) -> None:
        """The resident process died: so did what it executed, unless there are records."""
        with self._lock:
            client, self._client = self._client, None
            watched, self._watched = self._watched, {}
        if client is not None:
            client.close()
        lost = Report(
            SchedulerState.ENDED,
            failure=FailureKind.NODE_LOST,
            reason="the resident process on this machine died",
        )
        for token, watch in watched.items():
            # This waits for the supervisors that it leaves. One that lives has shown us out because it had
            # more to tell than we read; it is listened to again.
            try:
                known = self.find(token, watch.notify)
            except (ResidentError, OSError) as error:
                known = {}
                log.warning("%s", error)
            reports = {
                position: report_of(known[position]) if position in known else lost
                for position, is_open in enumerate(watch.open)
                if is_open
            }
            watch.notify(token, reports)


def _is_idle(client: ResidentClient) -> bool:
    try:
        return all(event.kind.final for event in client.states().values())
    except ResidentError:
        return True  # it has ended


def key_of(token: str, position: int) -> str:
    """The name of a task's call, which serves as its scheduler's id."""
    return f"{token}.{position}"


def split_key(key: str) -> tuple[str, int]:
    """Token and position."""
    token, _, position = key.rpartition(".")
    return token, int(position)


def report_of(event: CallEvent) -> Report:
    """A call's state in the words of backends."""
    if event.kind is CallKind.EXECUTING:
        return Report(SchedulerState.RUNNING)
    if event.kind is CallKind.QUEUED:
        return Report(SchedulerState.QUEUED)
    if isinstance(event.value, Mapping):
        if "skipped" in event.value:
            return Report(SchedulerState.ENDED, reason=str(event.value["skipped"]))
        return Report(SchedulerState.ENDED, record=event.value)
    if event.kind is CallKind.CANCELLED:
        # Whoever cancelled it knows; for anybody else it was ended with the resident process.
        return Report(
            SchedulerState.ENDED, failure=FailureKind.NODE_LOST, reason="ended before it was executed"
        )
    if event.kind is CallKind.OVERDUE:
        return Report(
            SchedulerState.ENDED,
            failure=FailureKind.WALLTIME,
            reason="ended after its time limit, which the process that watched over it did not keep",
        )
    reason = event.error or "the process that executed the task died"
    if event.status is not None:
        reason += f" (wait status {event.status})"
    return Report(SchedulerState.ENDED, failure=FailureKind.NODE_LOST, reason=reason)
