"""Which runs are in which input files: finding out once, for a file that calibrations take.

A map is a JSON file (``{"schema": 1, "iovs": {path: "exp,run,exp,run"}}``, readable and editable) or a pickle
of ``{path: IoV}``; the suffix decides.
"""

import functools
import io
import json
import os
import pickle
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from caf_core.calibration.files import write_atomically
from caf_core.errors import CafError, ConfigurationError
from caf_core.iov import IoV, as_iov
from caf_core.json_text import json_text
from caf_core.text import clause

SCHEMA = 1
PICKLES = (".pkl", ".pickle")

DEFAULT_PATTERN = r"(?:^|/)e(?P<exp>\d+)/(?:.*/)?r(?P<run>\d+)(?:/|\.|_|$)"
"""Paths such as ``.../e0003/4S/r00042/file.root``."""

Found = list[str]
"""IoV and complaint of one file; one of them is empty. Lists, because they travel as JSON."""


class _Unpickler(pickle.Unpickler):
    """Reads maps, which may be anybody's: names, runs and intervals, and nothing that executes code.

    The intervals of maps that ``b2caf-filemap`` of basf2 wrote become tuples, without basf2.
    """

    def find_class(self, module: str, name: str) -> Any:
        """See ``pickle.Unpickler``."""
        if (module, name) == ("caf.utils", "IoV"):
            return _FormerIoV
        if (module.partition(".")[0], name) not in _IN_MAPS:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no file, run or interval")
        return super().find_class(module, name)


_IN_MAPS = frozenset(
    {
        ("caf_core", "IoV"),
        ("caf_core", "ExpRun"),
        ("collections", "OrderedDict"),
        ("copyreg", "_reconstructor"),  # this and the next three stand in the oldest form of pickles
        ("copy_reg", "_reconstructor"),
        ("__builtin__", "tuple"),
        ("__builtin__", "object"),
        ("numpy", "dtype"),
        ("numpy", "scalar"),
        ("pathlib", "PosixPath"),
        ("pathlib", "PurePosixPath"),
    }
)
"""What a map may be made of beside plain values: package and name."""


class _FormerIoV(tuple[int, ...]):
    def __new__(cls, *numbers: int) -> "_FormerIoV":
        return super().__new__(cls, numbers)


def load(path: str | Path) -> dict[str, IoV]:
    """Read a map.

    Args:
        path: A file that ``save`` or ``caf filemap`` wrote, or that somebody wrote by hand.
    Returns:
        Path or URI of a file -> its interval.
    Raises:
        ConfigurationError: If it cannot be read, or is no such map.
    """
    file = Path(path)
    try:
        if file.suffix in PICKLES:
            content: Any = _Unpickler(io.BytesIO(file.read_bytes())).load()
        else:
            content = json.loads(file.read_text(encoding="utf-8"))
            content = content.get("iovs", content) if isinstance(content, Mapping) else content
    except OSError as error:
        raise ConfigurationError(
            f"the file map {file} cannot be read: {error.strerror}; correct its name."
        ) from error
    except Exception as error:
        raise ConfigurationError(
            f"{file} is no file map ({type(error).__name__}: {clause(error)}); make one with caf filemap."
        ) from error
    if not isinstance(content, Mapping):
        raise ConfigurationError(
            f"{file} is no file map, but a {type(content).__name__}; make one with caf filemap."
        )
    return as_map(content, f"the file map {file}")


def as_map(content: Mapping[Any, Any], what: str) -> dict[str, IoV]:
    """A map whose intervals are ``IoV``s, texts, four numbers, two runs, or one run.

    Args:
        content: Path or URI of a file -> its interval.
        what: What it is, for messages.
    Raises:
        ConfigurationError: If it is no map, or one of its intervals is none; names it.
    """
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"{what} is no table of files and intervals, but {content!r}; correct it.")
    return {os.fsdecode(name): _iov(value, name, what) for name, value in content.items()}


def save(path: str | Path, iovs: Mapping[str, IoV]) -> None:
    """Write a map, as a whole or not at all."""
    file = Path(path)
    if file.suffix in PICKLES:
        data = pickle.dumps(dict(iovs))
    else:
        content = {"schema": SCHEMA, "iovs": {name: str(iov) for name, iov in iovs.items()}}
        # In ASCII, so that names with undecodable bytes survive.
        data = json_text(content, indent=1).encode("ascii") + b"\n"
    write_atomically(file, data)


def _iov(value: Any, name: object, what: str) -> IoV:
    try:
        if isinstance(value, IoV | str):
            return as_iov(value)
        numbers = [number for item in value for number in (item if isinstance(item, Sequence) else [item])]
        return as_iov(numbers * 2 if len(numbers) == 2 else numbers)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{what} gives {name!r} the interval {value!r}, which is none ({clause(error)}); correct it."
        ) from error


def by_path(name: str, pattern: str = DEFAULT_PATTERN, experiment: int | None = None) -> IoV:
    """The run of a file, as its path tells it.

    Args:
        name: The path.
        pattern: Regular expression with the groups ``exp`` and ``run``.
        experiment: The experiment; the group ``exp`` is not needed then.
    Raises:
        ConfigurationError: If the path does not match.
    """
    match = re.search(pattern, name)
    if match is None:
        raise ConfigurationError("its path does not match the pattern")
    numbers = (str(experiment) if experiment is not None else match["exp"] or "", match["run"] or "")
    if not all(number.isdecimal() for number in numbers):
        raise ConfigurationError(f"the groups exp and run of the pattern are {numbers}, and not two numbers")
    exp, run = map(int, numbers)
    return IoV(exp, run, exp, run)


def check_pattern(pattern: str, experiment: int | None = None) -> None:
    """Refuse a regular expression that cannot serve ``by_path`` with the same arguments.

    Raises:
        ConfigurationError: If it is none, or lacks one of the groups.
    """
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ConfigurationError(f"{pattern!r} is no regular expression: {error}; correct it.") from error
    missing = ({"exp", "run"} if experiment is None else {"run"}) - set(groups)
    if missing:
        raise ConfigurationError(
            f"{pattern!r} has no group {' and '.join(sorted(missing))}; write (?P<exp>\\d+) and "
            "(?P<run>\\d+) in it."
        )


@functools.cache
def _registry() -> Any:
    from caf_core.plugins.registry import Registry

    return Registry.load()


def by_metadata(names: Iterable[str], experiment: int | None = None) -> list[Found]:
    """Ask the plugins for the runs of files; one that cannot be read gets a complaint in place of an
    interval.

    Args:
        names: The files.
        experiment: The experiment of files that do not tell it.
    """
    unknown = "no plugin can tell its runs"
    if experiment is None:
        unknown += " (for files that tell runs but no experiment, such as NanoAOD: --experiment N)"
    found: list[Found] = []
    for name in names:
        try:
            iov = _registry().iov_of_file(name, experiment)
        except CafError as error:
            found.append(["", str(error)])
        else:
            found.append([str(iov), ""] if iov is not None else ["", unknown])
    return found
