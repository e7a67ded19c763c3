"""What a calibration depends on, part by part, so that a restart can say what has changed.

Whether anything has changed is decided by fingerprints of the whole; this is for people.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from caf_core.calibration.fingerprint import fingerprint
from caf_core.conditions.chain import Chain
from caf_core.conditions.validity import effect
from caf_core.control import prints
from caf_core.control.resolved import Resolved, ResolvedAlgorithm, ResolvedCollection
from caf_core.control.store.store import CheckpointStore
from caf_core.json_text import json_text

_KEY = "parts of {}"
"""The key among the settings of a checkpoint, of a calibration's name."""
_LISTED = 3

Parts = Mapping[str, Mapping[str, str]]
"""By kind, such as "input file" or "constant": name -> fingerprint. A kind that ends with a colon, such as
"code:", is one thing without names."""


@frozen
class Depends:
    """What collecting depends on, and what the algorithms depend on beside it."""

    collect: Parts
    algorithms: Parts


def depends(one: Resolved, chain: Chain) -> Depends:
    """What a calibration depends on now.

    Args:
        one: The calibration.
        chain: All databases that it sees in iteration 0.
    """
    found: dict[str, dict[str, str]] = {"constant": _constants(chain)}
    if one.own:
        found["code or attributes:"] = {"": prints.own_print(one.calibration)}
        return Depends(found, {})
    ignored = sorted(map(str, one.selection.ignored))
    found["ignored run"] = dict.fromkeys(ignored, "")
    found["requested interval:"] = {"": str(one.selection.requested)}
    for part in one.collections:
        _add(found, _of_collection(part), part.name if len(one.collections) > 1 else "")
    algorithms: dict[str, dict[str, str]] = {}
    for algorithm in one.algorithms:
        _add(algorithms, _of_algorithm(algorithm), f"algorithm {algorithm.name!r}")
    return Depends(found, algorithms)


def _add(found: dict[str, dict[str, str]], parts: Parts, owner: str) -> None:
    for kind, names in parts.items():
        whose = f"{kind.rstrip(':')} of {owner}" if owner else kind.rstrip(":")
        key = whose + (":" if kind.endswith(":") else "")
        found.setdefault(key, {}).update(names)


def _constants(chain: Chain) -> dict[str, str]:
    entries = [entry for database in reversed(chain.databases) for entry in database.entries()]
    by_name: dict[str, list[Any]] = {}
    for entry in entries:
        by_name.setdefault(entry.name, []).append(entry)
    return {name: effect(of_name) for name, of_name in by_name.items()}


def _of_collection(part: ResolvedCollection) -> Parts:
    collection = part.collection
    return {
        "input file": {name: prints.file_print(name).removeprefix(name) for name in part.files.files},
        "collector:": {"": fingerprint(collection.collector)},
        "parameter": {str(key): fingerprint(value) for key, value in collection.params.items()},
        "output patterns:": {"": fingerprint(collection.output_patterns)},
        "granularity:": {"": collection.granularity},
        "min_fraction:": {"": str(collection.min_fraction)},
        "program": {str(path): prints.file_print(str(path)) for path in prints.program_files(part)},
    }


def _of_algorithm(part: ResolvedAlgorithm) -> Parts:
    algorithm = part.algorithm
    return {
        "code:": {"": fingerprint(algorithm.algorithm, algorithm.data_input, algorithm.pre_algorithm)},
        "parameter": {str(key): fingerprint(value) for key, value in part.params.items()},
        "strategy:": {"": fingerprint(part.strategy)},
    }


def keep(store: CheckpointStore, name: str, now: Depends) -> None:
    """Write down what a calibration depends on."""
    table, key = store.models.Setting, _KEY.format(name)
    value = json_text([now.collect, now.algorithms])
    row = table.get_or_none(table.key == key)
    if row is None or row.value != value:  # also if only the order of files is another one
        with store.batch():
            table.replace(key=key, value=value).execute()


def kept(store: CheckpointStore, name: str) -> Depends | None:
    """What was written down last; nothing if that was an older caf, which did not."""
    table = store.models.Setting
    row = table.get_or_none(table.key == _KEY.format(name))
    return None if row is None else Depends(*json.loads(row.value))


def told(old: Parts, new: Parts) -> str:
    """What is different, in a few words; nothing if it is unknown."""
    found = []
    for kind in dict.fromkeys((*old, *new)):
        before, after = old.get(kind, {}), new.get(kind, {})
        if kind.endswith(":"):
            found += [kind.rstrip(":")] if before != after else []
            continue
        for what, names in (
            ("changed", [name for name in before if name in after and before[name] != after[name]]),
            ("removed", [name for name in before if name not in after]),
            ("added", [name for name in after if name not in before]),
        ):
            if names:
                found.append(_worded(kind, names, what))
        if kind.startswith("input file") and list(before) != list(after) and set(before) == set(after):
            found.append("order of the input files")
    return "; ".join(found)


def _worded(kind: str, names: Sequence[str], what: str) -> str:
    noun, _, owner = kind.partition(" of ")
    owner = f" of {owner}" if owner else ""
    if len(names) == 1:
        return f"{noun} {names[0]}{owner} {what}"
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{len(names)} {noun}s{owner} {what} ({', '.join(names[:_LISTED])}{more})"
