"""The service without its HTTP: everything that can be asked of it, in one place."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from caf_core.clock import steady
from caf_core.errors import ConfigurationError
from caf_service import hub as topics
from caf_service import logbook, reporting, telling
from caf_service.access import Accounts, Identity, Role
from caf_service.administration import initialise, open_accounts
from caf_service.conductor import Conductor, Live
from caf_service.config import ServiceConfig
from caf_service.creating import Prepared, Wish, output_folder, prepare
from caf_service.desk import Desk
from caf_service.errors import NotFoundError, NotNowError
from caf_service.events import Killed
from caf_service.filing import replace_folder
from caf_service.home import claim_database, identity_of, lock_folder
from caf_service.hub import Hub
from caf_service.keeping import Keeper
from caf_service.plans import Catalogue
from caf_service.results import Areas, Upload
from caf_service.snapshot import State
from caf_service.store.records import Facts
from caf_service.store.store import Store
from caf_service.store.thread import StoreThread
from caf_service.turns import Turns
from caf_service.updates import Updates

CREATIONS = 2
"""So many calibrations of one user may be prepared at a time: their plans are executed meanwhile."""

__all__ = ["Service", "initialise", "open_accounts"]


class Service:
    """A service on its database and data folder.

    Args:
        config: Its configuration.
        clock: Seconds since the epoch, for moments that people read.
        steady: Seconds that go on evenly, for how long something takes.
    Raises:
        ConfigurationError: If the data folder is in use, or the database cannot be opened.
    """

    def __init__(
        self,
        config: ServiceConfig,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = steady,
    ) -> None:
        self.config = config
        self._clock = clock
        self._steady = steady
        with ExitStack() as stack:
            stack.callback(os.close, lock_folder(config.data))
            self.areas = Areas(config.data)
            self.areas.prepare()
            self.catalogue = Catalogue(config.plans)
            self.hub = Hub()
            self._creations = Turns(CREATIONS)
            self._updates = Updates(config, self.areas, str(self.areas.data), clock)
            self.conductor = Conductor(self.hub, self._updates.make, self._updates.deliver, clock)
            self.thread = StoreThread(config.data, config.database, self.conductor.undo)
            stack.callback(self.thread.close)
            if config.database:
                identity = identity_of(config.data)
                self.thread.do(lambda store: claim_database(store, config.data, identity))
            self.conductor.use(self.thread)
            stack.callback(self._updates.close)
            self._updates.use(self.thread, self.conductor)
            self.accounts = Accounts(self.thread, clock)
            self.desk = Desk(
                self.thread, self.conductor, self.accounts, self.hub, config.max_wait, clock, steady
            )
            self._keeper = Keeper(
                self.thread,
                self.conductor,
                self._updates,
                self.areas,
                self.accounts,
                config.retention,
                clock,
                steady,
            )
            self._keeper.go_on()
            stack.callback(self._keeper.close)
            self._keeper.start()
            self._held = stack.pop_all()

    def close(self) -> None:
        """Let go of everything; what goes on is gone on with by the next service."""
        self._held.close()

    # Calibrations

    def create(self, who: Identity, wish: Wish) -> tuple[int, list[str], bool]:
        """Create a calibration; takes a second.

        Returns:
            Its number, warnings, and whether it is new.
        Raises:
            ConfigurationError: If it cannot be done as written.
            BusyError: If the same user has others created at this moment.
        """
        known = self.thread.do(lambda store: self._before(store, who, wish))
        if known:
            return known.id, list(known.setup.warnings), False
        with self._creations.one_of(who.user):
            prepared = prepare(wish, self.config, self.catalogue, self.areas, who.user)
        try:
            number = self.thread.do(lambda store: self._write(store, who, wish, prepared))
        finally:
            self.areas.discard(prepared.folder)
        return number, list(prepared.setup.warnings), True

    def _before(self, store: Store, who: Identity, wish: Wish) -> Facts | None:
        known = store.with_key(who.user, wish.key) if wish.key else None
        if known:
            return store.facts(known)
        going = store.all_facts(who.user, [State.RUNNING, State.UPDATING])
        if len(going) >= self.config.limits.calibrations:
            raise ConfigurationError(
                f"{len(going)} of your calibrations go on, and no more may; wait for one, or kill one."
            )
        workers, most = sum(self.live(store, one.id).snapshot.workers for one in going), self.config.limits
        if workers + wish.workers > most.user_workers:
            raise ConfigurationError(
                f"your calibrations have {workers} workers, and may have {most.user_workers} in all; ask for "
                "fewer, wait for a calibration, or kill one."
            )
        return None

    def _write(self, store: Store, who: Identity, wish: Wish, new: Prepared) -> int:
        known = self._before(store, who, wish)
        if known:
            return known.id
        now = self._clock()
        number = store.create(who.user, wish.key, new.setup, new.snapshot, new.shares, now)
        if new.output:
            store.change(number, output=new.output)
        store.log(number, "created", f"by {who.name}", now)
        self.thread.after_commit(partial(logbook.tell_creation, number, new.setup, new.snapshot, who.name))
        # Without a row of its own a folder of that number is left of a creation that was interrupted.
        replace_folder(new.folder / "inputs", self.areas.attached(number, 0).parent)
        self.conductor.begin(store, number, new.snapshot, new.parameters)
        return number

    def mine(self, store: Store, who: Identity, calibration: int) -> Facts:
        """A calibration that somebody may see.

        Raises:
            NotFoundError: If there is none, or it is somebody else's.
        """
        facts = store.facts(calibration)
        if facts is None or (who.role is not Role.ADMIN and facts.owner != who.user):
            raise NotFoundError(f"there is no calibration {calibration} of yours.")
        return facts

    def live(self, store: Store, calibration: int) -> Live:
        """A calibration in memory.

        Raises:
            NotFoundError: If there is none.
        """
        live = self.conductor.load(store, calibration)
        if live is None:
            raise NotFoundError(f"there is no calibration {calibration}.")
        return live

    def listing(self, store: Store, who: Identity, states: Iterable[State]) -> list[dict[str, Any]]:
        """The calibrations that somebody may see."""
        everything = store.all_facts(None if who.role is Role.ADMIN else who.user, states)
        lives = ((facts, self.live(store, facts.id)) for facts in everything)
        return [telling.summary(facts, live.snapshot, live.version) for facts, live in lives]

    def summary(self, store: Store, who: Identity, calibration: int) -> dict[str, Any]:
        """A calibration in a few values, this transaction's changes included."""
        facts = self.mine(store, who, calibration)
        return telling.summary(
            facts, self.conductor.snapshot(store, calibration), self.live(store, calibration).version
        )

    def details(self, store: Store, who: Identity, calibration: int) -> dict[str, Any]:
        """Everything about a calibration."""
        facts = self.mine(store, who, calibration)
        return telling.details(store, facts, self.live(store, calibration), self.desk.seen(calibration))

    def kill(self, store: Store, who: Identity, calibration: int) -> dict[str, Any]:
        """End a calibration; one that has ended stays as it is."""
        self.mine(store, who, calibration)
        self.conductor.handle(store, calibration, Killed(who.name))
        return self.summary(store, who, calibration)

    def clean(self, store: Store, who: Identity, calibration: int) -> None:
        """Forget an ended calibration with all its files.

        Raises:
            NotNowError: If it has not ended.
        """
        self.mine(store, who, calibration)
        if not self.conductor.snapshot(store, calibration).state.ended:
            raise NotNowError(f"calibration {calibration} has not ended; kill it first.")
        self._keeper.clean(store, calibration)

    def change_output(self, store: Store, who: Identity, calibration: int, path: str) -> dict[str, Any]:
        """Have the result copied to another folder."""
        facts = self.mine(store, who, calibration)
        folder = output_folder(path, self.config, self.areas, facts.owner)
        store.change(calibration, output=str(folder))
        if self.conductor.snapshot(store, calibration).state.ended:
            self.thread.after_commit(partial(self._updates.deliver, calibration))
        return self.summary(store, who, calibration)

    def worker_inputs(self, store: Store, who: Identity) -> Mapping[str, Any]:
        """What a worker needs to know once."""
        return reporting.inputs(
            store,
            who,
            self.conductor.snapshot(store, who.calibration),
            self.config.heartbeat,
            () if self.config.trusting else self.config.input_roots,
        )

    async def next_work(self, who: Identity, after: int, wait: float) -> bytes | None:
        """What a worker is to do, as soon as that is known; ``None`` if its calibration was cleaned."""
        number = who.calibration

        def news() -> bool:
            live = self.conductor.live(number)
            return live is None or reporting.work(live, who.worker, after) is not None

        await self.hub.wait((topics.STEP, number), min(wait, self.config.limits.wait), news)
        live = self.conductor.live(number)
        return None if live is None else reporting.work(live, who.worker, after) or reporting.WAIT

    def take(self, store: Store, who: Identity, serial: int, upload: Upload) -> str:
        """Take a verified result in; see ``reporting.take``."""
        return reporting.take(
            store, self.thread, self.conductor, self.areas, who, serial, upload, self._clock()
        )

    def worker_failed(
        self, store: Store, who: Identity, serial: int, message: str, *, excused: bool = False
    ) -> None:
        """A worker cannot go on."""
        reporting.fail(
            store,
            self.conductor,
            who,
            serial,
            message,
            self._clock(),
            since=self._steady(),
            excused=excused,
        )

    def expire(self) -> list[int]:
        """Clean the calibrations whose retention time is over; returns them."""
        return self._keeper.expire()
