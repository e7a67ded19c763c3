"""Names for submissions that no scheduler objects to."""

import secrets

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ALPHABET = _LETTERS + "0123456789"
LENGTH = 15


def new_token() -> str:
    """A random name: a letter first, then letters and digits, 15 characters in all.

    With 77 bits, two of a million submissions are equal once in 10^11 cases.
    """
    return secrets.choice(_LETTERS) + "".join(secrets.choice(_ALPHABET) for _ in range(LENGTH - 1))
