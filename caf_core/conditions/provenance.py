"""Where a payload came from."""

import math
from collections.abc import Mapping
from typing import Any

from attrs import asdict, field, fields, frozen


@frozen(kw_only=True)
class Provenance:
    """The origin of a payload. It stands beside the payload and never changes its revision.

    Args:
        calibration: The calibration's name.
        iteration: Its iteration, from 0; ``None`` if the payload does not come from one.
        algorithm: The algorithm's name.
        code_version: Version of the code that made it.
        inputs: What it was made from: runs, files, fingerprints.
        parameters: The parameters of algorithm and strategy.
        convergence: How the iteration ended: ``converged``, ``max_iterations``, ``oscillating``,
            ``diverging``.
        missing: What should have been among the inputs and was not.
        notes: Anything else worth keeping.
    """

    calibration: str = ""
    iteration: int | None = None
    algorithm: str = ""
    code_version: str = ""
    inputs: Mapping[str, Any] = field(factory=dict)
    parameters: Mapping[str, Any] = field(factory=dict)
    convergence: str = ""
    missing: tuple[str, ...] = ()
    notes: Mapping[str, Any] = field(factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON values; anything else is kept as its ``repr``, because a remark must never stop a commit."""
        return {name: _plain(value) for name, value in asdict(self, recurse=False).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Provenance":
        """The opposite of ``to_json``; facts that a newer version wrote are kept among the notes."""
        known = {attribute.name for attribute in fields(cls)}
        facts = {name: value for name, value in values.items() if name in known}
        facts["missing"] = tuple(facts.get("missing", ()))
        unknown = {name: value for name, value in values.items() if name not in known}
        facts["notes"] = {**facts.get("notes", {}), **unknown}
        return cls(**facts)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=repr)
    return repr(value)
