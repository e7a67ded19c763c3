"""What was chosen for backends, kept for commands that make them again without the script."""

import json
from collections.abc import Mapping
from typing import Any

from caf_core.control.store.store import CheckpointStore
from caf_core.json_text import exact_json

_KEY = "arguments of {}"
"""The key among the settings of a checkpoint, of a backend's name."""


def keep_arguments(store: CheckpointStore, backend: str, chosen: Mapping[str, Any]) -> None:
    """Write down what was chosen for a backend.

    Args:
        store: The checkpoint.
        backend: The name under which the checkpoint knows it.
        chosen: Its arguments; those that JSON cannot hold as they are are left out.
    Raises:
        CheckpointError: If the checkpoint cannot be written.
    """
    lists = {name: list(one) if isinstance(one, tuple) else one for name, one in chosen.items()}
    plain = {name: value for name, value in lists.items() if _is_plain(value)}
    if plain != kept_arguments(store, backend):
        with store.batch():
            store.models.Setting.replace(key=_KEY.format(backend), value=exact_json(plain)).execute()


def kept_arguments(store: CheckpointStore, backend: str) -> dict[str, Any]:
    """What was chosen for a backend when it was used last; nothing if nobody wrote that down."""
    table = store.models.Setting
    row = table.get_or_none(table.key == _KEY.format(backend))
    return {} if row is None else dict(json.loads(row.value))


def _is_plain(value: Any) -> bool:
    """Whether JSON gives a value back as it was."""
    try:
        return bool(json.loads(exact_json(value)) == value)
    except (TypeError, ValueError, RecursionError):
        return False
