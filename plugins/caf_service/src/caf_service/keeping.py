"""What a service does without being asked: it takes up what was left, and cleans what nobody wants."""

import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial

from caf_core.errors import CafError
from caf_service.access import Accounts
from caf_service.conductor import Conductor
from caf_service.results import Areas
from caf_service.snapshot import State
from caf_service.store.store import Store
from caf_service.store.thread import StoreThread
from caf_service.updates import Updates

log = logging.getLogger("caf.service")

HOUSEKEEPING = 60.0
"""How often it is looked for calibrations whose time is over [s]."""


class Keeper:
    """Keeps house for a service.

    Args:
        thread: The thread of the database.
        conductor: The calibrations.
        updates: Who makes updates and delivers results.
        areas: The folders of the service.
        accounts: Its tokens.
        retention: How long an ended calibration keeps its files [s].
        clock: Seconds since the epoch, by which ends are written down.
        steady: Seconds that go on evenly.
        interval: How often it looks [s].
    """

    def __init__(
        self,
        thread: StoreThread,
        conductor: Conductor,
        updates: Updates,
        areas: Areas,
        accounts: Accounts,
        retention: float,
        clock: Callable[[], float],
        steady: Callable[[], float],
        interval: float = HOUSEKEEPING,
    ) -> None:
        self._thread = thread
        self._conductor = conductor
        self._updates = updates
        self._areas = areas
        self._accounts = accounts
        self._retention = retention
        self._clock = clock
        self._steady = steady
        self._looked = float("-inf")
        self._kept_until: dict[int, float] = {}
        self._interval = interval
        self._closed = threading.Event()

    def start(self) -> None:
        """Keep house from now on."""
        threading.Thread(target=self._keep_house, name="caf-housekeeping", daemon=True).start()

    def close(self) -> None:
        """Do nothing any more."""
        self._closed.set()

    def _keep_house(self) -> None:
        while not self._closed.wait(self._interval):
            try:
                self.expire()
            except CafError as error:  # the database may be away; there is another time
                if not self._closed.is_set():
                    log.warning("old calibrations are not cleaned, for %s", error)

    def go_on(self) -> None:
        """Take up what an earlier service left."""

        def read(store: Store) -> tuple[list[int], list[int], list[int]]:
            everything = store.all_facts()
            alive = [one.id for one in everything if one.ended is None]
            for one in everything:
                if not one.dismissed or one.id in alive:
                    self._conductor.load(store, one.id)
            told = {"copied", "not copied"}
            undelivered = [
                one.id
                for one in everything
                if one.output
                and one.ended is not None
                and not any(event.kind in told for event in store.events(one.id, 1000))
            ]
            return [one.id for one in everything], alive, undelivered

        known, alive, undelivered = self._thread.do(read)
        self._expired(self._thread.do(lambda store: store.ended()))
        for calibration in set(self._areas.known()) - set(known):
            self._areas.remove(calibration)
        for calibration in alive:
            self._areas.clear_scratch(calibration)
            live = self._conductor.live(calibration)
            if live is not None:
                log.info("calibration %d goes on in step %d", calibration, live.snapshot.serial)
            if live is not None and live.snapshot.state is State.UPDATING:
                self._updates.make(calibration)
        for calibration in undelivered:
            self._updates.deliver(calibration)

    def expire(self) -> list[int]:
        """Clean the calibrations whose retention time is over; returns them."""

        def done(store: Store) -> list[int]:
            expired = self._expired(store.ended())
            for calibration in expired:
                self.clean(store, calibration)
            return expired

        return self._thread.do(done)

    def _expired(self, ended: Mapping[int, float]) -> list[int]:
        """Those whose retention time is over by both clocks: no step of the wall clock removes a result.

        Args:
            ended: Calibration -> when it ended, by the wall clock [s since the epoch].
        """
        now, moment = self._steady(), self._clock()
        for calibration in ended.keys() - self._kept_until.keys():
            # It has ended since the last look, whatever the wall clock says; before the first, that is all.
            ago = min(max(0.0, moment - ended[calibration]), now - self._looked)
            self._kept_until[calibration] = now - ago + self._retention
        self._kept_until = {one: until for one, until in self._kept_until.items() if one in ended}
        self._looked = now
        return [
            one
            for one, then in ended.items()
            if now >= self._kept_until[one] and moment - then >= self._retention
        ]

    def clean(self, store: Store, calibration: int) -> None:
        """Forget a calibration with all its files; in the thread of the database."""
        store.clean(calibration)
        self._accounts.end_workers(store, calibration)
        self._thread.after_commit(partial(self._cleaned, calibration))

    def _cleaned(self, calibration: int) -> None:
        log.info("calibration %d is cleaned", calibration)
        self._conductor.forget(calibration)
        # Gigabytes may take a while; what is left when the service ends, the next one removes.
        threading.Thread(target=self._areas.remove, args=(calibration,), daemon=True).start()
