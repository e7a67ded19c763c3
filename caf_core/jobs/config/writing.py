"""Lines for ``caf.toml``."""

from collections.abc import Mapping
from typing import Any

from caf_core.json_text import exact_json


def table_text(name: str, values: Mapping[str, Any]) -> str:
    """A table as it stands in a configuration file.

    Args:
        name: Its name.
        values: Numbers, texts, truth values and lists of them.
    """
    # JSON and TOML agree about these, and about the escapes of a text.
    return "\n".join([f"[{name}]", *(f"{key} = {exact_json(value)}" for key, value in values.items())])
