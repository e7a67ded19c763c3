"""Where the payloads of an iteration came from: what its collectors had, and what its algorithms saw."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from attrs import field, fields, frozen

from caf_core.calibration.collected import RunsFile, TaskOutput
from caf_core.calibration.fingerprint import fingerprint
from caf_core.calibration.plans import Commit
from caf_core.conditions.provenance import Provenance, numbers_text
from caf_core.conditions.validity import effect
from caf_core.control import prints
from caf_core.control.context import Workshop
from caf_core.control.resolved import Resolved, ResolvedAlgorithm, ResolvedCollection
from caf_core.control.store.store import StoredExecution
from caf_core.iov import ExpRun

INPUTS_FILE = "inputs.json"


@frozen
class Inputs:
    """What the collectors of an iteration had, by collection.

    Args:
        collectors: The code version of each.
        parameters: Their parameters.
        databases: Where they looked for constants: [database, fingerprint].
        tasks: What every task had, in the canonical order.
    """

    collectors: dict[str, str] = field(factory=dict)
    parameters: dict[str, Any] = field(factory=dict)
    databases: dict[str, Any] = field(factory=dict)
    tasks: dict[str, list[dict[str, Any]]] = field(factory=dict)


class Notebook:
    """Takes down what collectors had, while their output is gathered.

    Args:
        shop: The controller's tools.
    """

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._inputs = Inputs()

    def collection(self, part: ResolvedCollection, chain: Sequence[str]) -> None:
        """Take down what all tasks of a collection have in common."""
        programs = [prints.file_print(str(path)) for path in prints.program_files(part)]
        self._inputs.collectors[part.name] = fingerprint(part.collection.collector, *programs)
        plain = Provenance(parameters=part.collection.params).record()
        self._inputs.parameters[part.name] = plain["parameters"]
        self._inputs.databases[part.name] = databases(self._shop, chain)
        self._inputs.tasks[part.name] = []

    def task(self, part: ResolvedCollection, task: Mapping[str, Any], runs: RunsFile) -> None:
        """Take down one task; they come in the canonical order."""
        found = {"files": list(task["input_files"]), "fingerprint": task["fingerprint"]}
        if runs.constants:
            found["constants"] = [[shown(self._shop, row[0]), *row[1:]] for row in runs.constants]
        self._inputs.tasks[part.name].append(found)

    def content(self) -> dict[str, Any]:
        """What ``read_inputs`` makes the same of again."""
        return {attribute.name: getattr(self._inputs, attribute.name) for attribute in fields(Inputs)}


def read_inputs(one: Resolved, iteration: int) -> Inputs:
    """What the collectors of an iteration had; nothing if caf 0.1.0 gathered it."""
    try:
        text = (one.collector_dir(iteration) / INPUTS_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return Inputs()
    return Inputs(**json.loads(text))


def databases(shop: Workshop, chain: Iterable[str]) -> list[list[str]]:
    """Where constants were looked for, in order, each with a fingerprint of what it says."""
    return [
        [shown(shop, database.url), effect(database.entries())[:16]]
        for database in shop.chain(chain).databases
    ]


def shown(shop: Workshop, url: str) -> str:
    """The name of a database for people: without a password, and relative inside the output directory."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        path = Path(unquote(parts.path))
        return str(path.relative_to(shop.output_dir)) if path.is_relative_to(shop.output_dir) else str(path)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}").geturl()


class Origins:
    """Makes the origins of what an iteration commits.

    Args:
        shop: The controller's tools.
        one: The calibration.
        iteration: Its iteration.
        outputs: What the collectors left.
        missing: What they did not deliver.
    """

    def __init__(
        self,
        shop: Workshop,
        one: Resolved,
        iteration: int,
        outputs: Sequence[TaskOutput],
        missing: Sequence[str],
    ) -> None:
        self._shop, self._one, self._iteration = shop, one, iteration
        self._missing = tuple(missing)
        self._inputs = read_inputs(one, iteration)
        self._tasks: dict[ExpRun, list[tuple[str, int]]] = {}
        numbers: dict[str, int] = {}
        for out in outputs:
            number = numbers[out.collection] = numbers.get(out.collection, -1) + 1
            for run in out.runs:
                self._tasks.setdefault(run, []).append((out.collection, number))
        self._seen: dict[int, list[list[str]]] = {}
        self._code: dict[int, str] = {}

    def origin(
        self, part: ResolvedAlgorithm, commit: Commit, execution: StoredExecution, chain: Sequence[str]
    ) -> Provenance:
        """Where the payloads of a commit came from.

        Args:
            part: The algorithm.
            commit: The commit.
            execution: The execution that answered.
            chain: The databases that the algorithm saw.
        """
        if part.index not in self._code:
            self._code[part.index] = prints.code_print(part)
            self._seen[part.index] = databases(self._shop, chain)
        answer = execution.answer
        return Provenance(
            calibration=self._one.name,
            iteration=self._iteration,
            algorithm=part.name,
            code_version=self._code[part.index],
            inputs={
                "runs": [[run.exp, run.run] for run in commit.runs],
                "entries": answer.get("entries"),
                "tasks": self._tasks_of(commit.runs),
                "collectors": self._inputs.collectors,
                "databases": {"algorithm": self._seen[part.index], "collectors": self._inputs.databases},
                "constants": [[shown(self._shop, row[0]), *row[1:]] for row in answer.get("constants", ())],
            },
            parameters={
                "algorithm": dict(part.params),
                "strategy": _strategy(part),
                "collectors": self._inputs.parameters,
            },
            missing=self._missing,
            notes={
                "metrics": answer.get("metrics", {}),
                "message": execution.message,
                "result": execution.result,
                "reason": commit.reason,
                **({"kept_for": [[run.exp, run.run] for run in commit.kept]} if commit.kept else {}),
                "software": software(),
                "not_finite": answer.get("not_finite", {}),
            },
            tasks=self._inputs.tasks,
        )

    def _tasks_of(self, runs: Iterable[ExpRun]) -> dict[str, str]:
        found: dict[str, set[int]] = {name: set() for name in self._inputs.tasks}
        for run in runs:
            for collection, number in self._tasks.get(run, ()):
                found.setdefault(collection, set()).add(number)
        return {name: numbers_text(numbers) for name, numbers in found.items()}


def _strategy(part: ResolvedAlgorithm) -> dict[str, Any]:
    kind = type(part.strategy)
    values = {attribute.name: getattr(part.strategy, attribute.name) for attribute in fields(kind)}
    return {"name": kind.__name__, **values}


@cache
def software() -> dict[str, str]:
    """The versions of Python, of caf, and of the distributions that bring its plugins."""
    found = {"python": ".".join(map(str, sys.version_info[:3])), "caf-core": version("caf-core")}
    for point in entry_points(group="caf"):
        if point.dist is not None:
            found[point.dist.name] = point.dist.version
    return dict(sorted(found.items()))
