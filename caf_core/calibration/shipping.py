"""Objects on their way to another process: pickled by value where they are the user's own, and checked
before they are read."""

import json
import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

import attrs
import cloudpickle

from caf_core.calibration.own_code import used_globals
from caf_core.errors import CheckpointError, ConfigurationError
from caf_core.json_text import json_text

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
    beside: dict[str, bool] = {}  # by folder: there are far fewer of them than modules
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name == "__main__" or not file or "site-packages" in file or name.startswith("caf_core"):
            continue
        parent = file.rpartition("/")[0]
        if parent not in beside:
            beside[parent] = Path(parent or "/").resolve().is_relative_to(folder)
        if beside[parent]:
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
    with _by_value(modules_beside(script_folder())):
        try:
            body: bytes = cloudpickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            names, part = _culprit(value)
            where = f"{'.'.join(names)} ({type(part).__name__}): " if names else ""
            raise ConfigurationError(
                f"{what} cannot be sent to another process: {where}{error}; "
                "create it inside collect() or calibrate() instead, or leave it out with __getstate__."
            ) from error
    digest = sha256(body).hexdigest()
    header = {"schema": _SCHEMA, "python": _python(), "what": what, "digest": digest}
    return json_text(header).encode() + b"\n" + body


def _culprit(value: object, depth: int = 8) -> tuple[list[str], object]:
    """Where in a value that cannot be pickled the fault lies: names that lead there, and what is there."""
    for name, part in _parts(value) if depth else ():
        try:
            cloudpickle.dumps(part)
        except Exception:
            names, deepest = _culprit(part, depth - 1)
            return [name, *names], deepest
    return [], value


def _parts(value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from ((str(key), part) for key, part in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((str(number), part) for number, part in enumerate(value))
    elif isinstance(value, MethodType):
        yield from _parts(value.__self__)
    elif isinstance(value, FunctionType):
        cells = (cell.cell_contents for cell in value.__closure__ or ())
        yield from zip(value.__code__.co_freevars, cells, strict=False)
        yield from used_globals(value.__code__, value.__globals__)
    else:
        if attrs.has(type(value)):
            yield from ((field.name, getattr(value, field.name, None)) for field in attrs.fields(type(value)))
        yield from getattr(value, "__dict__", {}).items()
        if not isinstance(value, type):
            yield type(value).__name__, type(value)


def unpack(path: Path) -> Any:
    """Read an object that ``pack`` wrote; the Python version is checked before anything is unpickled.

    Raises:
        ConfigurationError: If another Python wrote it.
        CheckpointError: If it was damaged.
    """
    try:
        header_line, body = path.read_bytes().split(b"\n", 1)
        header = json.loads(header_line)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is gone or damaged ({error}); start again, and it is packed anew."
        ) from error
    if header["python"] != _python():
        raise ConfigurationError(
            f"{header['what']} was packed by Python {header['python']} and this is Python {_python()}; "
            "use the same Python version on the nodes as where the calibration was started."
        )
    if header.get("digest") not in (None, sha256(body).hexdigest()):  # 0.1.0 wrote none
        raise CheckpointError(f"{path} was changed after it was packed; start again, and it is packed anew.")
    return pickle.loads(body)


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
