"""Objects on their way to another process: pickled by value where they are the user's own, and checked
before they are read."""

import json
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle

from caf_core.errors import ConfigurationError

_SCHEMA = 1


def script_folder() -> Path | None:
    """The folder of the script that is being executed, or ``None`` in an interactive session."""
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    return Path(file).resolve().parent if file else None


def modules_beside(folder: Path | None) -> tuple[ModuleType, ...]:
    """The imported modules that lie in ``folder``: the user's own, which another machine may not have."""
    if folder is None:
        return ()
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name == "__main__" or not file or "site-packages" in file:
            continue
        if Path(file).resolve().is_relative_to(folder) and not name.startswith("caf_core"):
            found.append(module)
    return tuple(found)


@contextmanager
def _by_value(modules: tuple[ModuleType, ...]) -> Iterator[None]:
    registered = []
    try:
        for module in modules:
            if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
                cloudpickle.register_pickle_by_value(module)
                registered.append(module)
        yield
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)


def pack(value: object, what: str) -> bytes:
    """Pickle an object for another process of the same user.

    Args:
        value: The object; classes of the user's script and of the modules beside it travel by value.
        what: What it is, for the error message.
    Raises:
        ConfigurationError: If something in it cannot be pickled; the message names the attribute where
            that is known.
    """
    header = {"schema": _SCHEMA, "python": _python(), "what": what}
    try:
        with _by_value(modules_beside(script_folder())):
            body: bytes = cloudpickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise ConfigurationError(
            f"{what} cannot be sent to another process: {_culprit(value)}{error}; "
            "create it inside collect() or calibrate() instead, or leave it out with __getstate__."
        ) from error
    return json.dumps(header).encode() + b"\n" + body


def _culprit(value: object) -> str:
    """The attribute that cannot be pickled, as the beginning of a sentence."""
    for name, part in getattr(value, "__dict__", {}).items():
        try:
            cloudpickle.dumps(part)
        except Exception:
            return f"its attribute {name!r} ({type(part).__name__}): "
    return ""


def unpack(path: Path) -> Any:
    """Read an object that ``pack`` wrote; the Python version is checked before anything is unpickled.

    Raises:
        ConfigurationError: If another Python wrote it.
    """
    header_line, body = path.read_bytes().split(b"\n", 1)
    header = json.loads(header_line)
    if header["python"] != _python():
        raise ConfigurationError(
            f"{header['what']} was packed by Python {header['python']} and this is Python {_python()}; "
            "use the same Python version on the nodes as where the calibration was started."
        )
    return pickle.loads(body)


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
