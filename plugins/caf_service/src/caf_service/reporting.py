"""What workers ask for and bring."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from caf_service.access import Identity
from caf_service.conductor import Conductor, Live
from caf_service.engine import is_late
from caf_service.errors import NotFoundError, NotNowError
from caf_service.events import Died, Reported
from caf_service.filing import sync_folder
from caf_service.results import Areas, Upload
from caf_service.snapshot import Snapshot, State
from caf_service.store.records import Facts, Result
from caf_service.store.store import Store
from caf_service.store.thread import StoreThread

WAIT = b'{"kind":"wait"}'


def work(live: Live, worker: int, after: int) -> bytes | None:
    """What a worker that has reported step ``after`` is to do; ``None`` if it has to wait."""
    now = live.snapshot
    if now.state.ended:
        return live.work
    if now.state is not State.RUNNING:
        return None
    # After a database was restored from a backup, a worker may have done what the service does not know.
    return live.work if now.serial > after or worker not in now.reported else None


def inputs(
    store: Store, who: Identity, snapshot: Snapshot, heartbeat: float, roots: Sequence[str]
) -> Mapping[str, Any]:
    """What a worker needs to know once."""
    facts = facts_of(store, who)
    setup = facts.setup
    return {
        "calibration": facts.id,
        "worker": who.worker,
        "workers": snapshot.workers,
        "plan": setup.plan,
        "version": setup.version,
        "reference": setup.reference,
        "settings": setup.settings,
        "share": store.share(facts.id, who.worker),
        "files": [
            {"name": name, "sha256": one.sha256, "size": one.size} for name, one in setup.attached.items()
        ],
        "suffix": setup.suffix,
        "heartbeat": heartbeat,
        "roots": list(roots),
    }


def attached(store: Store, who: Identity, name: str, areas: Areas) -> Path:
    """A file that the calibration brought.

    Raises:
        NotFoundError: If there is none of that name.
    """
    one = facts_of(store, who).setup.attached.get(name)
    if one is None:
        raise NotFoundError(f"calibration {who.calibration} brought no file of that name.")
    return areas.attached(who.calibration, one.number)


def take(
    store: Store,
    thread: StoreThread,
    conductor: Conductor,
    areas: Areas,
    who: Identity,
    serial: int,
    upload: Upload,
    now: float,
) -> str:
    """Take a verified result in; all in one transaction.

    Returns:
        ``counted``, ``known`` or ``late``.
    Raises:
        NotNowError: If the step is still to come.
    """
    # A thousand workers may report at the same time: what is in memory is not asked of the database.
    live = conductor.load(store, who.calibration)
    if live is None:
        raise NotFoundError("your calibration was cleaned.")
    number = who.calibration
    snapshot = conductor.snapshot(store, number)
    if serial > snapshot.serial:
        raise NotNowError(f"step {serial} has not begun; calibration {number} is at step {snapshot.serial}.")
    late = is_late(snapshot, serial)
    if who.worker in snapshot.reported if not late else store.result(number, serial, who.worker):
        return "known"
    store.add_result(number, serial, Result(who.worker, upload.sha256, upload.size, late), now)
    if late:
        return "late"
    target = areas.result_file(number, serial, who.worker, live.setup.suffix)
    upload.place(target)
    thread.before_commit(target.parent, partial(sync_folder, target.parent))
    conductor.handle(store, number, Reported(who.worker, serial))
    return "counted"


def fail(
    store: Store,
    conductor: Conductor,
    who: Identity,
    serial: int,
    message: str,
    now: float,
    *,
    since: float,
    excused: bool = False,
) -> None:
    """A worker cannot go on; it counts as dead, and unless it is excused as failed.

    Args:
        store: The database.
        conductor: The calibrations.
        who: The worker.
        serial: The step that it was in.
        message: Why.
        now: The moment, for people [s since the epoch].
        since: The same by the clock that times how long dead workers wait [s].
        excused: Whether it is no fault of its own.
    """
    facts = facts_of(store, who)
    before = conductor.snapshot(store, facts.id)
    if before.state.ended:
        return
    conductor.handle(store, facts.id, Died((who.worker,), since, message, (who.worker,) if excused else ()))
    store.log(
        facts.id,
        "ended worker" if excused else "failed worker",
        f"worker {who.worker}, step {serial}: {message}",
        now,
    )


def facts_of(store: Store, who: Identity) -> Facts:
    """The calibration of a worker.

    Raises:
        NotFoundError: If it was cleaned in the meantime.
    """
    facts = store.facts(who.calibration)
    if facts is None:
        raise NotFoundError("your calibration was cleaned.")
    return facts
