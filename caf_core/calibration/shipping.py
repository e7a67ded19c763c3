"""Objects on their way to another process, with the user's own code that they need, and checked before they
are read.

A kit is a line of JSON, and pickles one behind the other: the modules beside the script, the object, and what
else of the script's own belongs to its ``__main__``.
"""

import io
import json
import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

import attrs
import cloudpickle

from caf_core.calibration.files import read_own
from caf_core.calibration.own_code import used_globals
from caf_core.calibration.own_modules import (
    as_imported,
    install,
    modules_beside,
    pack_modules,
    script_folder,
    show_source,
)
from caf_core.calibration.own_pickles import OwnPickler, own_dumps, texts_of
from caf_core.calibration.task_main import add_to_main, become_main, is_task
from caf_core.errors import CheckpointError, ConfigurationError
from caf_core.json_text import json_text
from caf_core.text import clause

_SCHEMA = 2
_NO_CODE = 1
"""The schema of kits that hold a pickle and nothing else."""


@contextmanager
def _by_value(modules: list[ModuleType]) -> Iterator[None]:
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
        value: The object; the modules beside the user's script travel with it as they were imported, and
            classes and functions of the script by value.
        what: What it is, for the error message.
    Raises:
        ConfigurationError: If something in it cannot be pickled; the message names the attribute where
            that is known.
    """
    beside = [(module, as_imported(module)) for module in modules_beside(script_folder())]
    modules = [(module, found) for module, found in beside if found is not None]
    changed = [module for module, found in beside if found is None]
    with _by_value([m for m in changed if not str(m.__file__).endswith(tuple(EXTENSION_SUFFIXES))]):
        stream = io.BytesIO()
        pickler = OwnPickler(stream)
        try:
            pickler.dump(value)
            own = pack_modules(modules, partial(own_dumps, used=pickler.used, files=pickler.files))
            _dump_used(pickler)
        except Exception as error:
            names, part = _culprit(value)
            where = f"{'.'.join(names)} ({type(part).__name__}): " if names else ""
            raise ConfigurationError(
                f"{what} cannot be sent to another process: {where}{clause(error)}; "
                "create it inside collect() or calibrate() instead, or leave it out with __getstate__."
            ) from error
    body = pickle.dumps((own, texts_of(pickler.files)), pickle.HIGHEST_PROTOCOL) + stream.getvalue()
    digest = sha256(body).hexdigest()
    header = {"schema": _SCHEMA, "python": _python(), "what": what, "digest": digest}
    return json_text(header).encode() + b"\n" + body


def _dump_used(pickler: OwnPickler) -> None:
    """Pickle what was used of the script; what that uses in turn comes into another pickle behind it."""
    done: set[str] = set()
    while names := pickler.used.keys() - done:
        pickler.dump({name: pickler.used[name] for name in sorted(names)})
        done |= names


def _culprit(value: object, depth: int = 8) -> tuple[list[str], object]:
    """Where in a value that cannot be pickled the fault lies: names that lead there, and what is there."""
    for name, part in _parts(value) if depth else ():
        try:
            own_dumps(part)
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


@attrs.frozen
class Kit:
    """What was packed.

    Args:
        value: The object.
        names: Functions and classes that the script has in its ``__main__``.
    """

    value: Any
    names: Mapping[str, object] = {}


def unpack(path: Path) -> Any:
    """Read an object that ``pack`` wrote, and let this process be a task of the script's.

    Raises:
        ConfigurationError: If another Python wrote it, or another user may have.
        CheckpointError: If it was damaged.
    """
    kit = read_kit(path)
    become_main(str(path.absolute()), kit.names)
    return kit.value


def learn(path: Path) -> bool:
    """Let a task know the script's classes and functions of another kit too, where it has none of that name.

    Returns:
        Whether there were any: only in a task, if the kit is there.
    """
    if not is_task() or not path.exists():
        return False
    add_to_main(str(path.absolute()), read_kit(path, further=True).names)
    return True


def read_kit(path: Path, *, further: bool = False) -> Kit:
    """Read what ``pack`` wrote; modules that came along are importable afterwards. The Python version is
    checked before anything is unpickled.

    Args:
        path: The kit.
        further: Whether this process has another one, whose modules count.
    Raises:
        ConfigurationError: If another Python wrote it.
        CheckpointError: If it was damaged.
    """
    damage = "{} is gone or damaged ({}); start again, and it is packed anew."
    try:
        content = read_own(path, "pickled code")
    except OSError as error:
        raise CheckpointError(damage.format(path, error)) from error
    try:
        header_line, body = content.split(b"\n", 1)
        header = json.loads(header_line)
    except ValueError as error:
        raise CheckpointError(damage.format(path, error)) from error
    if header["python"] != _python():
        raise ConfigurationError(
            f"{header['what']} was packed by Python {header['python']} and this is Python {_python()}; "
            "use the same Python version on the nodes as where the calibration was started."
        )
    if header.get("digest") not in (None, sha256(body).hexdigest()):  # 0.1.0 wrote none
        raise CheckpointError(f"{path} was changed after it was packed; start again, and it is packed anew.")
    if header["schema"] == _NO_CODE:
        return Kit(pickle.loads(body))
    stream = io.BytesIO(body)
    own, texts = pickle.load(stream)
    install(own, own_dumps, further=further)
    for file, text in texts.items():
        show_source(file, text)
    pickles = pickle.Unpickler(stream)  # one for all: they refer to one another
    value, names = pickles.load(), {}
    while stream.tell() < len(body):
        names.update(pickles.load())
    return Kit(value, names)


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
