"""What a result depends on, as a short text that changes when it does.

Code is taken by what it does: byte code, constants and names, and the functions, classes and values of the
user's own modules that it refers to.
Comments, line numbers and the order of definitions in a script do not count, so that editing an algorithm
does not make a collector look changed.
"""

import hashlib
import inspect
import pickle
import sys
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path, PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import attrs

_LIBRARIES = tuple({str(Path(sys.prefix).resolve()), str(Path(sys.base_prefix).resolve())})


def fingerprint(*parts: object) -> str:
    """The fingerprint of some values: 16 hexadecimal digits, the same in every process.

    Args:
        parts: Plain values, attrs instances, functions, classes, objects of the user's.
    """
    return _Walker().digest(parts).hex()[:16]


class _Walker:
    """Walks through a value and hashes what it finds; objects on the way are numbered, so that cycles end."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}
        self.alive: list[object] = []

    def digest(self, value: object) -> bytes:
        tag, parts = self._describe(value)
        hasher = hashlib.sha256(tag.encode())
        for part in parts:
            hasher.update(b"\0" + (part if isinstance(part, bytes) else self.digest(part)))
        return hasher.digest()

    def _describe(self, value: object) -> tuple[str, Iterable[object]]:
        if value is None or isinstance(value, bool | int | float | complex | str):
            return f"{type(value).__name__}:{value!r}", ()
        if isinstance(value, bytes | bytearray):
            return "bytes", (bytes(value),)
        if isinstance(value, PurePath):
            return f"path:{value}", ()
        if isinstance(value, Enum):
            return f"enum:{type(value).__qualname__}.{value.name}", ()
        if id(value) in self.seen:
            return f"seen:{self.seen[id(value)]}", ()
        self.seen[id(value)] = len(self.seen)
        self.alive.append(value)
        return self._describe_compound(value)

    def _describe_compound(self, value: Any) -> tuple[str, Iterable[object]]:
        if isinstance(value, list | tuple):
            return "sequence", list(value)
        if isinstance(value, set | frozenset):
            return "set", sorted(fingerprint(item).encode() for item in value)
        if isinstance(value, Mapping):
            items = sorted(
                ((fingerprint(key), item) for key, item in value.items()), key=lambda pair: pair[0]
            )
            return "mapping", [part for key, item in items for part in (key, item)]
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, MethodType):
            return "method", (value.__func__, value.__self__)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, ModuleType | BuiltinFunctionType):
            return f"named:{value.__name__}", ()
        if isinstance(value, CodeType):
            return self._code(value)
        return self._instance(value)

    def _function(self, function: FunctionType) -> tuple[str, Iterable[object]]:
        if not _own(function.__module__):
            return f"library:{function.__module__}.{function.__qualname__}", ()
        cells = [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
        names = sorted(_names(function.__code__))
        used = [(name, function.__globals__[name]) for name in names if name in function.__globals__]
        return "function", (function.__code__, function.__defaults__, function.__kwdefaults__, cells, used)

    def _class(self, kind: type) -> tuple[str, Iterable[object]]:
        if not _own(kind.__module__):
            return f"library:{kind.__module__}.{kind.__qualname__}", ()
        body = {name: _unwrap(item) for name, item in vars(kind).items() if _counts(name, item)}
        return f"class:{kind.__qualname__}", (kind.__bases__, body)

    def _code(self, code: CodeType) -> tuple[str, Iterable[object]]:
        # Byte code and constants say what is done; file names and line numbers do not.
        constants = [item for item in code.co_consts if not isinstance(item, str) or item != _docstring(code)]
        return "code", (code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars)

    def _instance(self, value: Any) -> tuple[str, Iterable[object]]:
        kind = type(value)
        if attrs.has(kind):
            state: object = {field.name: getattr(value, field.name) for field in attrs.fields(kind)}
        elif hasattr(value, "tobytes") and hasattr(value, "dtype"):
            return f"array:{value.dtype}:{value.shape}", (value.tobytes(),)
        elif "__getstate__" not in vars(kind) and hasattr(value, "__dict__"):
            state = vars(value)
        else:
            try:
                state = value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
            except Exception:
                return f"opaque:{kind.__module__}.{kind.__qualname__}", ()
            state = state[1:3] if isinstance(state, tuple) else state
        return "instance", (kind, state)


def _counts(name: str, item: object) -> bool:
    """Whether an attribute of a class says what it does.

    Of the names with two underscores only functions do: Python, pickle and attrs keep notes of their own
    in the others, some of them only
    after the class was used.
    """
    if inspect.isgetsetdescriptor(item) or inspect.ismemberdescriptor(item) or name == "_abc_impl":
        return False
    special = name.startswith("__") and name.endswith("__")
    return not special or isinstance(item, FunctionType | staticmethod | classmethod | property)


def _unwrap(item: Any) -> Any:
    if isinstance(item, staticmethod | classmethod):
        return item.__func__
    if isinstance(item, property):
        return (item.fget, item.fset)
    return item


def _docstring(code: CodeType) -> str | None:
    first = code.co_consts[0] if code.co_consts else None
    return first if isinstance(first, str) and code.co_flags & inspect.CO_OPTIMIZED else None


def _filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _names(code: CodeType) -> set[str]:
    """Global names that the code, or code inside it, refers to."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
    return found


def _own(module_name: str | None) -> bool:
    """Whether a module is the user's: neither of Python, nor installed, nor of caf (these count by their
    version)."""
    if not module_name or module_name.split(".")[0].startswith("caf_"):
        return False
    module = sys.modules.get(module_name)
    file = getattr(module, "__file__", None)
    if module_name == "__main__" or (
        module is not None and file is None and module_name not in sys.builtin_module_names
    ):
        return True
    if not file:
        return False
    resolved = str(Path(file).resolve())
    return "site-packages" not in resolved and not resolved.startswith(
        tuple(f"{p}/lib/python" for p in _LIBRARIES)
    )


def of_callables(functions: Iterable[Callable[..., Any] | None]) -> str:
    """The fingerprint of some functions, such as those of an algorithm."""
    return fingerprint(*functions)
