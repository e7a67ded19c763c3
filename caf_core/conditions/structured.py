"""Decoded contents as typed objects."""

from functools import cache
from typing import Any, TypeVar, get_origin

from caf_core.errors import PayloadError
from caf_core.text import clause

T = TypeVar("T")


def structure(content: Any, as_type: type[T], *, name: str = "content") -> T:
    """Make an attrs object, a dataclass or any other type that cattrs knows of a decoded content.

    Args:
        content: What a codec decoded; arrays are taken as they are.
        as_type: The type that is wanted.
        name: The payload's name, for messages.
    Raises:
        PayloadError: If the content does not fit the type.
    """
    try:
        return _converter().structure(content, as_type)  # type: ignore[no-any-return]  # the cached converter is Any, see below
    except Exception as error:  # cattrs raises groups of whatever the fields' types raise
        details = "; ".join(map(clause, _leaves(error)))
        raise PayloadError(
            f"the payload {name!r} is no {getattr(as_type, '__name__', as_type)}: {details}; ask "
            f"for another type, or without one."
        ) from error


@cache
def _converter() -> Any:
    """The converter; cattrs is imported here because most look-ups want no type, and it takes its time."""
    import cattrs

    converter = cattrs.Converter()
    converter.register_structure_hook_func(_is_numpy, lambda value, _: value)
    return converter


def _is_numpy(kind: Any) -> bool:
    return str(getattr(get_origin(kind) or kind, "__module__", "")).partition(".")[0] == "numpy"


def _leaves(error: BaseException) -> list[str]:
    """What was wrong, without the groups that cattrs packs it into."""
    if isinstance(error, BaseExceptionGroup):
        return [text for inner in error.exceptions for text in _leaves(inner)]
    where = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    return [f"{type(error).__name__} {error}{where}"]
