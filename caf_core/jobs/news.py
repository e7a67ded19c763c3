"""How what came out of a worker thread is entered into a job's tracker."""

import logging

from caf_core.jobs.events import CancelFailed, Found, Notified, ReleaseFailed, Scanned, Started
from caf_core.jobs.ledger import FailureKind
from caf_core.jobs.lines import JobEntry

log = logging.getLogger("caf.jobs")

News = Started | Found | Notified | Scanned | CancelFailed | ReleaseFailed
"""Events about one submission."""


def enter(entry: JobEntry, event: News, now: float) -> None:
    """Tell a job's tracker what happened to one of its submissions."""
    tracker = entry.tracker
    match event:
        case Notified(token, reports):
            reader = entry.readers.get(token)
            for position, report in reports.items():
                if reader is not None and report.record is not None:
                    reader.mark(position)
            tracker.reported(token, reports, now)
        case Scanned(token, scan):
            for problem in (*scan.broken.values(), *filter(None, [scan.error])):
                log.warning("%s", problem)
            began = None if scan.error else scan.began
            tracker.recorded(token, scan.records, scan.broken, began, now, scan.claims)
        case Started():
            _start(entry, event, now)
        case Found(token, None, problem):
            if entry.complaints.is_new(token, problem, now):
                log.warning("nobody knows yet whether submission %s exists: %s", token, problem)
            tracker.search_failed(token, now)
        case Found(token, ids):
            tracker.found(token, ids or {}, now)
        case CancelFailed(token, ids, problem):
            log.warning("the tasks of %s could not be cancelled, trying again: %s", token, problem)
            tracker.cancel_failed(token, ids)
        case ReleaseFailed(token, ids, problem):
            log.warning("held tasks of %s could not be released: %s", token, problem)
            tracker.released(token, ids, problem, now)


def _start(entry: JobEntry, event: Started, now: float) -> None:
    if not event.problem:
        entry.tracker.issued(event.token, event.ids, now)
        return
    if entry.complaints.is_new(event.token, event.problem, now):
        log.warning("submission %s of %r: %s", event.token, entry.request.name, event.problem)
    if event.refused:
        entry.tracker.refused(event.token, event.problem, now)
    else:
        kind = FailureKind.CREDENTIALS if event.credentials else FailureKind.SUBMISSION
        entry.tracker.doubtful(event.token, event.problem, now, again=event.again, kind=kind, full=event.full)
