"""Classes that refuse settings which they do not have: a misspelt one would do nothing."""

import functools
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from attrs import fields

from caf_core.errors import ConfigurationError

C = TypeVar("C", bound=type)


def unknown(what: str, name: str, known: Iterable[str], former: Mapping[str, str]) -> str:
    """A sentence about a setting that is not there.

    Args:
        what: What does not have it: ``a job``.
        name: The setting.
        known: The settings that it has.
        former: What took the place of settings of basf2's CAF, each as a sentence.
    """
    if name in former:
        return f"{what} has no setting {name!r}: {former[name]}"
    settings = sorted(setting for setting in known if not setting.startswith("_"))
    close = get_close_matches(name, settings, n=1)
    hint = f"do you mean {close[0]!r}?" if close else f"it has: {', '.join(settings)}."
    return f"{what} has no setting {name!r}; {hint}"


def strict(what: str, former: Mapping[str, str] | None = None) -> Callable[[C], C]:
    """Let an attrs class refuse unknown settings, as arguments and as attributes, in one sentence. Its
    subclasses may have what they like.

    Args:
        what: What a thing of this class is, for messages: ``a job``.
        former: See ``unknown``.
    """
    hints = former or {}

    def decorated(cls: C) -> C:
        make: Any = cls.__init__  # type: ignore[misc]  # wrapped, and called with the same arguments
        assign: Any = cls.__setattr__
        arguments = {field.alias for field in fields(cls) if field.init}
        names = {field.name for field in fields(cls)} | {name for name in vars(cls) if name[0] != "_"}

        @functools.wraps(make)
        def make_or_refuse(self: Any, *args: Any, **settings: Any) -> None:
            if type(self) is cls:
                for name in settings:
                    if name not in arguments:
                        raise ConfigurationError(unknown(what, name, arguments, hints))
            make(self, *args, **settings)

        def assign_or_refuse(self: Any, name: str, value: Any) -> None:
            if type(self) is cls and name not in names:
                raise ConfigurationError(unknown(what, name, names, hints))
            assign(self, name, value)

        def missing(self: Any, name: str) -> Any:
            if name in hints:
                raise AttributeError(unknown(what, name, names, hints))
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        cls.__init__ = make_or_refuse  # type: ignore[misc]  # as attrs does
        cls.__setattr__ = assign_or_refuse  # type: ignore[method-assign, assignment]  # likewise
        if "__getattr__" not in vars(cls):
            cls.__getattr__ = missing  # type: ignore[attr-defined]  # only asked for what is not there
        return cls

    return decorated
