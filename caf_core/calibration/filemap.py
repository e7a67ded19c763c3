"""Which runs are in which input files: finding out once, for a file that calibrations take.

A map is a JSON file (``{"schema": 1, "iovs": {path: "exp,run,exp,run"}}``, readable and editable) or a pickle
of ``{path: IoV}``; the suffix decides.
"""

import functools
import json
import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from caf_core.calibration.files import write_atomically
from caf_core.errors import CafError, ConfigurationError
from caf_core.iov import IoV

SCHEMA = 1
PICKLES = (".pkl", ".pickle")

DEFAULT_PATTERN = r"(?:^|/)e(?P<exp>\d+)/(?:.*/)?r(?P<run>\d+)(?:/|\.|_|$)"
"""Paths such as ``.../e0003/4S/r00042/file.root``."""

Found = list[str]
"""IoV and complaint of one file; one of them is empty. Lists, because they travel as JSON."""


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
            content: Any = pickle.loads(file.read_bytes())
        else:
            content = json.loads(file.read_text(encoding="utf-8"))
            content = content.get("iovs", content) if isinstance(content, Mapping) else content
    except OSError as error:
        raise ConfigurationError(
            f"the file map {file} cannot be read: {error.strerror}; correct its name."
        ) from error
    except Exception as error:
        raise ConfigurationError(
            f"{file} is no file map ({type(error).__name__}: {error}); make one with caf filemap."
        ) from error
    if not isinstance(content, Mapping):
        raise ConfigurationError(
            f"{file} is no file map, but a {type(content).__name__}; make one with caf filemap."
        )
    return {str(name): _iov(value, name, file) for name, value in content.items()}


def save(path: str | Path, iovs: Mapping[str, IoV]) -> None:
    """Write a map, as a whole or not at all."""
    file = Path(path)
    if file.suffix in PICKLES:
        data = pickle.dumps(dict(iovs))
    else:
        content = {"schema": SCHEMA, "iovs": {name: str(iov) for name, iov in iovs.items()}}
        # In ASCII, so that names with undecodable bytes survive.
        data = json.dumps(content, indent=1).encode("ascii") + b"\n"
    write_atomically(file, data)


def _iov(value: Any, name: object, file: Path) -> IoV:
    try:
        if isinstance(value, IoV):
            return value
        if isinstance(value, str):
            return IoV.parse(value)
        exp_low, run_low, exp_high, run_high = value
        return IoV(exp_low, run_low, exp_high, run_high)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"the file map {file} gives {name!r} the interval {value!r}, which is none ({error}); correct it."
        ) from error


def by_path(name: str, pattern: str = DEFAULT_PATTERN) -> IoV:
    """The run of a file, as its path tells it.

    Args:
        name: The path.
        pattern: Regular expression with the groups ``exp`` and ``run``.
    Raises:
        ConfigurationError: If the path does not match.
    """
    match = re.search(pattern, name)
    if match is None:
        raise ConfigurationError("its path does not match the pattern")
    numbers = (match["exp"] or "", match["run"] or "")
    if not all(number.isdecimal() for number in numbers):
        raise ConfigurationError(f"the groups exp and run of the pattern are {numbers}, and not two numbers")
    exp, run = map(int, numbers)
    return IoV(exp, run, exp, run)


def check_pattern(pattern: str) -> None:
    """Refuse a regular expression that cannot serve ``by_path``.

    Raises:
        ConfigurationError: If it is none, or lacks one of the groups.
    """
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ConfigurationError(f"{pattern!r} is no regular expression: {error}; correct it.") from error
    missing = {"exp", "run"} - set(groups)
    if missing:
        raise ConfigurationError(
            f"{pattern!r} has no group {' and '.join(sorted(missing))}; write (?P<exp>\\d+) and "
            "(?P<run>\\d+) in it."
        )


@functools.cache
def _registry() -> Any:
    from caf_core.plugins.registry import Registry

    return Registry.load()


def by_metadata(names: Iterable[str]) -> list[Found]:
    """Ask the plugins for the runs of files; one that cannot be read gets a complaint in place of an
    interval."""
    found: list[Found] = []
    for name in names:
        try:
            iov = _registry().iov_of_file(name)
        except CafError as error:
            found.append(["", str(error)])
        else:
            found.append([str(iov), ""] if iov is not None else ["", "no plugin knows this kind of file"])
    return found
