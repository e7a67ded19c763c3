"""Pickles of what is the user's own: by reference what tasks can import, by value what the script defines."""

import functools
import io
import linecache
import marshal
import operator
import pickle
import sys
import typing
from collections import ChainMap
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any

import cloudpickle

from caf_core.calibration.own_code import is_own_file

MAIN = "__main__"
_WITH_SETTER = ("make", "arguments", "state", "items", "pairs", "setter")
_Cached: type = type(functools.lru_cache(lambda: None))


class OwnPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Notes which functions and classes of the script it has pickled, and from which files they come.

    Args:
        stream: Where it writes.
        used: The script's own, by name; shared by picklers that work for one kit.
        files: Names of source files.
    """

    def __init__(
        self, stream: io.BytesIO, used: dict[str, object] | None = None, files: set[str] | None = None
    ) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self.used = {} if used is None else used
        self.files = set() if files is None else files

    def reducer_override(self, obj: Any) -> Any:
        """As pickle asks, before anything else."""
        reduced = super().reducer_override(obj)
        if reduced is not NotImplemented and isinstance(obj, FunctionType | type):
            self._note(obj)
            if isinstance(obj, FunctionType):
                self.files.add(obj.__code__.co_filename)
            elif len(reduced) == len(_WITH_SETTER) and obj.__qualname__ != obj.__name__:
                # cloudpickle forgets in which class another one is defined.
                make, arguments, state, _, _, setter = reduced
                return make, arguments, (setter, state, obj.__qualname__), None, None, _set_nested
        elif isinstance(obj, _Cached | typing.NewType):
            self._note(obj)
        return reduced

    def _note(self, item: Any) -> None:
        name = getattr(item, "__qualname__", "").partition(".")
        if item.__module__ != MAIN:
            return
        top = vars(sys.modules[MAIN]).get(name[0])
        # What is nested in a class is found by way of it.
        if top is item or (name[2] and isinstance(top, type)):
            self.used[name[0]] = top


def _set_nested(kind: type, state: tuple[Callable[[type, Any], None], Any, str]) -> None:
    setter, inner, kind.__qualname__ = state
    setter(kind, inner)


def _code(code: CodeType) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
    # With its file, its lines, and all code inside it.
    return marshal.loads, (marshal.dumps(code),)


def _named(item: Any) -> bool:
    """Whether a task finds an object by its name."""
    try:
        return item.__module__ != MAIN and (
            operator.attrgetter(item.__qualname__)(sys.modules[item.__module__]) is item
        )
    except (AttributeError, KeyError):
        return False


def _cached(function: Any) -> Any:
    if _named(function):
        return function.__reduce__()
    return _cache_again, (function.cache_parameters(), function.__wrapped__)


def _cache_again(parameters: Mapping[str, Any], function: Callable[..., Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def _cached_property(item: Any) -> Any:
    return _cached_property_again, (item.func, item.attrname)


def _cached_property_again(function: Callable[[Any], Any], name: str) -> Any:
    again = functools.cached_property(function)
    again.attrname = name  # what Python tells it when it is written in a class
    return again


def _new_type(kind: Any) -> Any:
    return kind.__reduce__() if _named(kind) else (typing.NewType, (kind.__name__, kind.__supertype__))


OwnPickler.dispatch_table = ChainMap(
    {
        CodeType: _code,
        _Cached: _cached,
        functools.cached_property: _cached_property,
        typing.NewType: _new_type,
    },
    cloudpickle.Pickler.dispatch_table,
)


def own_dumps(value: object, used: dict[str, object] | None = None, files: set[str] | None = None) -> bytes:
    """Pickle a value by itself."""
    stream = io.BytesIO()
    OwnPickler(stream, used, files).dump(value)
    return stream.getvalue()


@functools.cache  # as it is when it is first asked for: the file may be edited while tasks are executed
def _text(file: str) -> str:
    return "".join(linecache.getlines(file))


def texts_of(files: set[str]) -> dict[str, str]:
    """The sources of the user's own files, and of what was typed in a notebook."""
    own = sorted(file for file in files if file.startswith("<") or is_own_file(file))
    return {file: text for file in own if (text := _text(file))}
