"""What ``__main__`` is in a task: the functions and classes that the script has there, and not the script.

So the standard pickle finds them by reference. Children that multiprocessing starts with ``spawn`` or
``forkserver`` execute the file of their parent's ``__main__``, which is this one: it gives them the same.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from caf_core.json_text import json_text

KITS = "CAF_KITS"
"""The variable that names the kits to such children: a JSON list, the task's own first."""


def become_main(kit: str, names: Mapping[str, object]) -> None:
    """Have a new ``__main__`` with some names, also in children of this process."""
    main = ModuleType("__main__")
    vars(main).update(names, __file__=__file__)
    sys.modules["__main__"] = main
    os.environ[KITS] = json_text([kit])


def is_task() -> bool:
    """Whether this process has such a ``__main__``."""
    return getattr(sys.modules["__main__"], "__file__", None) == __file__


def add_to_main(kit: str, names: Mapping[str, object]) -> None:
    """Add names of another kit that ``__main__`` does not have, also in children that come from now on."""
    known = json.loads(os.environ.get(KITS) or "[]")  # code of the user's may have emptied the environment
    os.environ[KITS] = json_text(list(dict.fromkeys([*known, kit])))
    main = vars(sys.modules["__main__"])
    main.update({name: item for name, item in names.items() if name not in main})


def _names_of_kits() -> dict[str, object]:
    from caf_core.calibration.shipping import read_kit
    from caf_core.processes.zygote import enable_site

    enable_site()
    own, *further = map(Path, json.loads(os.environ[KITS]))
    names = dict(read_kit(own).names)
    for kit in further:
        names = {**read_kit(kit, further=True).names, **names}
    return names


if __name__ == "__mp_main__" and os.environ.get(KITS):
    globals().update(_names_of_kits())
