"""An output directory that was moved or copied since a controller wrote it.

The lines of jobs name absolute paths, because tasks are told them; they are brought up to date here, before
anything is done with them. What still executes belongs to the old place.
"""

import logging
from pathlib import Path

from caf_core.calibration.files import write_atomically
from caf_core.control.outstanding import read_left
from caf_core.control.store import FILE_NAME
from caf_core.control.store.ledger import StoreLedger
from caf_core.control.store.store import CheckpointStore
from caf_core.jobs.ledger import FailureKind, IntentState, TaskChange, TaskState
from caf_core.json_text import exact_json

log = logging.getLogger("caf.control")

PLACE = "written at"
"""Where the output directory was when a controller wrote it last."""


def take_up(store: CheckpointStore, private: Path) -> None:
    """Bring an output directory up to date with its place, and note the place.

    Args:
        store: Its checkpoint.
        private: Its private folder.
    """
    now, before = str(store.directory), store.noted(PLACE)
    if before is not None and before != now and not _is_same(Path(before), store.directory):
        copied = is_copy(store)
        log.warning(
            "%s was %s from %s: what has been collected and calibrated is used, what was executing there is "
            "executed again here",
            now,
            "copied" if copied else "moved",
            before,
        )
        (private / "resident" / "resident.json").unlink(missing_ok=True)
        _leave_submissions(store)
        for row in store.models.Job.select():
            _rewrite(store.directory / row.directory, before, now)
    if before != now:
        store.note(PLACE, now)


def is_copy(store: CheckpointStore) -> bool:
    """Whether another output directory is where this one was written, to which what executes belongs."""
    before = Path(store.noted(PLACE) or store.directory)
    return (before / FILE_NAME).exists() and not _is_same(before, store.directory)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


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
    old, new = (exact_json(f"{place}/")[:-1].encode() for place in (before, now))
    lines = job / "tasks.jsonl"
    if lines.exists():
        content = lines.read_bytes().replace(old, new).splitlines(keepends=True)
        offset, index = 0, []
        for line in content:
            index.append(b"%020d\n" % offset)
            offset += len(line)
        write_atomically(lines, b"".join(content))
        write_atomically(job / "tasks.idx", b"".join(index))
    for path in job.glob("shared/*.json"):
        write_atomically(path, path.read_bytes().replace(old, new))
