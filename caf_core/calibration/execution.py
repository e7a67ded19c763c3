"""What is executed in processes of their own: a collector's task, an algorithm's execution, a search for
boundaries.

Each function is the ``entry`` of a ``Call``; its working directory is the attempt's own. The objects that
it needs lie in a *kit*, a pickle
that the controller packs once; what differs from task to task comes as arguments.
"""

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from caf_core.calibration.algorithm import Algorithm, AlgorithmContext, Outcome
from caf_core.calibration.collected import read_index
from caf_core.calibration.collector import AnyCollector, CollectorContext, RunSelection, collect_function
from caf_core.calibration.files import write_json
from caf_core.calibration.shipping import pack, unpack
from caf_core.conditions.chain import Chain
from caf_core.conditions.codecs import Codecs
from caf_core.conditions.database import ConditionsDatabase
from caf_core.conditions.finite import not_finite
from caf_core.conditions.payload import Payload
from caf_core.conditions.provenance import Provenance
from caf_core.errors import AlgorithmError
from caf_core.iov import ExpRun, IoV

OUTCOME_FILE = "outcome.json"
_MESSAGE_LIMIT = 4000


@frozen
class Doors:
    """How another process opens databases and reads payloads: the dotted names of codecs and of openers."""

    codecs: tuple[str, ...] = ()
    openers: Mapping[str, str] = {}

    def chain(self, urls: Sequence[str]) -> Chain:
        """Open a chain that was described by its URLs."""
        # Imported only when a URL of that scheme comes, as some bring a database library with them.
        openers = {scheme: partial(_open, name) for scheme, name in self.openers.items()}
        return Chain.from_description(list(urls), openers or None, self.open_codecs())

    def open_codecs(self) -> Codecs:
        """The codecs, those of plugins first."""
        return Codecs([_named(name)() for name in self.codecs])


def dotted(value: Callable[..., Any] | type) -> str:
    """``module:name`` of a class or function."""
    return f"{value.__module__}:{value.__qualname__}"


def _open(name: str, url: str) -> ConditionsDatabase:
    database: ConditionsDatabase = _named(name)(url)
    return database


def _named(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


@frozen
class CollectKit:
    """What every task of a collection shares."""

    collector: AnyCollector | None
    params: Mapping[str, Any]
    calibration: str
    collection: str

    def pack(self) -> bytes:
        """For ``unpack``."""
        return pack(
            self, f"the collector of calibration {self.calibration!r}, collection {self.collection!r},"
        )


@frozen
class AlgorithmKit:
    """What every execution of an algorithm shares."""

    algorithm: Algorithm
    params: Mapping[str, Any]
    calibration: str

    def pack(self) -> bytes:
        """For ``unpack``."""
        return pack(self, f"the algorithm {self.algorithm.name!r} of calibration {self.calibration!r}")


def collect(
    kit: str, selection: Mapping[str, Any], iteration: int, chain: Sequence[str], doors: Mapping[str, Any]
) -> None:
    """Execute a Python collector on the input files of this task."""
    shared: CollectKit = unpack(Path(kit))
    context = CollectorContext(
        input_files=_input_files(),
        selection=RunSelection.from_json(selection),
        conditions=Doors(**doors).chain(chain),
        params=shared.params,
        iteration=iteration,
        output_dir=Path.cwd(),
        calibration=shared.calibration,
        collection=shared.collection,
    )
    collect_function(shared.collector)(context)
    context.finish(kit)


def _input_files() -> tuple[str, ...]:
    path = Path("input_files.json")  # A task without input files has none.
    return tuple(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else ()


def calibrate(
    kit: str,
    index: str,
    runs: Sequence[Sequence[int]],
    iov: str,
    iteration: int,
    chain: Sequence[str],
    doors: Mapping[str, Any],
) -> None:
    """Execute an algorithm once, and leave ``outcome.json`` and its payloads."""
    shared: AlgorithmKit = unpack(Path(kit))
    opened = Doors(**doors)
    context = _context(shared, index, runs, IoV.parse(iov), iteration, opened.chain(chain))
    _prepare(shared.algorithm, context)
    outcome = shared.algorithm.function(context)
    if not isinstance(outcome, Outcome):
        raise AlgorithmError(
            f"algorithm {shared.algorithm.name!r} returned {type(outcome).__name__}; calibrate() returns "
            f"an Outcome.",
            calibration=shared.calibration,
            iteration=iteration,
            iov=iov,
        )
    _leave(outcome, context.iov, opened.open_codecs(), context)


def find_boundaries(
    kit: str,
    index: str,
    runs: Sequence[Sequence[int]],
    iteration: int,
    chain: Sequence[str],
    doors: Mapping[str, Any],
) -> None:
    """Ask an algorithm which runs begin a new payload, and leave the answer in ``outcome.json``."""
    shared: AlgorithmKit = unpack(Path(kit))
    context = _context(shared, index, runs, IoV(), iteration, Doors(**doors).chain(chain))
    algorithm = shared.algorithm.algorithm
    _prepare(shared.algorithm, context)
    if callable(getattr(algorithm, "find_payload_boundaries", None)):
        boundaries = [ExpRun(*run) for run in algorithm.find_payload_boundaries(context, context.runs)]
    elif callable(getattr(algorithm, "is_boundary_required", None)):
        boundaries = [run for run in context.runs if algorithm.is_boundary_required(context, run)]
    else:
        raise AlgorithmError(
            f"algorithm {shared.algorithm.name!r} has neither find_payload_boundaries nor "
            f"is_boundary_required; "
            "write one of them, or give the strategy payload_boundaries."
        )
    write_json(Path(OUTCOME_FILE), {"boundaries": [[run.exp, run.run] for run in boundaries]})


def _context(
    shared: AlgorithmKit, index: str, runs: Sequence[Sequence[int]], iov: IoV, iteration: int, chain: Chain
) -> AlgorithmContext:
    return AlgorithmContext(
        runs=tuple(ExpRun(exp, run) for exp, run in runs),
        iov=iov,
        conditions=chain,
        params=shared.params,
        iteration=iteration,
        directory=Path.cwd(),
        calibration=shared.calibration,
        outputs=read_index(Path(index)),
        data_input=shared.algorithm.data_input,
    )


def _prepare(algorithm: Algorithm, context: AlgorithmContext) -> None:
    settings = getattr(algorithm.algorithm, "apply_experiment_settings", None)
    if callable(settings):
        settings(context.experiment)
    if algorithm.pre_algorithm is not None:
        algorithm.pre_algorithm(algorithm.algorithm, context)


def _leave(outcome: Outcome, iov: IoV, codecs: Codecs, context: AlgorithmContext) -> None:
    """Write payloads first and ``outcome.json`` last, so that an outcome is complete when it is there."""
    folder = Path("payloads")
    rows: list[list[str | None]] = []
    bad: dict[str, list[tuple[str, bool]]] = {}
    for payload in outcome.payloads if outcome.result.success else ():
        stored = codecs.encode(_with_iov(payload, iov), Provenance())
        folder.mkdir(exist_ok=True)
        name = f"{len(rows)}.{stored.suffix}"
        (folder / name).write_bytes(stored.data)
        own = str(payload.iov) if payload.iov is not None else None
        if found := not_finite(payload.content):
            bad.setdefault(stored.entry.name, []).extend((one.text, one.channels) for one in found)
        rows.append([stored.entry.name, stored.entry.revision, stored.suffix, f"payloads/{name}", own])
    write_json(
        Path(OUTCOME_FILE),
        {
            "result": str(outcome.result),
            "message": outcome.message[:_MESSAGE_LIMIT],
            "metrics": {name: [metric.value, metric.tolerance] for name, metric in outcome.metrics.items()},
            "payloads": rows,
            "not_finite": bad,
            "entries": context_entries(context),
            "constants": context.conditions.read(),
        },
    )


def context_entries(context: AlgorithmContext) -> int:
    """The entries that an execution had at hand."""
    plain = evolve(context, data_input=None)
    return int(plain.data().entries)


def _with_iov(payload: Payload, iov: IoV) -> Payload:
    return payload if payload.iov is not None else evolve(payload, iov=iov)
