"""Ending what a controller has left at batch systems and on this machine (``caf cancel``).

The checkpoint is left as a clean stop leaves it: what was ended counts as cancelled, and the next start
executes it again. What ended by itself meanwhile is not touched: its record tells.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from caf_core.control.outstanding import EXECUTIONS, Left, read_left
from caf_core.control.places import PRIVATE
from caf_core.control.reading.naming import meant
from caf_core.control.reading.overview import Reader
from caf_core.control.relocating import owned_store
from caf_core.control.store.arguments import kept_arguments
from caf_core.control.store.ledger import StoreLedger
from caf_core.control.store.store import CheckpointStore
from caf_core.errors import BackendError, CafError, CheckpointError, UnknownPluginError
from caf_core.jobs.backend import Backend
from caf_core.jobs.evidence import is_unexplained
from caf_core.jobs.ledger import FailureKind, IntentState, TaskChange, TaskState
from caf_core.jobs.local import ResidentBackend
from caf_core.jobs.records import Record, RecordReader
from caf_core.jobs.residence import key_of
from caf_core.processes.calls import ResidentError
from caf_core.processes.client import ResidentClient

log = logging.getLogger("caf.control")

REASON = "ended by caf cancel"

MakeBackend = Callable[[str, Mapping[str, Any]], Backend]
"""Makes a backend of its plugin name and of what was chosen for it when it was used."""


@frozen
class Ended:
    """Tasks of one submission that were ended.

    Args:
        calibration: Whose they are.
        backend: Where they were.
        token: Of the submission.
        tasks: Their numbers.
        ids: Their ids at the scheduler.
    """

    calibration: str
    backend: str
    token: str
    tasks: tuple[int, ...]
    ids: tuple[str, ...]


@frozen
class Kept:
    """Tasks of one submission that could not be ended, or of which that is not certain.

    Args:
        calibration: Whose they are.
        backend: Where they are.
        token: Of the submission; its jobs are called so.
        tasks: How many.
        reason: Why.
    """

    calibration: str
    backend: str
    token: str
    tasks: int
    reason: str


@frozen
class Outcome:
    """What was ended, and what was not."""

    ended: tuple[Ended, ...]
    kept: tuple[Kept, ...]


def cancel(
    directory: Path, make: MakeBackend, calibration: str | None = None, *, take_over: bool = False
) -> Outcome:
    """End what goes on.

    Args:
        directory: The output directory.
        make: Makes a backend.
        calibration: Only what belongs to this one.
        take_over: Whether a controller on another host is declared dead.
    Raises:
        CheckpointError: If a controller drives the directory, or there is no checkpoint.
        ConfigurationError: If there is no such calibration.
    """
    with owned_store(directory, take_over=take_over) as store:
        return _cancel(store, directory / PRIVATE / "resident", make, calibration, take_over=take_over)


def end_moved(store: CheckpointStore, private: Path, make: MakeBackend) -> None:
    """End what executes for a directory that was moved away, and say so.

    Args:
        store: Its checkpoint.
        private: Its private folder, where it is now.
        make: Makes a backend, or gives one that is used; it is not closed.
    """
    outcome = _cancel(store, private / "resident", make, None, close=False)
    for one in outcome.ended:
        log.warning(
            "%s: ended %d task(s) at %s, which executed for the place where the output directory was before",
            one.calibration,
            len(one.tasks),
            one.backend,
        )
    for left in outcome.kept:
        log.warning(
            "%s: %d task(s) at %s, called %s there, may go on beside their repetition, as they were not "
            "ended: %s",
            left.calibration,
            left.tasks,
            left.backend,
            left.token,
            left.reason,
        )


def _cancel(
    store: CheckpointStore,
    resident: Path,
    make: MakeBackend,
    calibration: str | None,
    *,
    take_over: bool = False,
    close: bool = True,
) -> Outcome:
    if calibration is not None:
        execute: Any = store.database.execute_sql  # peewee is untyped
        calibration, _ = meant(
            Reader(store.models, lambda sql, values=(): list(execute(sql, values))), calibration
        )
    by_backend: dict[str, list[Left]] = {}
    for left in read_left(store.models, store.directory, calibration):
        by_backend.setdefault(left.backend, []).append(left)
    ended: list[Ended] = []
    kept: list[Kept] = []
    here: list[Left] = []
    for name, submissions in by_backend.items():
        try:
            backend = None if name == EXECUTIONS else made(make, name, kept_arguments(store, name))
        except CafError as error:
            kept += [_kept(left, str(error)) for left in submissions]
            continue
        if backend is None or isinstance(backend, ResidentBackend):
            here += submissions
            continue
        for left in submissions:
            _take_in(_end(store, backend, left), ended, kept)
        if close:
            backend.close()
    for one in _end_here(store, resident, here, everything=calibration is None, take_over=take_over):
        _take_in(one, ended, kept)
    return Outcome(tuple(ended), tuple(kept))


def made(make: MakeBackend, name: str, chosen: Mapping[str, Any]) -> Backend:
    """A backend by the name under which the checkpoint knows it."""
    try:
        return make(name, chosen)
    except UnknownPluginError:
        # The second instance of a backend in a script is called slurm-2.
        plain = re.sub(r"-\d+$", "", name)
        if plain == name:
            raise
        return make(plain, chosen)


def _take_in(one: Ended | Kept | None, ended: list[Ended], kept: list[Kept]) -> None:
    if isinstance(one, Ended):
        ended.append(one)
    elif one is not None:
        kept.append(one)


def _kept(left: Left, reason: str) -> Kept:
    return Kept(left.calibration, left.backend, left.token, len(left.tasks), reason)


def _end(store: CheckpointStore, backend: Backend, left: Left) -> Ended | Kept | None:
    """End one submission at its scheduler, and write that down; ``None`` if all of it has ended already."""
    try:
        before = _records(left)
        going = [position for position in left.tasks if _goes_on(before.get(position))]
        if not going:
            return None
        backend.adopt(left.token, left.directory)
        ids: Mapping[int, str] = dict(enumerate(left.ids)) if left.ids else backend.find(left.token)
        known = {position: ids[position] for position in going if position in ids}
        if not known:
            return _kept(left, _unknown(backend))
        backend.cancel(list(known.values()))
        return _write_down(store, left, known, _records(left))
    except CheckpointError:
        raise
    except (CafError, OSError) as error:
        return _kept(left, str(error))


def _unknown(backend: Backend) -> str:
    wait = backend.capabilities().find_again_after
    again = "" if wait is None else f"; give the command again in {wait.total_seconds():.0f} s to be certain"
    return (
        "its submit command was interrupted, and the scheduler knows nothing of it so far; the next start "
        f"looks for it{again}"
    )


def _end_here(
    store: CheckpointStore,
    directory: Path,
    submissions: Iterable[Left],
    *,
    everything: bool,
    take_over: bool,
) -> list[Ended | Kept]:
    """End what the resident process of this machine executes, and the process itself if that is all."""
    submissions = list(submissions)
    try:
        client = ResidentClient.attach(directory, take_over=take_over)
        if client is None:
            # What it had when it died is lost, and the next start finds that out.
            return []
        alive = {key for key, event in client.states().items() if not event.kind.final}
        if everything:
            client.shutdown(kill=True)
        else:
            client.cancel(
                [key for key in alive if key.rpartition(".")[0] in {left.token for left in submissions}]
            )
            client.close()
    except (ResidentError, OSError) as error:
        return [_kept(left, str(error)) for left in submissions]
    found: list[Ended | Kept] = []
    for left in submissions:
        known = {position: key_of(left.token, position) for position in left.tasks}
        known = {position: key for position, key in known.items() if key in alive}
        try:
            one: Ended | Kept | None = _write_down(store, left, known, _records(left)) if known else None
        except BackendError as error:
            one = _kept(left, str(error))
        if one is not None:
            found.append(one)
    return found


def _write_down(
    store: CheckpointStore, left: Left, known: Mapping[int, str], records: Mapping[int, Record]
) -> Ended | None:
    """Write down what was cancelled; what came to its end by itself meanwhile is left to its record."""
    gone = {position: key for position, key in known.items() if not _succeeded(records.get(position))}
    now = time.time()
    changes = [
        TaskChange(
            index=left.tasks[position][0],
            state=TaskState.FAILED,
            attempt=left.tasks[position][1],
            token=left.token,
            scheduler_id=key,
            failure=FailureKind.CANCELLED,
            ended=now,
            reason=REASON,
        )
        for position, key in gone.items()
    ]
    if not changes:
        return None
    ledger = StoreLedger(store)
    ledger.change(left.job, changes)
    if len(gone) == len(left.tasks):
        ledger.settle(left.token, IntentState.ENDED)
    tasks = tuple(change.index for change in changes)
    return Ended(left.calibration, left.backend, left.token, tasks, tuple(gone.values()))


def _records(left: Left) -> dict[int, Record]:
    """The exit records of a submission's tasks.

    Raises:
        BackendError: If they cannot be read: then nobody knows what has ended.
    """
    scan = RecordReader(left.directory, left.token).scan(time.time())
    if scan.error:
        raise BackendError(scan.error)
    tasks = left.tasks
    return {
        position: record
        for position, record in scan.records.items()
        if position in tasks and record["attempt"] == tasks[position][1]
    }


def _goes_on(record: Record | None) -> bool:
    """Whether a task may be going on: the scheduler may execute one again that was ended from outside."""
    return record is None or is_unexplained(record)


def _succeeded(record: Record | None) -> bool:
    return record is not None and not record.get("failure") and record.get("exit_code") == 0
