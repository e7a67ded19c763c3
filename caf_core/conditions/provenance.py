"""Where a payload came from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import field, fields, frozen

from caf_core.json_text import json_values

_SHOWN = 20


@frozen(kw_only=True)
class Provenance:
    """The origin of a payload. It stands beside the payload and never changes its revision.

    Args:
        calibration: The calibration's name.
        iteration: Its iteration, from 0; ``None`` if the payload does not come from one.
        algorithm: The algorithm's name.
        code_version: Version of the code that made it.
        inputs: What it was made from: ``runs``; ``entries``; ``tasks``, by collection the numbers of the
            collectors' tasks that had data of these runs, as text (``"0-2,5"``); ``collectors``, by
            collection the code version of the collector; ``databases``, where collectors and algorithm looked
            for constants, each with a fingerprint of what it says; ``constants``, what the algorithm got from
            them: [database, name, revision].
        parameters: The parameters of algorithm and strategy, and by collection those of the collectors.
        convergence: How the iterations of its interval ended: ``converged``, ``max_iterations``,
            ``oscillating``, ``diverging``, ``not_finite``, ``failure``.
        missing: What should have been among the inputs and was not.
        notes: Anything else worth keeping.
        tasks: By collection, what every task was: ``files``, its ``fingerprint``, and the ``constants`` that
            it got. All payloads of an iteration share it, and a database keeps it once.
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
    tasks: Mapping[str, Sequence[Mapping[str, Any]]] = field(factory=dict, repr=False)

    @property
    def files(self) -> tuple[str, ...]:
        """The input files of the tasks that it was made from."""
        return tuple(str(file) for task in self._own_tasks() for file in task["files"])

    @property
    def collected_constants(self) -> tuple[tuple[str, str, str], ...]:
        """What the collectors of these tasks got from databases: (database, name, revision)."""
        found = {tuple(map(str, row)) for task in self._own_tasks() for row in task.get("constants", ())}
        return tuple(sorted((row[0], row[1], row[2]) for row in found))

    def _own_tasks(self) -> Iterator[Mapping[str, Any]]:
        for collection, numbers in self.inputs.get("tasks", {}).items():
            tasks = self.tasks.get(collection, ())
            yield from (tasks[number] for number in parse_numbers(numbers) if number < len(tasks))

    def record(self) -> dict[str, Any]:
        """JSON values without ``tasks``, as near as they come (see ``json_values``): a remark must never stop
        a commit."""
        return {name: json_values(value) for name, value in self.facts().items()}

    def facts(self) -> dict[str, Any]:
        """The facts as they are, without ``tasks``."""
        return {name: getattr(self, name) for name in _FACTS}

    def to_json(self) -> dict[str, Any]:
        """As ``record``, with ``files`` and ``collected_constants`` among the inputs in place of ``tasks``:
        the first 20 of each, and how many there are."""
        values = self.record()
        if self.tasks:
            for name, found in (("files", self.files), ("collected_constants", self.collected_constants)):
                values["inputs"] |= {name: json_values(found[:_SHOWN]), f"{name}_in_all": len(found)}
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Provenance":
        """The opposite of ``to_json``; facts that a newer version wrote are kept among the notes."""
        facts = dict(values)
        facts["missing"] = tuple(facts.get("missing", ()))
        if unknown := facts.keys() - _KNOWN:
            facts["notes"] = {**facts.get("notes", {}), **{name: facts.pop(name) for name in sorted(unknown)}}
        return cls(**facts)


_KNOWN = frozenset(one.name for one in fields(Provenance))
_FACTS = tuple(one.name for one in fields(Provenance) if one.name != "tasks")


def numbers_text(numbers: Iterable[int]) -> str:
    """Whole numbers as a text such as ``0-2,5``."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def parse_numbers(text: str) -> Iterator[int]:
    """The opposite of ``numbers_text``."""
    for part in text.split(",") if text else ():
        low, _, high = part.partition("-")
        yield from range(int(low), int(high or low) + 1)
