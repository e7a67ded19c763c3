"""The ledger of an iteration: what was executed, what was committed and why, and what has no constant.

It is what the checkpoint recorded, and what journals tell of plans that go on.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import field, frozen

from caf_core.calibration.journal import journals, read_journal
from caf_core.calibration.plans import Commit, commits_of
from caf_core.conditions.local import LocalDatabase
from caf_core.conditions.payload import Entry
from caf_core.conditions.provenance import Provenance
from caf_core.control.account import Account, Gap, read_account
from caf_core.control.reading.naming import execution_name, executions, is_over, plan_jobs
from caf_core.control.reading.overview import Reader
from caf_core.errors import PayloadError
from caf_core.iov import ExpRun, IoV


@frozen
class Tried:
    """An execution.

    Args:
        name: What it is called on the command line.
        key: Its key in the plan.
        runs: The runs whose data it had.
        iov: The interval for which it was executed; empty if it looked for boundaries.
        result: What came of it; empty if it has not ended.
        message: The algorithm's words.
        entries: The entries in its runs; ``None`` if nobody counted them.
        seconds: How long it took.
    """

    name: str
    key: str
    runs: tuple[ExpRun, ...]
    iov: str
    result: str
    message: str
    entries: int | None
    seconds: float | None


@frozen
class Held:
    """A payload of a commit.

    Args:
        name: Its name.
        revision: Its revision.
        iov: Where it holds.
        own: Whether the algorithm gave it this interval.
    """

    name: str
    revision: str
    iov: IoV
    own: bool


@frozen
class Ledger:
    """What one algorithm did in an iteration.

    Args:
        algorithm: Its name.
        executions: Oldest first.
        commits: By interval.
        payloads: By key of the commit.
        gaps: What has no constant, as far as it is known.
        account: What the iteration has come to; an empty one as long as it goes on.
        over: Whether the iteration's algorithms have ended.
        strategy: The strategy and its parameters, if that was kept.
    """

    algorithm: str
    executions: tuple[Tried, ...]
    commits: tuple[Commit, ...]
    payloads: Mapping[str, tuple[Held, ...]]
    gaps: tuple[Gap, ...]
    account: Account
    over: bool
    strategy: Mapping[str, Any] = field(factory=dict)


def last_iteration(store: Reader, calibration: str) -> int | None:
    """The last iteration in which an algorithm was executed."""
    found = [row[0] for row in store.rows(_LAST, (calibration, calibration))]
    return max((number for number in found if number is not None), default=None)


_LAST = """
    SELECT max(iteration) FROM execution WHERE calibration = ?
    UNION SELECT max(iteration) FROM job WHERE kind = 'execution' AND calibration = ?"""


def read_ledgers(store: Reader, calibration: str, iteration: int) -> tuple[Ledger, ...]:
    """The ledgers of all algorithms that have begun, in their order."""
    works = executions(store, calibration, iteration)
    over = is_over(store, calibration, iteration)
    account = read_account(store.directory, calibration, iteration) if over else Account()
    committed = _recorded(store, calibration, iteration) if over else _so_far(store, calibration, iteration)
    database = LocalDatabase(store.directory / calibration / str(iteration) / "algorithm_output" / "outputdb")
    by_algorithm: dict[str, list[Any]] = {}
    for work in works:
        by_algorithm.setdefault(work.name.rpartition("/")[0], []).append(work.execution)
    ledgers = []
    for algorithm, recorded in by_algorithm.items():
        answers = {one.key: one.answer or {} for one in recorded}
        commits = sorted((committed[key] for key in answers if key in committed), key=lambda one: one.iov)
        payloads = {one.key: tuple(_held(one, answers[one.key])) for one in commits}
        ledgers.append(
            Ledger(
                algorithm,
                tuple(_tried(algorithm, one) for one in recorded),
                tuple(commits),
                payloads,
                tuple(gap for gap in account.gaps if gap.algorithm == algorithm),
                account,
                over,
                _strategy(database, payloads.values()),
            )
        )
    return tuple(sorted(ledgers, key=lambda one: int(one.executions[0].key.partition("/")[0])))


def _tried(algorithm: str, one: Any) -> Tried:
    answer = one.answer or {}
    ended = "boundaries" if "boundaries" in answer else ""
    return Tried(
        name=execution_name(algorithm, one.key),
        key=one.key,
        runs=one.runs,
        iov=one.iov,
        result=str(answer.get("result", ended)),
        message=str(answer.get("message", "")),
        entries=answer.get("entries"),
        seconds=answer.get("seconds"),
    )


def _held(commit: Commit, answer: Mapping[str, Any]) -> Iterator[Held]:
    for row in answer.get("payloads", ()):
        yield Held(row[0], row[1], IoV.parse(row[4]) if row[4] else commit.iov, bool(row[4]))


def _recorded(store: Reader, calibration: str, iteration: int) -> dict[str, Commit]:
    """What an iteration that ended committed, by key."""
    table = store.models.Iteration
    row = table.get((table.calibration == calibration) & (table.number == iteration))
    return {one.key: one for rows in json.loads(row.commits).values() for one in commits_of(rows)}


def _so_far(store: Reader, calibration: str, iteration: int) -> dict[str, Commit]:
    """What the plans of an iteration have committed up to now, by key."""
    mine = [job for job in plan_jobs(store, calibration) if job.iteration == iteration]
    plans = {job.key: (job.name, _plan_of(store, job)) for job in mine}
    last = {job.name: plans[job.key] for job in mine}
    found: dict[str, Commit] = {}
    for job in mine:
        if plans[job.key] == last[job.name]:
            for folder in journals(store.place(job.directory)):
                found.update(read_journal(folder).commits)
    return found


def _plan_of(store: Reader, job: Any) -> str:
    """What tells the plan of a job from other ones: the file with the algorithm and its strategy."""
    try:
        return str(store.line(store.place(job.directory), 0)["call"]["arguments"]["algorithm"]["kit"])
    except (OSError, ValueError, LookupError, TypeError):
        return str(job.key)


def _strategy(database: LocalDatabase, payloads: Iterable[Iterable[Held]]) -> Mapping[str, Any]:
    """What the provenance of the first payload says of the strategy."""
    first = next((one for held in payloads for one in held), None)
    if first is None:
        return {}
    found = origin_of(database, first)
    strategy = found.parameters.get("strategy", {}) if found is not None else {}
    return strategy if isinstance(strategy, Mapping) else {}


def origin_of(database: LocalDatabase, payload: Held) -> Provenance | None:
    """Where a payload came from; ``None`` if that is not known, or not any more."""
    try:
        return database.provenance(Entry(payload.name, payload.revision, payload.iov))
    except PayloadError:
        return None
