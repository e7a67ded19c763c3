"""What a token is, and which ones are known without a look into the database."""

import hmac
import re
import time
from collections.abc import Callable, Collection, Iterable
from hashlib import sha256

from caf_service.store.records import Token

_TOKEN = re.compile(r"caf-([1-9][0-9]{0,8})-([A-Za-z0-9_-]{43})")

REMEMBERED = 10.0
"""For so long a user's token is known without a look into the database, which others may change [s]."""

WORKER_REMEMBERED = 600.0
"""The same of a worker's token, which nobody but the service itself ends [s]."""


def digest_of(secret: str) -> str:
    """What the database keeps of a secret. It has 256 random bits, so that nothing slow is needed."""
    return sha256(secret.encode()).hexdigest()


def parse(text: str) -> tuple[int, str] | None:
    """The number and the secret of a token; ``None`` if it is none."""
    match = _TOKEN.fullmatch(text)
    return (int(match[1]), match[2]) if match else None


def is_secret_of(token: Token, secret: str) -> bool:
    """Whether it is this token's secret."""
    return hmac.compare_digest(token.digest, digest_of(secret))


class KnownTokens:
    """Valid tokens in memory. Only the thread of the database changes them; any other may ask.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[int, tuple[Token, float]] = {}

    def find(self, text: str) -> Token | None:
        """The token that is written so, if it is known."""
        parsed = parse(text)
        token, since = self._known.get(parsed[0], (None, 0.0)) if parsed else (None, 0.0)
        if parsed is None or token is None:
            return None
        if self._clock() - since > (REMEMBERED if token.user else WORKER_REMEMBERED):
            return None
        return token if is_secret_of(token, parsed[1]) else None

    def add(self, tokens: Iterable[Token]) -> None:
        """Remember tokens that are valid now."""
        now = self._clock()
        self._known.update((token.id, (token, now)) for token in tokens)

    def forget(self, number: int) -> None:
        """Forget a token."""
        self._known.pop(number, None)

    def forget_workers(self, calibration: int, workers: Collection[int] | None) -> None:
        """Forget the tokens of these workers of a calibration, or of all."""
        for number, (token, _) in list(self._known.items()):
            if token.calibration == calibration and (workers is None or token.worker in workers):
                self._known.pop(number, None)

    def forget_everybody(self) -> None:
        """Forget all tokens."""
        self._known.clear()
