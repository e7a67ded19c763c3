"""Who may do what: tokens and the people and workers behind them."""

import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from attrs import frozen

from caf_core.errors import ConfigurationError
from caf_service.store.records import Token, User
from caf_service.store.store import Store
from caf_service.store.thread import StoreThread
from caf_service.tokens import KnownTokens, digest_of, is_secret_of, parse

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class Role(StrEnum):
    """What a token is good for."""

    USER = "user"
    ADMIN = "admin"
    AGENT = "agent"
    WORKER = "worker"


@frozen
class Identity:
    """Who makes a request.

    Args:
        role: What it may do.
        token: The number of its token.
        user: The number of the user; 0 for a worker.
        name: The user's name.
        calibration: The only calibration of a worker.
        worker: The worker's number.
    """

    role: Role
    token: int
    user: int = 0
    name: str = ""
    calibration: int = 0
    worker: int = -1


class Accounts:
    """Users and tokens of a service.

    Args:
        thread: The thread of the database.
        clock: Seconds since the epoch.
    """

    def __init__(self, thread: StoreThread, clock: Callable[[], float] = time.time) -> None:
        self._thread = thread
        self._clock = clock
        self._known = KnownTokens()

    # Requests

    def remembered(self, text: str) -> Identity | None:
        """Who has this token, if that is known without the database."""
        token = self._known.find(text)
        return _identity(token) if token else None

    def look_up(self, store: Store, text: str) -> Identity | None:
        """Who has this token; in the thread of the database.

        A whole crew asks at the same moment: the tokens of all its workers are read when the first one does.
        """
        if known := self.remembered(text):
            return known
        parsed = parse(text)
        token = store.people.token(parsed[0]) if parsed else None
        if parsed is None or token is None:
            if parsed:
                self._known.forget(parsed[0])
            return None
        if not is_secret_of(token, parsed[1]):
            return None
        self._known.add([token] if token.user else store.people.worker_tokens(token.calibration))
        return _identity(token)

    # People

    def add(self, name: str, role: str) -> str:
        """Make a user and its first token.

        Raises:
            ConfigurationError: If there is one of that name, or the name or role cannot be.
        """
        return self._thread.do(lambda store: self._add(store, name, role))

    def token(self, name: str) -> str:
        """Make one more token for a user.

        Raises:
            ConfigurationError: If there is no such user.
        """
        return self._thread.do(lambda store: self._new(store, self._user(store, name)))

    def ensure(self, name: str, role: str = Role.USER) -> str:
        """A new token for a user, who is made if need be."""

        def ensured(store: Store) -> str:
            user = store.people.user(name)
            return self._new(store, user) if user else self._add(store, name, role)

        return self._thread.do(ensured)

    def revoke(self, name: str) -> int:
        """End all tokens of a user; returns how many there were."""

        def revoked(store: Store) -> int:
            user = self._user(store, name)
            number = store.people.revoke_user(user.id, self._clock())
            self._thread.after_commit(self._known.forget_everybody)
            return number

        return self._thread.do(revoked)

    def users(self) -> list[User]:
        """Everybody."""
        return self._thread.do(lambda store: store.people.users())

    # Workers; in the thread of the database

    def worker_tokens(
        self, store: Store, calibration: int, workers: Iterable[int], *, revoke: bool
    ) -> Mapping[int, str]:
        """Make tokens for workers; those that they had may end."""
        workers = list(workers)
        if revoke:
            self.end_workers(store, calibration, workers)
        texts, tokens = {}, []
        for worker in workers:
            secret = secrets.token_urlsafe(32)
            digest = digest_of(secret)
            number = store.people.add_token(digest, self._clock(), calibration=calibration, worker=worker)
            texts[worker] = f"caf-{number}-{secret}"
            tokens.append(Token(number, digest, None, calibration, worker))
        self._thread.after_commit(lambda: self._known.add(tokens))
        return texts

    def end_workers(self, store: Store, calibration: int, workers: Iterable[int] | None = None) -> None:
        """End the tokens of these workers, or of all."""
        which = None if workers is None else set(workers)
        store.people.revoke_workers(calibration, which, self._clock())
        self._thread.after_commit(lambda: self._known.forget_workers(calibration, which))

    def _add(self, store: Store, name: str, role: str) -> str:
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{name!r} cannot be a user's name; use up to 64 letters, digits, . _ @ -"
            )
        if role not in (Role.USER, Role.ADMIN, Role.AGENT):
            raise ConfigurationError(f"there is no role {role!r}; there are user, admin, and agent.")
        if store.people.user(name):
            raise ConfigurationError(
                f"there is a user called {name!r} already; make another token for it with: "
                "caf service user token."
            )
        return self._new(store, store.people.add_user(name, str(role), self._clock()))

    def _user(self, store: Store, name: str) -> User:
        user = store.people.user(name)
        if user is None:
            raise ConfigurationError(f"there is no user called {name!r}; add it first.")
        return user

    def _new(self, store: Store, user: User) -> str:
        secret = secrets.token_urlsafe(32)
        number = store.people.add_token(digest_of(secret), self._clock(), user=user.id)
        return f"caf-{number}-{secret}"


def _identity(token: Token) -> Identity:
    if token.user is None:
        return Identity(Role.WORKER, token.id, calibration=token.calibration, worker=token.worker)
    return Identity(Role(token.user.role), token.id, user=token.user.id, name=token.user.name)
