"""An output directory that was moved or copied since a controller wrote it.

The lines of jobs name absolute paths, because tasks are told them; they are brought up to date here, before
anything is done with them. What still executes belongs to the old place: that of a copy is left to the
original, and that of a directory that was moved is ended, as nobody else would do it.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from caf_core.calibration.files import write_atomically
from caf_core.control.lease import Lease
from caf_core.control.outstanding import read_left
from caf_core.control.places import PLACE, PRIVATE, earlier_place, is_same, renamed
from caf_core.control.store import FILE_NAME
from caf_core.control.store.ledger import StoreLedger
from caf_core.control.store.opening import no_checkpoint, told_errors
from caf_core.control.store.store import CheckpointStore
from caf_core.jobs.ledger import FailureKind, IntentState, TaskChange, TaskState
from caf_core.processes import registration

log = logging.getLogger("caf.control")


@contextmanager
def owned_store(directory: Path, *, take_over: bool = False) -> Iterator[CheckpointStore]:
    """The checkpoint of an output directory that no controller drives meanwhile, for commands that change it.

    Args:
        directory: The output directory.
        take_over: Whether a controller on another host is declared dead.
    Raises:
        CheckpointError: If a controller drives the directory, or there is no checkpoint.
    """
    if not (directory / FILE_NAME).exists():
        raise no_checkpoint(directory)
    private = directory / PRIVATE
    private.mkdir(exist_ok=True)
    lease = Lease(private, take_over=take_over)
    try:
        store = CheckpointStore(directory)
        if is_copy(store):
            take_up(store, private)
        try:
            with told_errors(directory):
                yield store
        finally:
            store.close()
    finally:
        lease.release()


def take_up(store: CheckpointStore, private: Path, end: Callable[[], None] = lambda: None) -> None:
    """Bring an output directory up to date with its place, and note the place.

    Args:
        store: Its checkpoint.
        private: Its private folder.
        end: Ends what goes on, and says so; called if the directory was moved.
    """
    now, before = str(store.directory), earlier_place(store.noted(PLACE), store.directory)
    if before:
        copied = is_copy(store)
        log.warning(
            "%s was %s from %s: what has been collected and calibrated is used, what was executing there is "
            "executed again here",
            now,
            "copied" if copied else "moved",
            before,
        )
        if not copied:
            end()
            resident = str(private / "resident")
            entry = registration.read(resident)
            if entry is not None:
                registration.remove(resident, entry["pid"])
        (private / "resident" / "resident.json").unlink(missing_ok=True)
        _leave_submissions(store)
        for row in store.models.Job.select():
            _rewrite(store.directory / row.directory, before, now)
    if store.noted(PLACE) != now:
        store.note(PLACE, now)


def is_copy(store: CheckpointStore) -> bool:
    """Whether another output directory is where this one was written, to which what executes belongs."""
    before = Path(store.noted(PLACE) or store.directory)
    return (before / FILE_NAME).exists() and not is_same(before, store.directory)


def _leave_submissions(store: CheckpointStore) -> None:
    """Count what was executing as ended: its scheduler and its records know the old place only."""
    ledger = StoreLedger(store)
    for left in read_left(store.models, store.directory):
        changes = [
            TaskChange(
                index=index,
                state=TaskState.FAILED,
                attempt=attempt,
                token=left.token,
                failure=FailureKind.CANCELLED,
                reason="it was executing where the output directory was before",
            )
            for index, attempt in left.tasks.values()
        ]
        ledger.change(left.job, changes)
        ledger.settle(left.token, IntentState.ENDED)


def _rewrite(job: Path, before: str, now: str) -> None:
    """Put the new place into the lines of a job. Doing it again changes nothing, so a crash does no harm."""
    lines = job / "tasks.jsonl"
    if lines.exists():
        content = renamed(lines.read_bytes(), before, now).splitlines(keepends=True)
        offset, index = 0, []
        for line in content:
            index.append(b"%020d\n" % offset)
            offset += len(line)
        write_atomically(lines, b"".join(content))
        write_atomically(job / "tasks.idx", b"".join(index))
    for path in job.glob("shared/*.json"):
        write_atomically(path, renamed(path.read_bytes(), before, now))
