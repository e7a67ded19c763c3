"""Arguments of a backend that are given as text: ``KEY=VALUE`` on a command line."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from caf_core.errors import ConfigurationError
from caf_core.jobs.backend import Backend
from caf_core.jobs.config.schema import alternatives

_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """``KEY=VALUE`` texts as a table.

    Args:
        texts: The texts.
        option: Where they were given, for messages.
    Raises:
        ConfigurationError: If one has no key or no equals sign.
    """
    found = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not key or not sign:
            raise ConfigurationError(f"{option} {text!r} has no value; write NAME=VALUE.")
        found[key] = value
    return found


def typed(values: Mapping[str, str], backend: type[Backend], name: str) -> dict[str, Any]:
    """The values as a backend declares them; as they are for a backend that declares nothing.

    Args:
        values: Argument -> text.
        backend: The backend.
        name: Its name, for messages.
    Raises:
        ConfigurationError: If it has no such argument, or the text cannot be its value.
    """
    known = backend.known_args()
    if known is None:
        return dict(values)
    found = {}
    for key, text in values.items():
        if key not in known:
            raise ConfigurationError(
                f"the backend {name!r} has no argument {key!r}; {alternatives(key, list(known))}"
            )
        kinds = known[key].kind
        fits = [value for value in _readings(text) if type(value) in kinds]
        if not fits:
            words = " or ".join(kind.__name__ for kind in kinds)
            raise ConfigurationError(
                f"the argument {key}={text!r} of {name!r} must be {words}: {known[key].meaning}."
            )
        found[key] = fits[0]
    return found


def _readings(text: str) -> Iterable[Any]:
    """What a text may mean, the narrowest first."""
    if text.lower() in _WORDS:
        yield _WORDS[text.lower()]
    with suppress(ValueError):
        value = json.loads(text)
        yield value
        if isinstance(value, list):
            yield tuple(value)
    for number in (int, float):
        with suppress(ValueError):
            yield number(text)
    yield text
    words = [word.strip() for word in text.split(",")]
    yield words
    yield tuple(words)
