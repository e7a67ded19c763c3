"""Does what trackers ask for, in the order that a crash at any moment allows."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from caf_core.jobs import files, workers
from caf_core.jobs.effects import (
    AskSoon,
    Cancel,
    Effect,
    Reissue,
    Release,
    ScanRecords,
    Search,
    Settle,
    SplitTask,
    Start,
)
from caf_core.jobs.ledger import FailureKind, IntentState, Ledger
from caf_core.jobs.lines import JobEntry, Line

log = logging.getLogger("caf.jobs")


class Performer:
    """Carries effects out; what blocks is given to worker threads.

    Args:
        ledger: Where intents are written down.
        tokens: Which job a token belongs to; a token is known from its intent on.
        post: Puts an event into the owner's inbox.
        clock: Seconds since the epoch.
        crash: Called at the named points where a test may kill the process.
    """

    def __init__(
        self,
        ledger: Ledger,
        tokens: dict[str, JobEntry],
        post: workers.Post,
        clock: Callable[[], float],
        crash: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._tokens = tokens
        self._clock = clock
        self._crash = crash
        self._records = workers.Worker("caf-records", post)

    def close(self) -> None:
        """End the thread that reads records."""
        self._records.close()

    def perform(self, entry: JobEntry, line: Line, effect: Effect, now: float) -> None:
        """Do what a tracker asks for; nothing here waits."""
        backend = line.backend
        match effect:
            case Start():
                self._start(entry, line, effect, now)
            case Reissue(token):
                out = entry.tracker.open[token]
                submission = entry.submission(token, len(out.tasks), out.resources, backend)
                line.worker.do(partial(workers.start, backend, submission))
            case Search(token):
                line.worker.do(partial(workers.find, backend, token))
            case ScanRecords(token, claims):
                self._records.do(partial(workers.scan, entry.reader(token), token, claims, self._clock))
            case AskSoon(wait):
                line.ask_soon(now, wait)
            case Release(token, ids, resources):
                line.worker.do(partial(workers.release, backend, token, ids, resources))
            case Cancel(token, ids):
                line.worker.do(partial(workers.cancel, backend, token, ids))
            case Settle(token, IntentState.ISSUED, ids):
                self._ledger.settle(token, IntentState.ISSUED, ids)
                self._crash("submission.ids.after")
            case Settle(token):
                # Told after the changes of its tasks: a ledger must not hold an ended submission with open
                # tasks.
                entry.readers.pop(token, None)
                if token in self._tokens:
                    entry.settle.append(effect)
            case SplitTask(parent, children):
                files.split_task(entry.request.directory, parent, children)

    def fold(self, directory: Path) -> None:
        """Remove what a submission needed while it was not over."""
        self._records.do(partial(workers.fold, directory))

    def _start(self, entry: JobEntry, line: Line, effect: Start, now: float) -> None:
        """Write a submission's files, then its intent, then give the command."""
        try:
            self._write_submission(entry, line, effect)
        except OSError as error:
            problem = f"the submission cannot be written: {error.strerror or error}"
            log.warning("%s: %s", entry.request.name, problem)
            entry.tracker.refused(effect.token, problem, now, FailureKind.DISK)
            return
        self._crash("submission.intent.before")
        self._ledger.intend(entry.intent(effect.token, effect.tasks, effect.attempts, effect.resources))
        self._tokens[effect.token] = entry
        self._crash("submission.intent.after")
        submission = entry.submission(effect.token, len(effect.tasks), effect.resources, line.backend)
        line.worker.do(partial(workers.start, line.backend, submission))

    def _write_submission(self, entry: JobEntry, line: Line, effect: Start) -> None:
        directory = files.write_submission(
            entry.request.directory, effect.token, effect.tasks, effect.attempts, effect.resources
        )
        if line.capabilities.needs_script:
            from caf_core.jobs.pack import write_node  # only backends with a scheduler need it

            write_node(directory)
