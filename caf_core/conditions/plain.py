"""Python values as strict JSON and back, without loss.

JSON has neither NaN nor infinities nor keys other than text. They are written as objects with one reserved
key:

- ``{"$float": "nan"}``, ``"inf"`` or ``"-inf"``;
- ``{"$map": [[key, value], ...]}`` for a mapping with a key that is no text, or that begins with ``$``;
- ``{"$array": "name"}`` for a numpy array that lies beside the JSON (``npz`` only).

Numbers come back as they were: integers of any size, floats to the last bit, -0.0 too. Four kinds come back
as the plain values that stand for them: numpy scalars, enumerations and other subclasses of numbers and texts
as the number or text that equals them, tuples as lists, other mappings as dictionaries, and attrs objects and
dataclasses as dictionaries, too (``structured.structure`` makes objects of them again).
"""

import dataclasses
import json
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from caf_core.json_text import json_text

Array = Callable[[Any, str], Any]


def is_array(value: object) -> bool:
    """Whether a value is a numpy array; numpy is not imported for the question."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def is_object(value: object) -> bool:
    """Whether a value is an attrs object or a dataclass."""
    return not isinstance(value, type) and (attrs.has(type(value)) or dataclasses.is_dataclass(value))


def is_scalar(value: object) -> bool:
    """Whether a value is a numpy scalar."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.generic)


def fields_of(value: Any) -> dict[str, Any]:
    """The fields of an attrs object or a dataclass."""
    own = attrs.fields(type(value)) if attrs.has(type(value)) else dataclasses.fields(value)
    return {field.name: getattr(value, field.name) for field in own}


def type_name(value: object) -> str:
    """The full name of a value's type, for messages."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def to_plain(value: Any, *, where: str = "", array: Array | None = None) -> Any:
    """Turn a value into JSON values.

    Args:
        value: Plain values, attrs objects, dataclasses, numpy scalars, and arrays if ``array`` is given.
        where: The way to this value within the content, as in ``['fit'][0]``.
        array: What becomes of a numpy array; called with the array and ``where``.
    Raises:
        TypeError: If there is something else in it; the message begins with where.
        ValueError: If a text holds half of a surrogate pair, which UTF-8 has no form for.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, where)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": repr(float(value))}
    if isinstance(value, Mapping):
        return _mapping(value, where, array)
    if isinstance(value, list | tuple):
        return [to_plain(item, where=f"{where}[{index}]", array=array) for index, item in enumerate(value)]
    if is_object(value):
        return {
            name: to_plain(item, where=f"{where}.{name}", array=array)
            for name, item in fields_of(value).items()
        }
    if array is not None and is_array(value):
        return array(value, where)
    return to_plain(_number(value, where), where=where)


def _mapping(value: Mapping[Any, Any], where: str, array: Array | None) -> Any:
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {
            _text(key, where): to_plain(item, where=f"{where}[{key!r}]", array=array)
            for key, item in value.items()
        }
    pairs = [
        [_plain_key(key, f"{where}, key {key!r}"), to_plain(item, where=f"{where}[{key!r}]", array=array)]
        for key, item in value.items()
    ]
    return {"$map": sorted(pairs, key=lambda pair: json_text(pair[0], sort_keys=True))}


def _plain_key(key: Any, where: str) -> Any:
    """A key that can be one again when it is read: a scalar, or a tuple of such."""
    if isinstance(key, tuple):
        return [_plain_key(item, where) for item in key]
    if key is None or isinstance(key, bool | int | float | str) or is_scalar(key):
        return to_plain(key, where=where)
    raise TypeError(f"{where} is of type {type_name(key)}")


def _text(value: str, where: str) -> str:
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{where + ': ' if where else ''}the text {text!r} has half of a surrogate pair"
        ) from error
    return text


def _number(value: Any, where: str) -> bool | int | float:
    """The Python number that equals a numpy scalar."""
    if is_scalar(value):
        number = value.item()
        if isinstance(number, bool | int | float):
            return number
    raise TypeError(f"{where + ' is' if where else 'it is'} of type {type_name(value)}")


def from_plain(value: Any, *, array: Callable[[str], Any] | None = None) -> Any:
    """The opposite of ``to_plain``.

    Args:
        value: JSON values.
        array: Gives the array of a name.
    Raises:
        ValueError: If a reserved key holds what ``to_plain`` does not write.
    """
    if isinstance(value, list):
        return [from_plain(item, array=array) for item in value]
    if not isinstance(value, dict):
        return value
    reserved = next((key for key in value if key.startswith("$")), None)
    if reserved is None:
        return {key: from_plain(item, array=array) for key, item in value.items()}
    match value:
        case {"$float": ("nan" | "inf" | "-inf") as text}:
            return float(text)
        case {"$map": list(pairs)}:
            return {_key(from_plain(key)): from_plain(item, array=array) for key, item in pairs}
        case {"$array": str(name)} if array is not None:
            return array(name)
    raise ValueError(f"the reserved key {reserved!r} holds {value[reserved]!r}")


def _key(value: Any) -> Any:
    return tuple(_key(item) for item in value) if isinstance(value, list) else value


def dump(value: Any) -> bytes:
    """Canonical JSON: sorted keys, one value a line, floats by ``repr``, UTF-8, a newline at the end."""
    text = json.dumps(  # noqa: TID251 - canonical bytes, which decide on the revision
        value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False
    )
    return f"{text}\n".encode()
