"""Databases as users make them: with the payload formats of all installed plugins.

Within a calibration, control hands the codecs over; these classes are for scripts and notebooks.
"""

from functools import cache
from pathlib import Path

from caf_core.conditions import central, local
from caf_core.conditions.codecs import Codecs
from caf_core.plugins.registry import Registry


@cache
def installed_codecs() -> Codecs:
    """The payload formats that installed plugins bring, and those of the core."""
    return Codecs(Registry.load().codecs())


class LocalDatabase(local.LocalDatabase):
    """A directory of payloads. One that does not exist yet is empty, and is made by the first write.

    Args:
        path: The directory.
        codecs: The formats that it can write and read; all that are installed, if left out.
    """

    def __init__(self, path: str | Path, codecs: Codecs | None = None) -> None:
        super().__init__(path, installed_codecs() if codecs is None else codecs)


class CentralDatabase(central.CentralDatabase):
    """A global tag of a central database, to look payloads up.

    Args:
        location: The file, or its URL ``sqlite:///FILE?tag=TAG``.
        global_tag: The tag, if the URL does not name it.
        codecs: The formats that it can read; all that are installed, if left out.
    """

    def __init__(self, location: str | Path, global_tag: str = "", codecs: Codecs | None = None) -> None:
        super().__init__(location, global_tag, installed_codecs() if codecs is None else codecs)
