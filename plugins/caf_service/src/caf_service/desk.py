"""What the service and its agent have to say to each other."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen

from caf_core.clock import steady
from caf_service import hub as topics
from caf_service.access import Accounts
from caf_service.conductor import Conductor
from caf_service.engine import overdue
from caf_service.errors import NotFoundError
from caf_service.events import Broken, Died, Resubmitted
from caf_service.hub import Hub
from caf_service.snapshot import Snapshot, State
from caf_service.store.records import Facts
from caf_service.store.store import Store
from caf_service.store.thread import StoreThread
from caf_service.texts import plain


@frozen
class Seen:
    """The last sign of life of a worker.

    Args:
        time: When it was [s since the epoch].
        state: What the worker said it does.
        serial: The step that it works on.
    """

    time: float
    state: str = ""
    serial: int = 0


@frozen
class Crew:
    """The workers of a calibration, as their agent needs to know them.

    Args:
        calibration: Its number.
        name: What its owner calls it.
        owner: The owner's name.
        plan: The plan's name.
        version: The plan's version.
        state: Where the calibration is.
        message: Why it ended.
        workers: How many workers there are to be.
        needed: How many must report before a step ends.
        serial: The current step.
        backend: The backend that the user wants; nothing for the agent's default.
        backend_args: Its arguments.
        job: What the agent noted; nothing at first.
        dead: Dead workers that were not submitted again: worker -> since when, by the service's steady clock
            [s].
        resubmit: Those that are to be submitted again now; nobody while it is too early.
        reported: Who has reported in the current step.
        seen: worker -> its last sign of life, since the service began.
        since: From when silence counts: the service's or the calibration's beginning.
        failures: How many workers have died so far.
    """

    calibration: int
    name: str
    owner: str
    plan: str
    version: str
    state: State
    message: str
    workers: int
    needed: int
    serial: int
    backend: str
    backend_args: Mapping[str, Any]
    job: str
    dead: Mapping[int, float]
    resubmit: tuple[int, ...]
    reported: tuple[int, ...]
    seen: Mapping[int, Seen]
    since: float
    failures: int


class AgentDesk(Protocol):
    """Where an agent hears what is to be done, and says what was."""

    def crews(self) -> Sequence[Crew]:
        """All calibrations that go on, and those that have ended and were not dismissed."""

    def wait(self, seconds: float) -> bool:
        """Wait until something has changed that an agent cares for; whether it has."""

    def tokens(self, calibration: int, workers: Sequence[int], *, revoke: bool = True) -> Mapping[int, str]:
        """Make tokens for workers; the earlier ones of these workers end, if that is wanted."""

    def note(self, calibration: int, job: str) -> None:
        """Have something written down that ``Crew.job`` says from then on."""

    def died(self, calibration: int, workers: Mapping[int, str], *, excused: Collection[int] = ()) -> None:
        """Workers have ended before their time: worker -> reason; some may be excused, see
        ``events.Died``.
        """

    def resubmitted(self, calibration: int, workers: Sequence[int]) -> None:
        """Workers were submitted again."""

    def broken(self, calibration: int, message: str) -> None:
        """Workers cannot be submitted at all; the calibration fails."""

    def dismissed(self, calibration: int) -> None:
        """The workers of an ended calibration are gone; it is not listed any more."""


class Desk:
    """The desk in the service's own process; ``wait`` and all others block, so call them from a thread."""

    def __init__(
        self,
        thread: StoreThread,
        conductor: Conductor,
        accounts: Accounts,
        hub: Hub,
        max_wait: float,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = steady,
    ) -> None:
        self._thread = thread
        self._conductor = conductor
        self._accounts = accounts
        self._max_wait = max_wait
        self._clock = clock
        self._steady = steady
        self._began = clock()
        self._seen: dict[int, dict[int, Seen]] = {}
        self._news = threading.Event()
        self.count = 0
        hub.listen(topics.AGENT, self._told)

    def crews(self) -> Sequence[Crew]:
        """See ``AgentDesk``."""
        return self._thread.do(lambda store: [self._crew(store, one) for one in store.undismissed()])

    def wait(self, seconds: float) -> bool:
        """See ``AgentDesk``; there is one agent, which is told everything once."""
        told = self._news.wait(seconds)
        self._news.clear()
        return told

    def tokens(self, calibration: int, workers: Sequence[int], *, revoke: bool = True) -> Mapping[int, str]:
        """See ``AgentDesk``."""

        def made(store: Store) -> Mapping[int, str]:
            self._snapshot(store, calibration, workers)
            return self._accounts.worker_tokens(store, calibration, workers, revoke=revoke)

        return self._thread.do(made)

    def note(self, calibration: int, job: str) -> None:
        """See ``AgentDesk``."""

        def noted(store: Store) -> None:
            self._snapshot(store, calibration)
            store.change(calibration, job=job)
            self._conductor.renew(store, calibration)

        self._thread.do(noted)

    def died(self, calibration: int, workers: Mapping[int, str], *, excused: Collection[int] = ()) -> None:
        """See ``AgentDesk``."""

        def done(store: Store) -> None:
            before = self._snapshot(store, calibration, workers)
            last = plain(list(workers.values())[-1]) if workers else ""
            self._conductor.handle(store, calibration, Died(tuple(workers), self._steady(), last, excused))
            for worker, reason in workers.items():
                if worker not in before.dead and not before.state.ended:
                    store.log(calibration, "died", f"worker {worker}: {plain(reason)}", self._clock())

        self._thread.do(done)

    def resubmitted(self, calibration: int, workers: Sequence[int]) -> None:
        """See ``AgentDesk``."""

        def done(store: Store) -> None:
            self._snapshot(store, calibration, workers)
            self._conductor.handle(store, calibration, Resubmitted(tuple(workers)))
            text = f"{len(workers)} workers were submitted again: {', '.join(map(str, workers[:50]))}"
            store.log(calibration, "resubmitted", text, self._clock())

        self._thread.do(done)
        seen = self._seen.get(calibration, {})
        for worker in workers:
            # Its silence counts from now on.
            seen[worker] = Seen(self._clock(), "submitted")

    def broken(self, calibration: int, message: str) -> None:
        """See ``AgentDesk``."""

        def done(store: Store) -> None:
            self._snapshot(store, calibration)
            self._conductor.handle(store, calibration, Broken(plain(message)))

        self._thread.do(done)

    def dismissed(self, calibration: int) -> None:
        """See ``AgentDesk``."""

        def done(store: Store) -> None:
            if self._snapshot(store, calibration).state.ended:
                store.change(calibration, dismissed=True)
                self._accounts.end_workers(store, calibration)

        self._thread.do(done)
        self._seen.pop(calibration, None)

    # For the service

    def _told(self) -> None:
        self.count += 1
        self._news.set()

    def see(self, calibration: int, worker: int, state: str | None = None, serial: int | None = None) -> None:
        """A worker gave a sign of life; from any thread."""
        crew = self._seen.setdefault(calibration, {})
        last = crew.get(worker, Seen(0.0))
        crew[worker] = Seen(
            self._clock(), last.state if state is None else state, last.serial if serial is None else serial
        )

    def seen(self, calibration: int) -> Mapping[int, Seen]:
        """The last signs of life."""
        return dict(self._seen.get(calibration, {}))

    def _snapshot(self, store: Store, calibration: int, workers: Iterable[int] = ()) -> Snapshot:
        if store.facts(calibration) is None:
            raise NotFoundError(f"there is no calibration {calibration}.")
        snapshot = self._conductor.snapshot(store, calibration)
        if wrong := [one for one in workers if not 0 <= one < snapshot.workers]:
            raise NotFoundError(f"calibration {calibration} has no worker {wrong[0]}.")
        return snapshot

    def _crew(self, store: Store, facts: Facts) -> Crew:
        now = self._conductor.snapshot(store, facts.id)
        again = overdue(now, self._steady(), self._max_wait)
        return Crew(
            calibration=facts.id,
            name=facts.setup.name,
            owner=facts.owner_name,
            plan=facts.setup.plan,
            version=facts.setup.version,
            state=now.state,
            message=now.message,
            workers=now.workers,
            needed=now.needed,
            serial=now.serial,
            backend=facts.setup.backend,
            backend_args=facts.setup.backend_args,
            job=facts.job,
            dead=now.dead,
            resubmit=again[0].workers if again else (),
            reported=tuple(sorted(now.reported)),
            seen=self.seen(facts.id),
            since=max(self._began, facts.created),
            failures=now.failures,
        )
