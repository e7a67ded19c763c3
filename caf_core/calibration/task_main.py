"""What ``__main__`` is in a task: the functions and classes that the script has there, and not the script.

So the standard pickle finds them by reference. Children that multiprocessing starts with ``spawn`` or
``forkserver`` execute the file of their parent's ``__main__``, which is this one: it gives them the same.
"""

import os
import sys
from collections.abc import Mapping
from types import ModuleType

KIT = "CAF_KIT"
"""The variable that names the kit to such children."""


def become_main(kit: str, names: Mapping[str, object]) -> None:
    """Have a new ``__main__`` with some names, also in children of this process."""
    main = ModuleType("__main__")
    vars(main).update(names, __file__=__file__)
    sys.modules["__main__"] = main
    os.environ[KIT] = kit


def is_task() -> bool:
    """Whether this process has such a ``__main__``."""
    return getattr(sys.modules["__main__"], "__file__", None) == __file__


def add_to_main(names: Mapping[str, object]) -> None:
    """Add names that ``__main__`` does not have."""
    main = vars(sys.modules["__main__"])
    main.update({name: item for name, item in names.items() if name not in main})


if __name__ == "__mp_main__" and os.environ.get(KIT):
    from pathlib import Path

    from caf_core.calibration.shipping import read_kit
    from caf_core.processes.zygote import enable_site

    enable_site()
    globals().update(read_kit(Path(os.environ[KIT])).names)
