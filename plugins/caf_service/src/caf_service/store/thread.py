"""The one thread that uses the database.

What is waiting is done together, in one transaction with a savepoint each: a thousand workers that report at
the same time cost a few commits. Nobody is answered before the commit.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import peewee

from caf_core.errors import CafError
from caf_core.jobs.inbox import Inbox
from caf_service.store.opening import DATABASE_ERRORS, open_database
from caf_service.store.store import Store

log = logging.getLogger("caf.service")
T = TypeVar("T")

TOGETHER = 200
"""So many actions share a transaction at most."""


class DatabaseAwayError(CafError):
    """The database does not answer; trying again later may help."""


class Undo(Protocol):
    """Told when what an action or a transaction did has not happened."""

    def __call__(self) -> None:
        """Forget what is not in the database."""


class StoreThread:
    """Executes actions on the store, one after the other.

    Args:
        data: The folder of the service.
        url: The database's URL; nothing for SQLite in ``data``.
        undo: Called in the thread when something was rolled back.
    Raises:
        ConfigurationError: If the database cannot be opened.
    """

    def __init__(self, data: Path, url: str, undo: Undo = lambda: None) -> None:
        self._queue: Inbox[tuple[Callable[[Store], Any], Future[Any]] | None] = Inbox()
        self._undo = undo
        self._before: dict[Hashable, Callable[[], None]] = {}
        self._after: list[Callable[[], None]] = []
        self._closed = False
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(data, url, opened), name="caf-store", daemon=True
        )
        self._thread.start()
        opened.result()

    def submit(self, action: Callable[[Store], T]) -> "Future[T]":
        """Have an action executed; the future is done after the commit.

        A future that is cancelled leaves its action undisturbed.
        """
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        if self._closed:
            future.set_exception(DatabaseAwayError("the service is ending; try again."))
        else:
            self._queue.put((action, future))
        return future

    def do(self, action: Callable[[Store], T]) -> T:
        """Execute an action and wait for the commit; not from the thread itself."""
        return self.submit(action).result()

    def before_commit(self, key: Hashable, callback: Callable[[], None]) -> None:
        """From within an action: call this before the commit, once for all actions with the same key."""
        self._before[key] = callback

    def after_commit(self, callback: Callable[[], None]) -> None:
        """From within an action: call this when it is in the database."""
        self._after.append(callback)

    def close(self) -> None:
        """Do what is waiting, then let go of the database."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()

    def _run(self, data: Path, url: str, opened: "Future[None]") -> None:
        try:
            database, models = open_database(data, url)
        except BaseException as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        store = Store(models)
        try:
            while batch := self._take():
                self._execute(database, store, batch)
        finally:
            database.close()

    def _take(self) -> list[tuple[Callable[[Store], Any], "Future[Any]"]]:
        first = self._queue.get()
        batch = [] if first is None else [first]
        while batch and len(batch) < TOGETHER:
            if (item := self._queue.get(0)) is None:
                if self._closed:
                    self._queue.put(None)
                break
            batch.append(item)
        return batch

    def _execute(
        self,
        database: peewee.Database,
        store: Store,
        batch: list[tuple[Callable[[Store], Any], "Future[Any]"]],
    ) -> None:
        self._before, self._after = {}, []
        outcomes: list[tuple[Any, BaseException | None]] = []
        try:
            if database.is_closed():
                database.connect()
            with database.atomic():
                outcomes += [self._one(database, store, action) for action, _ in batch]
                for callback in self._before.values():
                    callback()
        except (*DATABASE_ERRORS, OSError) as error:
            self._undo()
            self._lost(database, error)
            away = DatabaseAwayError(
                f"the database does not answer ({reason_of(error)}); try again in a moment."
            )
            for _, future in batch:
                future.set_exception(away)
            return
        for callback in self._after:
            callback()
        for (_, future), (value, problem) in zip(batch, outcomes, strict=True):
            if problem is None:
                future.set_result(value)
            else:
                future.set_exception(problem)

    def _one(
        self, database: peewee.Database, store: Store, action: Callable[[Store], Any]
    ) -> tuple[Any, BaseException | None]:
        known = len(self._after)
        try:
            with _savepoint(database):
                return action(store), None
        except (peewee.OperationalError, peewee.InterfaceError):
            raise  # it is the database's, not this action's
        except Exception as error:
            del self._after[known:]
            self._undo()
            return None, error

    def _lost(self, database: peewee.Database, error: Exception) -> None:
        log.warning("the database does not answer: %s", reason_of(error))
        try:
            database.close()
        except DATABASE_ERRORS:
            database._state.reset()  # type: ignore[attr-defined]  # the only way to give up such a connection
        time.sleep(0.1)  # so that a database that is away is not asked without pause


@contextmanager
def _savepoint(database: peewee.Database) -> Iterator[None]:
    """Undo what is done in here if it fails, within a transaction.

    Peewee gives every savepoint a name of its own; its commands are new to PostgreSQL each time.
    """
    database.execute_sql("SAVEPOINT action")
    try:
        yield
    except BaseException:
        database.execute_sql("ROLLBACK TO SAVEPOINT action")
        database.execute_sql("RELEASE SAVEPOINT action")
        raise
    database.execute_sql("RELEASE SAVEPOINT action")


def reason_of(error: BaseException) -> str:
    """Why the database does not answer, in one line."""
    # Giving up a transaction that a full disk has ended fails too, and hides why.
    while isinstance(error.__context__, DATABASE_ERRORS):
        error = error.__context__
    return " ".join(str(error).split()) or type(error).__name__
