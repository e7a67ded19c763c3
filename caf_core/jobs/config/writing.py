"""Lines for ``caf.toml``."""

import json
from collections.abc import Mapping
from typing import Any


def table_text(name: str, values: Mapping[str, Any]) -> str:
    """A table as it stands in a configuration file.

    Args:
        name: Its name.
        values: Numbers, texts, truth values and lists of them.
    """
    # JSON and TOML agree about these, and about the escapes of a text.
    return "\n".join([f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())])
