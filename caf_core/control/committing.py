"""Commits: what successful executions left becomes the constants of an iteration, and at the end those of
the calibration."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

from attrs import evolve

from caf_core.calibration.convergence import Convergence
from caf_core.calibration.files import write_json
from caf_core.calibration.journal import read_payload
from caf_core.calibration.plans import Result, Verdict
from caf_core.conditions.local import LocalDatabase
from caf_core.conditions.payload import Entry, StoredPayload
from caf_core.conditions.provenance import Provenance
from caf_core.control.account import Account, Interval
from caf_core.control.calibrating import AlgorithmsStep
from caf_core.control.context import Workshop
from caf_core.control.origins import Origins
from caf_core.control.resolved import Resolved, ResolvedAlgorithm
from caf_core.errors import AlgorithmError
from caf_core.iov import IoV


def commit(shop: Workshop, step: AlgorithmsStep, missing: Sequence[str]) -> None:
    """Make the iteration's database hold exactly what the algorithms that have ended committed.

    Repeating it changes nothing, so a crash in its middle does no harm.

    Raises:
        AlgorithmError: If two payloads of one name would overlap.
    """
    origins = Origins(shop, step.one, step.iteration, step.outputs, missing)
    items = [
        item for part in step.one.algorithms[: step.committed] for item in _payloads(step, part, origins)
    ]
    _refuse_overlaps(items, step)
    shop.crash("commit.before")
    database = LocalDatabase(step.one.iteration_database(step.iteration))
    # It can be made again from the recorded outcomes; what must be durable is what ``finish`` writes.
    database.write_encoded(items, packed=True, durable=False)
    shop.crash("commit.payloads.after")
    _write_gaps(step)
    shop.crash("commit.after")


def _payloads(step: AlgorithmsStep, part: ResolvedAlgorithm, origins: Origins) -> Iterable[StoredPayload]:
    for one in step.commits_of(part.index):
        execution = step.recorded[one.key]
        origin = origins.origin(part, one, execution, step.chain(part.index))
        for row in execution.answer["payloads"]:
            name, revision, suffix, _, own = row[:5]
            iov = IoV.parse(own) if own else one.iov
            yield StoredPayload(
                Entry(name, revision, iov), suffix, read_payload(execution.directory, row), origin
            )


def payload_rows(step: AlgorithmsStep) -> list[tuple[str, str, str, str]]:
    """The payloads of an iteration for the checkpoint: algorithm, name, revision, interval."""
    return [
        (part.name, row[0], row[1], row[4] or str(one.iov))
        for part in step.one.algorithms[: step.committed]
        for one in step.commits_of(part.index)
        for row in step.recorded[one.key].answer["payloads"]
    ]


def _refuse_overlaps(items: Sequence[StoredPayload], step: AlgorithmsStep) -> None:
    by_name: dict[str, list[StoredPayload]] = {}
    for item in items:
        by_name.setdefault(item.entry.name, []).append(item)
    for name, found in by_name.items():
        for first, second in pairwise(sorted(found, key=lambda item: item.entry.iov)):
            if first.entry.iov.overlaps(second.entry.iov):
                algorithms = sorted({first.provenance.algorithm, second.provenance.algorithm})
                raise AlgorithmError(
                    f"calibration {step.one.name!r}: two payloads called {name!r} would both be valid "
                    f"in part of {first.entry.iov} and {second.entry.iov} (given by "
                    f"{' and '.join(f'algorithm {algorithm!r}' for algorithm in algorithms)}); let "
                    "the algorithms give intervals that do not overlap, or different names.",
                    calibration=step.one.name,
                    iteration=step.iteration,
                )


def _write_gaps(step: AlgorithmsStep) -> None:
    """Leave ``<algorithm>_iov_gaps.json`` where runs have no payload."""
    folder = step.one.iteration_dir(step.iteration) / "algorithm_output"
    for part, verdict in zip(step.one.algorithms, step.verdicts, strict=False):
        path = folder / f"{part.name}_iov_gaps.json"
        if verdict.gaps:
            write_json(path, [{"iov": str(gap.iov), "reason": gap.reason} for gap in verdict.gaps])
        else:
            path.unlink(missing_ok=True)


_NOTES = 10
"""How many notes of an algorithm are printed; the reasons beside the payloads say the same of each."""


def tell_notes(step: AlgorithmsStep, told: set[str], say: Callable[[str], None]) -> None:
    """Say what strategies want people to be told, each of it once.

    Args:
        step: The algorithms of an iteration, ended.
        told: What was said before; what is said now is added.
        say: Tells the user a sentence.
    """
    for part, verdict in zip(step.one.algorithms, step.verdicts, strict=False):
        owner = f"{step.one.name}: algorithm {part.name!r}"
        new = [text for note in verdict.notes if (text := f"{owner}: {note}") not in told]
        told.update(new)
        for text in new[:_NOTES]:
            say(text)
        if len(new) > _NOTES:
            say(f"{owner}: {len(new) - _NOTES} more like this; the payloads' provenance gives all reasons")


def overall(step: AlgorithmsStep) -> Verdict:
    """How the algorithms of an iteration ended together."""
    verdicts = step.verdicts
    for part, verdict in zip(step.one.algorithms, verdicts, strict=False):
        if not verdict.result.success:
            words = verdict.message or str(verdict.result)
            return Verdict(Result.FAILURE, f"algorithm {part.name!r}: {words}")
    iterate = any(verdict.result is Result.ITERATE for verdict in verdicts)
    return Verdict(Result.ITERATE if iterate else Result.OK)


def finish(
    shop: Workshop,
    one: Resolved,
    iteration: int,
    account: Account,
    otherwise: Convergence = Convergence.CONVERGED,
) -> None:
    """Copy the constants of the last iteration to where dependents and users find them.

    Args:
        shop: The controller's tools.
        one: The calibration.
        iteration: Its last iteration.
        account: What that has come to.
        otherwise: How all stand if there is no account, as older versions left none.
    """
    shop.crash("finish.before")
    source = LocalDatabase(one.iteration_database(iteration))
    unconverged = account.by_payload()
    label = Convergence.CONVERGED if account.convergence else otherwise
    items = [evolve(item, provenance=_labelled(item, unconverged, label)) for item in source.items()]
    if not items:
        shop.say(f"{one.name}: its algorithms gave no payloads")
    LocalDatabase(one.final_database).write_encoded(items)
    shop.crash("finish.copied")


def _labelled(
    item: StoredPayload, unconverged: Mapping[tuple[str, str], Interval], label: Convergence
) -> Provenance:
    """Where a payload came from, and how its interval stands."""
    interval = unconverged.get((item.entry.name, str(item.entry.iov)))
    if interval is None:
        return evolve(item.provenance, convergence=str(label))
    notes = {**item.provenance.notes, "metrics_by_iteration": interval.metrics}
    return evolve(item.provenance, convergence=interval.convergence, notes=notes)
