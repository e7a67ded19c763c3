"""JSON that every reader takes.

JSON has no NaN and no infinities; Python writes them all the same, as words that other readers refuse. What
caf writes for machines goes through one of two functions: ``json_text`` turns such a number into the text
``"nan"``, ``"inf"`` or ``"-inf"``, which ``float()`` takes back, and ``exact_json`` refuses it, where a value
has to come back as it was. (Constants are stored by codecs; see ``caf_core.conditions.plain``.)
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from caf_core.errors import ConfigurationError

Separators = tuple[str, str]
COMPACT: Separators = (",", ":")


def json_text(
    value: object,
    *,
    indent: int | None = None,
    separators: Separators | None = None,
    sort_keys: bool = False,
    ensure_ascii: bool = True,
) -> str:
    """A value as JSON for people's programs; whatever JSON has no form for is written as near as it comes.

    Args:
        value: Anything; see ``json_values`` for what becomes of it.
        indent: As for ``json.dumps``, and so are the others.
        separators: What stands behind an item and behind a key.
        sort_keys: Whether keys are sorted.
        ensure_ascii: Whether other characters are escaped.
    """
    encode = json.JSONEncoder(
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
        ensure_ascii=ensure_ascii,
        allow_nan=False,
    ).encode
    try:
        # Nearly everything is JSON already, and this is quick.
        return encode(value)
    except (TypeError, ValueError):
        return encode(json_values(value))


def exact_json(
    value: object,
    *,
    indent: int | None = None,
    separators: Separators | None = None,
    ensure_ascii: bool = True,
    default: Callable[[Any], Any] | None = None,
) -> str:
    """A value as JSON from which it comes back as it was; the arguments are those of ``json.dumps``.

    Raises:
        ConfigurationError: If there is a number in it that is not finite; says where.
        TypeError: If there is something else in it that JSON has no form for.
    """
    try:
        return json.JSONEncoder(
            indent=indent,
            separators=separators,
            ensure_ascii=ensure_ascii,
            allow_nan=False,
            default=default,
        ).encode(value)
    except ValueError as error:
        where = _not_finite(value, "")
        if where is None:
            raise ConfigurationError(f"a value cannot be written as JSON: {error}.") from error
        raise ConfigurationError(
            f"{where} cannot be written as JSON, which has finite numbers only; give a finite number, or "
            "leave it out."
        ) from error


def json_values(value: Any) -> Any:
    """A value made of what JSON has.

    Numbers that are not finite become ``"nan"``, ``"inf"`` and ``"-inf"``, keys texts, arrays and tuples
    lists, sets sorted lists, attrs objects and dataclasses mappings; what is nothing of this its ``repr``,
    and paths texts.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(float(value))
    if isinstance(value, Mapping):
        return {str(key): json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((json_values(item) for item in value), key=repr)
    return _object(value)


def _object(value: Any) -> Any:
    names = getattr(type(value), "__attrs_attrs__", None)
    if names is not None:
        return {one.name: json_values(getattr(value, one.name)) for one in names}
    names = getattr(type(value), "__dataclass_fields__", None)
    if names is not None:
        return {name: json_values(getattr(value, name)) for name in names}
    if hasattr(value, "__fspath__"):
        return str(value)
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        # Arrays and scalars of numpy; those that no Python number equals stay what they are.
        plain = value.tolist()
        if type(plain) is not type(value):
            return json_values(plain)
    return repr(value)


def _not_finite(value: object, where: str) -> str | None:
    """Where a number is not finite, and which; ``None`` if all are."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{where or 'a number'}: {value!r}"
    if hasattr(value, "tolist"):
        return _not_finite(value.tolist(), where)
    items: Any = ()
    if isinstance(value, Mapping):
        items = ((f"{where}[{key!r}]", item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        items = ((f"{where}[{index}]", item) for index, item in enumerate(value))
    return next((found for place, item in items if (found := _not_finite(item, place))), None)
