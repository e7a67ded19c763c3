"""Executing a user's script as ``__main__``, as the interpreter itself would."""

import builtins
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType, TracebackType

from caf_core.cli.base import shown
from caf_core.errors import ConfigurationError
from caf_core.text import clause


class ScriptError(ConfigurationError):
    """The script itself raised an exception."""


def execute_script(script: Path, arguments: Sequence[str]) -> None:
    """Execute a script.

    Args:
        script: The file.
        arguments: Its ``sys.argv`` behind its name.
    Raises:
        BaseException: Whatever the script raises, ``SystemExit`` included.
        ScriptError: If it is no Python.
    """
    try:
        code = compile(script.read_bytes(), str(script.absolute()), "exec")
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        place = f"{shown(script)}, line {line}" if line else shown(script)
        raise ScriptError(f"{place}: {clause(getattr(error, 'msg', error))}; correct the script.") from error
    with _as_main(script, arguments) as namespace:
        exec(code, namespace)  # noqa: S102 - executing the user's script is what this is for


@contextmanager
def _as_main(script: Path, arguments: Sequence[str]) -> Iterator[dict[str, object]]:
    """Let ``sys`` look as if the script had been started; classes in it belong to ``__main__`` and can be
    sent to other processes by value.
    """
    file = str(script.absolute())
    module = ModuleType("__main__")
    module.__dict__.update(
        __file__=file, __builtins__=builtins, __loader__=SourceFileLoader("__main__", file), __spec__=None
    )
    before = sys.modules["__main__"], sys.argv, list(sys.path)
    sys.modules["__main__"], sys.argv = module, [str(script), *arguments]
    folder = str(script.resolve().parent)
    # In place of the folder of the `caf` command, which is nobody's business.
    if sys.path and not sys.flags.safe_path and sys.path[0] == str(Path(before[1][0]).resolve().parent):
        sys.path[0] = folder
    else:
        sys.path.insert(0, folder)
    try:
        yield module.__dict__
    finally:
        sys.modules["__main__"], sys.argv, sys.path[:] = before


def script_error(script: Path, error: Exception) -> ScriptError:
    """An exception of the script as one sentence that names the line."""
    line = _line(script, error.__traceback__)
    place = f"{shown(script)}, line {line}" if line else shown(script)
    text = clause(f"{type(error).__name__}: {error}".removesuffix(": "))
    found = ScriptError(f"{place}: {text}; caf run --debug shows the whole traceback.")
    found.__cause__ = error
    return found


def _line(script: Path, trace: TracebackType | None) -> int | None:
    """The deepest line of the script in a traceback."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(trace) if frame.filename == str(script.absolute())
    ]
    return lines[-1] if lines else None
