"""Fingerprints of calibrations and their tasks: what a restart compares with the checkpoint."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import caf_core.calibration.fingerprint as fingerprints
from caf_core.calibration.calibration import CalibrationBase
from caf_core.calibration.collection import Collection
from caf_core.calibration.collector import CommandCollector, RunSelection
from caf_core.control.resolved import Resolved, ResolvedAlgorithm, ResolvedCollection
from caf_core.jobs.input_names import is_uri


def file_print(name: str) -> str:
    """What identifies the content of an input file without reading it: name, size and time of the last
    change."""
    if is_uri(name):
        return name
    try:
        status = Path(name).stat()
    except OSError:
        return f"{name}|missing"
    return f"{name}|{status.st_size}|{status.st_mtime_ns}"


def collection_print(one: Resolved, part: ResolvedCollection, selection: RunSelection | None = None) -> str:
    """What every task of a collection depends on, apart from its own files and the constants.

    Args:
        one: The calibration.
        part: The collection.
        selection: Which runs are wanted; those that the calibration wants, if left out.
    """
    selection = one.selection if selection is None else selection
    key = f"collection {part.name} {selection}"
    if key not in one.prints:
        one.prints[key] = _collection_print(part, part.collection, selection)
    return one.prints[key]


def _collection_print(part: ResolvedCollection, collection: Collection, selection: RunSelection) -> str:
    return fingerprints.fingerprint(
        part.name,
        collection.collector,
        collection.params,
        collection.output_patterns,
        sorted(selection.ignored),
        str(selection.requested),
        [file_print(str(path)) for path in program_files(part)],
    )


def program_files(part: ResolvedCollection) -> Sequence[Path]:
    """The files that a command consists of: those that it is given, and scripts among its words."""
    collector = part.collection.collector
    if not isinstance(collector, CommandCollector):
        return ()
    words = [Path(word) for word in collector.cmd if os.path.isabs(word)]  # noqa: PTH117 - any word will do
    return [*collector.sandbox, *(path for path in words if path.is_file())]


def own_print(calibration: CalibrationBase) -> str:
    """What a user's own calibration does: its class, and its attributes without those that a CAF sets."""
    attributes = {**vars(calibration)}
    for name in (
        "dependencies",
        "state",
        "output_dir",
        "iov",
        "conditions",
        "dependency_databases",
        "_counter",
    ):
        attributes.pop(name, None)
    return fingerprints.fingerprint(type(calibration), attributes)


def collect_print(one: Resolved, constants: str) -> str:
    """What the collected data of a calibration depend on in iteration 0.

    Args:
        one: The calibration.
        constants: Fingerprint of the databases that its collectors see.
    """
    parts = [
        [
            collection_print(one, part),
            [file_print(name) for name in part.files.files],
            part.collection.granularity,
            part.collection.min_fraction,
        ]
        for part in one.collections
    ]
    return fingerprints.fingerprint(parts, constants)


def code_print(part: ResolvedAlgorithm) -> str:
    """What the code of an algorithm does, without its parameters."""
    algorithm = part.algorithm
    return fingerprints.fingerprint(algorithm.algorithm, algorithm.data_input, algorithm.pre_algorithm)


def algorithm_print(one: Resolved, part: ResolvedAlgorithm) -> str:
    """What an algorithm's answers depend on, apart from its data and the constants."""
    key, algorithm = f"algorithm {part.name}", part.algorithm
    if key not in one.prints:
        one.prints[key] = fingerprints.fingerprint(
            algorithm.algorithm, part.params, algorithm.data_input, algorithm.pre_algorithm, one.name
        )
    return one.prints[key]


def strategy_print(part: ResolvedAlgorithm) -> str:
    """What the strategy of an algorithm does."""
    return fingerprints.fingerprint(part.strategy)


def algorithms_print(one: Resolved) -> str:
    """What all algorithms of a calibration and their strategies do."""
    return fingerprints.fingerprint([[algorithm_print(one, part), part.strategy] for part in one.algorithms])


def combined(parts: Iterable[str]) -> str:
    """One fingerprint of many."""
    return fingerprints.fingerprint(list(parts))
