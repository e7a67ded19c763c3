"""Threads that do what may block, one thing after the other, and post what came of it."""

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Thread

from caf_core.errors import BackendError, SubmissionError
from caf_core.jobs.backend import Backend, Submission
from caf_core.jobs.events import (
    CancelFailed,
    Counted,
    Found,
    Polled,
    ReleaseFailed,
    Scanned,
    ServiceEvent,
    Started,
)
from caf_core.jobs.files import fold_submission
from caf_core.jobs.inbox import Inbox
from caf_core.jobs.records import RecordReader, Scan
from caf_core.jobs.task import Resources

log = logging.getLogger("caf.jobs")

Post = Callable[[ServiceEvent], None]


class Worker:
    """A thread with a queue of work; it starts with its first piece of work.

    Args:
        name: The thread's name.
        post: Takes the event that each piece of work returns; called in the thread.
    """

    def __init__(self, name: str, post: Post) -> None:
        self._name = name
        self._post = post
        self._queue: Inbox[Callable[[], ServiceEvent | None] | None] = Inbox()
        self._thread: Thread | None = None

    def do(self, work: Callable[[], ServiceEvent | None]) -> None:
        """Put work at the end of the queue."""
        if self._thread is None:
            self._thread = Thread(target=self._loop, name=self._name, daemon=True)
            self._thread.start()
        self._queue.put(work)

    def close(self, timeout: float = 10.0) -> None:
        """Finish what is queued, and end; a command that hangs is left behind after ``timeout`` [s]."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(timeout)

    def _loop(self) -> None:
        while (work := self._queue.get()) is not None:
            event = work()
            if event is not None:
                self._post(event)


def start(backend: Backend, submission: Submission) -> Started:
    """Issue a submission, and say what is certain afterwards."""
    token = submission.token
    try:
        ids = tuple(backend.start(submission))
    except SubmissionError as error:
        refused = not error.transient
        return Started(
            token, problem=str(error), refused=refused, credentials=error.credentials, full=error.full
        )
    except BackendError as error:
        return Started(token, problem=str(error), again=error.transient)
    except (
        Exception
    ) as error:  # a fault of the plugin: nobody knows how far it got, and trying again would not help
        log.exception("backend %s failed to start %s", type(backend).__name__, token)
        return Started(token, problem=f"{type(backend).__name__}.start raised {error!r}", again=False)
    if len(ids) != submission.size:
        problem = f"{type(backend).__name__}.start gave {len(ids)} ids for {submission.size} tasks"
        return Started(token, problem=problem, again=False)
    return Started(token, ids)


def adopt(backend: Backend, token: str, directory: Path) -> None:
    """Tell a backend of a submission that an earlier process made."""
    try:
        backend.adopt(token, directory)
    except Exception:  # a fault of the plugin; what is asked later will tell
        log.exception("backend %s failed to adopt %s", type(backend).__name__, token)


def find(backend: Backend, token: str) -> Found:
    """Search for a submission."""
    try:
        return Found(token, dict(backend.find(token)))
    except Exception as error:  # whatever it was, it is not the answer "none"
        return Found(token, None, str(error))


def poll(backend: Backend, name: str, asked: list[tuple[str, int, str]]) -> Polled:
    """Query the states of tasks."""
    try:
        return Polled(name, asked, backend.poll([identity for _, _, identity in asked]))
    except Exception as error:  # a query that failed says nothing about the tasks
        return Polled(name, asked, None, str(error))


def cancel(backend: Backend, token: str, ids: tuple[str, ...]) -> CancelFailed | None:
    """End tasks."""
    try:
        backend.cancel(ids)
    except Exception as error:  # it is told again later
        return CancelFailed(token, ids, str(error))
    return None


def release(backend: Backend, token: str, ids: tuple[str, ...], resources: Resources) -> ReleaseFailed | None:
    """Let held tasks go on with other resources."""
    try:
        backend.release(ids, resources)
    except Exception as error:  # they are removed then, and submitted again
        return ReleaseFailed(token, ids, str(error))
    return None


def count(backend: Backend, name: str) -> Counted:
    """Count the user's tasks in the system."""
    try:
        return Counted(name, backend.count())
    except Exception as error:  # the last count stands
        return Counted(name, None, str(error))


def fold(directory: Path) -> None:
    """Remove what a submission that is over needs no more; what cannot be removed does no harm."""
    try:
        fold_submission(directory)
    except OSError as error:
        log.info("%s is kept as it is: %s", directory, error)


def scan(reader: RecordReader, token: str, claims: tuple[int, ...], clock: Callable[[], float]) -> Scanned:
    """Read records."""
    began = clock()
    try:
        return Scanned(token, reader.scan(began, claims))
    except Exception as error:  # a reading that failed says nothing about the tasks
        log.exception("the records of %s cannot be read", token)
        return Scanned(token, Scan(began, error=repr(error)))
