"""Users and tokens in the database."""

from collections.abc import Iterable
from types import SimpleNamespace

from caf_service.store.records import Token, User


class People:
    """Users and tokens; belongs to the thread of its database.

    Args:
        models: The tables.
    """

    def __init__(self, models: SimpleNamespace) -> None:
        self._users = models.User
        self._tokens = models.Token

    def users(self) -> list[User]:
        """Everybody, by name."""
        active = {
            row.user for row in self._tokens.select(self._tokens.user).where(self._tokens.revoked.is_null())
        }
        rows = self._users.select().order_by(self._users.name)
        return [User(row.id, row.name, row.role, row.id in active) for row in rows]

    def user(self, name: str) -> User | None:
        """A user, if there is one of that name."""
        row = self._users.get_or_none(self._users.name == name)
        return User(row.id, row.name, row.role) if row is not None else None

    def add_user(self, name: str, role: str, now: float) -> User:
        """Write a new user down."""
        return User(int(self._users.insert(name=name, role=role, created=now).execute()), name, role)

    def add_token(
        self,
        digest: str,
        now: float,
        *,
        user: int | None = None,
        calibration: int | None = None,
        worker: int = -1,
    ) -> int:
        """Write a token down: of a user, or of a worker."""
        number = None if calibration is None else worker
        row = {"digest": digest, "user": user, "calibration": calibration, "worker": number, "created": now}
        return int(self._tokens.insert(**row).execute())

    def token(self, number: int) -> Token | None:
        """A token that is still valid."""
        row = self._tokens.get_or_none((self._tokens.id == number) & self._tokens.revoked.is_null())
        if row is None:
            return None
        if row.user is None:
            return Token(row.id, row.digest, None, row.calibration, row.worker)
        user = self._users.get_by_id(row.user)
        return Token(row.id, row.digest, User(user.id, user.name, user.role))

    def worker_tokens(self, calibration: int) -> list[Token]:
        """The tokens of a calibration's workers that are still valid."""
        table = self._tokens
        rows = (
            table.select(table.id, table.digest, table.worker)
            .where((table.calibration == calibration) & table.revoked.is_null())
            .tuples()
        )
        return [Token(number, digest, None, calibration, worker) for number, digest, worker in rows]

    def revoke_user(self, user: int, now: float) -> int:
        """End all tokens of a user; returns how many there were."""
        return self._revoke(self._tokens.user == user, now)

    def revoke_workers(self, calibration: int, workers: Iterable[int] | None, now: float) -> int:
        """End the tokens of these workers, or of all, of a calibration."""
        which = self._tokens.calibration == calibration
        if workers is not None:
            which &= self._tokens.worker.in_(list(workers))
        return self._revoke(which, now)

    def _revoke(self, which: object, now: float) -> int:
        return int(self._tokens.update(revoked=now).where(which & self._tokens.revoked.is_null()).execute())
