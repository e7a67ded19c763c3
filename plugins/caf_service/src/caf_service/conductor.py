"""The shell around the engine: an event is applied and everything is written in one transaction; then effects
are carried out. What it does in the database happens in the database's thread.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Any

from attrs import evolve, frozen

from caf_core.json_text import json_text
from caf_service import hub as topics
from caf_service import logbook
from caf_service.engine import advance
from caf_service.events import BeginStep, Effect, End, Event, MakeUpdate, Resubmit
from caf_service.hub import Hub
from caf_service.plan import Update
from caf_service.snapshot import Snapshot, State
from caf_service.store.records import Facts, Setup
from caf_service.store.store import Store
from caf_service.store.thread import StoreThread


@frozen
class Live:
    """A calibration in memory, as it is in the database.

    Args:
        snapshot: Where it is.
        parameters: The parameters of the current step.
        setup: What never changes.
        work: What a worker is answered that asks for work, ready to be sent.
        version: Changes whenever anything changes.
    """

    snapshot: Snapshot
    parameters: Mapping[str, Any]
    setup: Setup
    work: bytes
    version: str


class Conductor:
    """Lets calibrations go through their plans.

    Args:
        hub: Who waits for news.
        make_update: Called after the commit with a calibration whose update is to be made.
        deliver: Called after the commit with a calibration that has ended.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        hub: Hub,
        make_update: Callable[[int], None],
        deliver: Callable[[int], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._hub = hub
        self._make_update = make_update
        self._deliver = deliver
        self._clock = clock
        self._thread: StoreThread
        self._live: dict[int, Live] = {}
        self._drafts: dict[int, Snapshot] = {}
        self._changed: set[int] = set()
        # Nobody may take the counts of an earlier service for ours.
        self._versions = map("{:x}-{:x}".format, _same(time.time_ns()), count(1))

    def use(self, thread: StoreThread) -> None:
        """Begin, with the thread of the database."""
        self._thread = thread

    def undo(self) -> None:
        """Forget what was not written down in the end."""
        self._drafts.clear()

    def live(self, calibration: int) -> Live | None:
        """A calibration, if it is in memory; from any thread."""
        return self._live.get(calibration)

    def forget(self, calibration: int) -> None:
        """Drop a calibration that was cleaned."""
        self._live.pop(calibration, None)
        self._tell(calibration, step=True, agent=True)

    # In the thread of the database

    def snapshot(self, store: Store, calibration: int) -> Snapshot:
        """Where a calibration is, this transaction's changes included."""
        if calibration in self._drafts:
            return self._drafts[calibration]
        live = self._live.get(calibration)
        if live is None or calibration in self._changed:
            # Drafts were forgotten, but a part of them may have been written in this transaction.
            return store.snapshot(calibration)
        return live.snapshot

    def load(self, store: Store, calibration: int) -> Live | None:
        """A calibration from the database into memory."""
        known = self._live.get(calibration)
        if known or store.facts(calibration) is None:
            return known
        return self._remember(store, calibration, store.snapshot(calibration))

    def begin(
        self, store: Store, calibration: int, snapshot: Snapshot, parameters: Mapping[str, Any]
    ) -> None:
        """Write the first step of a new calibration down."""
        effects: list[Effect] = [BeginStep(snapshot.position, parameters)]
        self._write(store, calibration, snapshot, effects[0])
        self._draft(calibration, snapshot)
        self._thread.after_commit(partial(logbook.tell_effect, calibration, snapshot, effects[0]))
        self._publish_later(store, calibration, snapshot, effects)

    def handle(self, store: Store, calibration: int, event: Event) -> Snapshot:
        """Apply an event; write down what follows; carry it out after the commit."""
        before = self.snapshot(store, calibration)
        after, effects = advance(before, event)
        if after is before:
            return before
        store.save(calibration, before, after)
        for effect in effects:
            self._write(store, calibration, after, effect)
        self._draft(calibration, after)
        if logbook.is_told(event, effects):
            self._thread.after_commit(partial(logbook.tell, calibration, before, event, after, effects))
        self._publish_later(store, calibration, after, effects)
        return after

    def renew(self, store: Store, calibration: int) -> None:
        """Let those who watch a calibration look again: something beside its position has changed."""
        self._publish_later(store, calibration, self.snapshot(store, calibration), [])

    def _draft(self, calibration: int, snapshot: Snapshot) -> None:
        self._drafts[calibration] = snapshot
        self._changed.add(calibration)

    def end_step(self, store: Store, calibration: int, serial: int, update: Update) -> None:
        """Write down what an update answered, if it is waited for."""
        now = self.snapshot(store, calibration)
        if now.state is State.UPDATING and now.serial == serial:
            store.end_step(calibration, serial, update, self._clock())

    def _write(self, store: Store, calibration: int, after: Snapshot, effect: Effect) -> None:
        now = self._clock()
        match effect:
            case MakeUpdate(serial, used, missing):
                store.mark_used(calibration, serial, used, missing, now)
            case BeginStep(position, parameters):
                store.begin_step(calibration, after.at, position, parameters, now)
            case Resubmit(workers):
                store.log(
                    calibration,
                    "resubmit",
                    f"workers {logbook.names_of(workers)} are to be submitted again",
                    now,
                )
            case End(state, message, _):
                store.change(calibration, ended=now)
                store.log(calibration, str(state), message, now)

    def _publish_later(self, store: Store, calibration: int, after: Snapshot, effects: list[Effect]) -> None:
        known = self._live.get(calibration)
        begun = any(isinstance(one, BeginStep | End) for one in effects)
        live = (
            self._rendered(store, calibration, after)
            if known is None or begun
            else evolve(known, snapshot=after, version=next(self._versions))
        )
        self._thread.after_commit(partial(self._publish, calibration, live, effects))

    def _publish(self, calibration: int, live: Live, effects: list[Effect]) -> None:
        self._live[calibration] = live
        if self._drafts.get(calibration) is live.snapshot:
            del self._drafts[calibration]
        if calibration not in self._drafts:
            self._changed.discard(calibration)
        step = any(isinstance(one, BeginStep | End) for one in effects)
        agent = step or bool(live.snapshot.dead)
        self._tell(calibration, step=step, agent=agent)
        if any(isinstance(one, MakeUpdate) for one in effects):
            self._make_update(calibration)
        if any(isinstance(one, End) for one in effects):
            self._deliver(calibration)

    def _tell(self, calibration: int, *, step: bool, agent: bool) -> None:
        told: list[Any] = [(topics.VIEW, calibration)]
        told += [(topics.STEP, calibration)] if step else []
        told += [topics.AGENT] if agent else []
        self._hub.tell(*told)

    def _remember(self, store: Store, calibration: int, snapshot: Snapshot) -> Live:
        live = self._rendered(store, calibration, snapshot)
        self._thread.after_commit(partial(self._keep, calibration, live))
        return live

    def _keep(self, calibration: int, live: Live) -> None:
        self._live.setdefault(calibration, live)

    def _rendered(self, store: Store, calibration: int, snapshot: Snapshot) -> Live:
        step = store.step(calibration, snapshot.serial)
        facts = store.facts(calibration)
        if step is None or facts is None:
            raise LookupError(f"calibration {calibration} has no step {snapshot.serial}")
        answer = work_answer(facts, snapshot, step.parameters)
        return Live(snapshot, step.parameters, facts.setup, json_text(answer).encode(), next(self._versions))


def work_answer(facts: Facts, snapshot: Snapshot, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What a worker is answered that asks for work."""
    if snapshot.state.ended:
        return {"kind": "end", "reason": str(snapshot.state), "message": snapshot.message}
    position = snapshot.position
    stage, phases = facts.setup.stages[position.stage]
    return {
        "kind": "work",
        "serial": position.serial,
        "step": position.step,
        "stage": stage,
        "phase": phases[position.phase],
        "stage_index": position.stage,
        "phase_index": position.phase,
        "sample": facts.setup.phase_samples[position.stage][position.phase],
        "parameters": parameters,
    }


def _same(value: int) -> Any:
    while True:
        yield value
