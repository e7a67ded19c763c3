"""Parts of the standard library without what they import: every task on a batch node pays for that.

``signal`` imports ``enum``, ``json`` imports ``re`` and ``ctypes`` imports ``types``; with them the node
program would take twice as long to start. Their halves in C suffice here. Another Python than CPython may
lack those, and has the rest.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # the real one would import typing, which is slow
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    try:
        import _signal as signal
    except ImportError:
        import signal

__all__ = ["call_libc", "dump_json", "load_json", "signal"]

_functions: dict[str, int] = {}
"""Where functions of the C library that were called before lie."""

in_c: Any
try:
    import _json as in_c
except ImportError:
    in_c = None


def call_libc(name: str, *arguments: int) -> int:
    """Call a function of the C library that takes and returns integers.

    Raises:
        OSError: If it returns -1.
    """
    try:
        from _ctypes import call_function, dlopen, dlsym

        if name not in _functions:
            _functions[name] = dlsym(dlopen(None, 0), name)  # type: ignore[arg-type]  # None is the program itself
    except (ImportError, AttributeError):
        pass
    else:
        answer: int = call_function(_functions[name], arguments)
        if answer != -1:
            return answer
    # It is called again for its errno, which only the whole of ctypes gives.
    import ctypes

    answer = getattr(ctypes.CDLL(None, use_errno=True), name)(*map(ctypes.c_ulong, arguments))
    if answer == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), f"{name}{arguments}")
    return answer


class _Scanning:
    """What the scanner in C asks about; these are the defaults of ``json.loads``."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float  # of NaN, Infinity and -Infinity


def load_json(text: str | bytes) -> Any:
    """The value of a JSON text, as from ``json.loads``.

    Raises:
        ValueError: If it is no JSON.
    """
    if in_c is None:
        import json

        return json.loads(text)
    words = (text.decode() if isinstance(text, bytes) else text).strip(" \t\r\n")
    try:
        value, end = in_c.make_scanner(_Scanning)(words, 0)
    except StopIteration:
        end = -1
    if end != len(words):
        raise ValueError(f"this is not JSON: {words[:100]!r}")
    return value


def dump_json(value: object) -> str:
    """A value as JSON text, as from ``json.dumps``.

    Raises:
        ValueError: If a number in it is not finite, for which JSON has no form.
    """
    if in_c is None:
        import json

        return json.dumps(value, allow_nan=False)  # noqa: TID251 - standard library only
    escape = in_c.encode_basestring_ascii
    encode = in_c.make_encoder(None, _refuse, escape, None, ": ", ", ", False, False, False)
    return "".join(encode(value, 0))


def _refuse(value: object) -> None:
    raise TypeError(f"a {type(value).__name__} has no form in JSON")
