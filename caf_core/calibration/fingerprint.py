"""What a result depends on, as a short text that changes when it does.

Code is taken by what it does: instructions, constants and names, and the functions, classes and values of
the user's own modules that it refers to. Comments, docstrings, line numbers and the order of definitions in
a script do not count, so that editing an algorithm does not make a collector look changed. Libraries count
by the names of what is used of them only.
"""

import hashlib
import inspect
import pickle
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

import attrs

from caf_core.calibration.own_code import attributes_of, instructions, is_own, own_imports, used_globals


def fingerprint(*parts: object) -> str:
    """The fingerprint of some values: 16 hexadecimal digits, the same in every process.

    Args:
        parts: Plain values, attrs instances, functions, classes, objects of the user's.
    """
    return _Walker().digest(parts).hex()[:16]


class _Walker:
    """Walks through a value and hashes what it finds.

    What was met already is not walked through again; what is met on the way to itself is a cycle, and counts
    by how far up it is.
    """

    def __init__(self) -> None:
        self._done: dict[int, bytes] = {}
        self._path: dict[int, int] = {}
        self._alive: list[object] = []

    def digest(self, value: object) -> bytes:
        plain = _plain(value)
        if plain is not None:
            return hashlib.sha256(plain).digest()
        key = id(value)
        if key in self._done:
            return self._done[key]
        if key in self._path:
            return hashlib.sha256(b"up:%d" % (len(self._path) - self._path[key])).digest()
        self._alive.append(value)  # so that no other object gets the same id
        self._path[key] = len(self._path)
        tag, parts = self._describe(value)
        hasher = hashlib.sha256(tag.encode())
        for part in parts:
            hasher.update(b"\0" + self.digest(part))
        del self._path[key]
        self._done[key] = hasher.digest()
        return self._done[key]

    def _describe(self, value: Any) -> tuple[str, Iterable[object]]:
        kind = type(value)
        if kind in (list, tuple):
            return "sequence", value
        if isinstance(value, set | frozenset):
            return "set", [kind, *sorted(self.digest(item) for item in value)]
        if kind in (dict, MappingProxyType):
            items = sorted((self.digest(key), item) for key, item in _keyed(value))
            return "mapping", [part for key, item in items for part in (key, item.value)]
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, MethodType):
            return "method", (value.__func__, value.__self__)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, ModuleType | BuiltinFunctionType):
            return f"named:{value.__name__}", ()
        if isinstance(value, CodeType):
            return "code", instructions(value)
        return self._instance(value)

    def _function(self, function: FunctionType) -> tuple[str, Iterable[object]]:
        # A library's decorator keeps the user's function in a cell.
        cells = [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
        if not is_own(function.__module__):
            return f"library:{function.__module__}.{function.__qualname__}", cells
        code = function.__code__
        used = [(name, _of_module(item, code)) for name, item in used_globals(code, function.__globals__)]
        return "function", (
            *(code, function.__defaults__, function.__kwdefaults__, cells, used, vars(function)),
            list(own_imports(code, function.__globals__.get("__package__"))),
        )

    def _class(self, kind: type) -> tuple[str, Iterable[object]]:
        if not is_own(kind.__module__):
            return f"library:{kind.__module__}.{kind.__qualname__}", ()
        body = {name: _unwrap(item) for name, item in vars(kind).items() if _counts(name, item)}
        return f"class:{kind.__qualname__}", (kind.__bases__, body)

    def _instance(self, value: Any) -> tuple[str, Iterable[object]]:
        kind = type(value)
        if attrs.has(kind):
            fields = {field.name: getattr(value, field.name, None) for field in attrs.fields(kind)}
            return "instance", (kind, {**fields, **getattr(value, "__dict__", {})})
        if hasattr(kind, "tobytes") and getattr(getattr(value, "dtype", None), "hasobject", True) is False:
            return f"array:{value.dtype}:{value.shape}", (value.tobytes(),)
        try:
            reduced = value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        except Exception:
            return f"opaque:{kind.__module__}.{kind.__qualname__}", (getattr(value, "__dict__", None),)
        if isinstance(reduced, str):
            return f"named:{reduced}", (kind, getattr(value, "__dict__", None))
        return "instance", (kind, [list(part) if isinstance(part, Iterator) else part for part in reduced])


@attrs.frozen(order=False)
class _Item:
    """The value of a mapping; it stands behind its key when keys are sorted, and is never compared."""

    value: object

    def __lt__(self, other: object) -> bool:
        return False


def _keyed(value: Mapping[Any, object]) -> Iterator[tuple[Any, _Item]]:
    return ((key, _Item(item)) for key, item in value.items())


def _plain(value: object) -> bytes | None:
    """What a simple value is hashed as; nothing if it is none."""
    if value is None or isinstance(value, bool | int | float | complex | str):
        return f"{type(value).__name__}:{value!r}".encode()
    if isinstance(value, bytes | bytearray):
        return b"bytes:" + value
    if isinstance(value, PurePath):
        return f"path:{value!s}".encode(errors="surrogateescape")
    if isinstance(value, Enum):
        return f"enum:{type(value).__qualname__}.{value.name}".encode()
    return None


def _of_module(item: object, code: CodeType) -> object:
    """Of a module of the user's, what the code uses of it; anything else as it is."""
    return attributes_of(item, code) if isinstance(item, ModuleType) else item


def _counts(name: str, item: object) -> bool:
    """Whether an attribute of a class says what it does.

    Of the names with two underscores only functions do: Python, pickle and attrs keep notes of their own in
    the others, some of them only after the class was used. The ``__hash__`` that attrs writes holds a number
    that differs from process to process.
    """
    code = getattr(item, "__code__", None)
    if name == "__hash__" and code is not None and code.co_filename.startswith("<attrs"):
        return False
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


def _filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True
