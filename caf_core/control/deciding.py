"""Where a calibration starts: afresh, or where an earlier process left it, as far as what it depends on is
still the same."""

import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

from attrs import evolve

from caf_core.calibration.convergence import Convergence
from caf_core.calibration.plans import Result
from caf_core.calibration.states import CHECKPOINTS, State
from caf_core.conditions.local import LocalDatabase
from caf_core.control import calibrating, collecting, committing, prints
from caf_core.control.account import read_account
from caf_core.control.catalogue import Catalogue
from caf_core.control.changes import depends, keep, kept, told
from caf_core.control.context import Workshop
from caf_core.control.options import Override
from caf_core.control.resolved import Resolved
from caf_core.control.store.starts import OWN, forget_start, kept_start, last_iteration, result_of
from caf_core.control.store.store import CheckpointStore, StoredCalibration
from caf_core.control.verifying import Start, can_restore, verified
from caf_core.errors import CheckpointError, ConfigurationError, PayloadError

_COLLECT_CHANGED = "its collectors, input or constants have changed"
_ALGORITHMS_CHANGED = "its algorithms have changed"


def check_override(store: CheckpointStore, names: Iterable[str], override: Override) -> None:
    """Refuse an iteration to which no calibration has come.

    Raises:
        ConfigurationError: With the iterations that there are.
    """
    reached = {name: stored.iteration for name in names if (stored := store.calibration(name)) is not None}
    if (override.iteration or 0) > max(reached.values(), default=0):
        known = ", ".join(f"{name} came to iteration {number}" for name, number in reached.items())
        raise ConfigurationError(f"nothing can be started from iteration {override.iteration}: {known}.")


def decide(shop: Workshop, catalogue: Catalogue, one: Resolved, override: Override | None = None) -> Start:
    """Compare a calibration with the checkpoint, make the checkpoint agree with the decision, and say what
    was decided.

    Raises:
        CheckpointError: If the user chose a start that does not exist.
    """
    stored = shop.store.calibration(one.name)
    if stored is None:
        raise CheckpointError(f"calibration {one.name!r} was not entered into the checkpoint.")
    chains = [*catalogue.inherited(one), *one.chain, *(url for part in one.collections for url in part.chain)]
    chain = shop.chain(dict.fromkeys(chains))
    constants = chain.fingerprint()
    if one.own:
        collect = prints.combined([prints.own_print(one.calibration), constants])
    else:
        collect = prints.collect_print(one, constants)
    algorithms = "" if one.own else prints.algorithms_print(one)
    if override is not None and (override.iteration or 0) > stored.iteration:
        shop.say(f"{one.name}: it came to iteration {stored.iteration} only, and goes on from where it is")
        override = None
    wanted = kept_start(shop.store, one.name)
    if override is None and wanted is not None:
        override = Override(wanted.state, wanted.iteration)
    start = (
        _overruled(one, override, stored.iteration, last_iteration(shop.store, one.name))
        if override is not None
        else _compare(
            one,
            stored,
            collect,
            algorithms,
            result_of(shop.store, one.name, stored.iteration) == Result.ITERATE,
        )
    )
    now, before = depends(one, chain), kept(shop.store, one.name)
    if before is not None:
        start = _explained(start, told(before.collect, now.collect), told(before.algorithms, now.algorithms))
    start = _verified_own(shop, one, start) if one.own else _verified(shop, one, stored, start)
    _clean(
        shop,
        one,
        stored,
        start,
        forced=override is not None,
        collect_changed=stored.collect_fingerprint != collect,
    )
    keep(shop.store, one.name, now)
    with shop.store.batch():
        forget_start(shop.store, one.name)
        shop.store.place(
            one.name,
            start.state,
            start.iteration,
            start.reason,
            collect_fingerprint=collect,
            algorithm_fingerprint=algorithms,
        )
    if start.reason:
        shop.say(f"{one.name}: {start.reason}")
    return start


def _explained(start: Start, collect: str, algorithms: str) -> Start:
    """The same with what has changed, where that is known."""
    for words, what in ((_COLLECT_CHANGED, collect), (_ALGORITHMS_CHANGED, algorithms)):
        if what and start.reason.startswith(words):
            return evolve(start, reason=start.reason.replace(words, f"{words} ({what})", 1))
    return start


def _verified(shop: Workshop, one: Resolved, stored: StoredCalibration, start: Start) -> Start:
    """A start whose files are there; final constants that are lost are copied again where they can be."""
    sound = verified(shop, one, start)
    if sound is start or start.state is not State.COMPLETED or not can_restore(shop, one, start.iteration):
        return sound
    account = read_account(shop.output_dir, one.name, start.iteration)
    convergence = Convergence(stored.convergence or Convergence.CONVERGED)
    committing.finish(shop, one, start.iteration, account, otherwise=convergence)
    lost = sound.reason.partition("; it starts again")[0]
    return evolve(start, reason=f"{lost}; the constants are copied again from iteration {start.iteration}")


def _verified_own(shop: Workshop, one: Resolved, start: Start) -> Start:
    """A user's own calibration that has completed starts again if its constants are not what they were."""
    noted = shop.store.noted(OWN.format(one.name))
    if start.state is not State.COMPLETED or noted in (None, own_constants(one)):
        return start
    return Start(
        State.INIT, 0, f"its constants in {one.final_database} are gone or were changed; it starts again"
    )


def own_constants(one: Resolved) -> str:
    """What a user's own calibration has left in its database: a fingerprint, which also tells of damage."""
    database = LocalDatabase(one.final_database)
    try:
        return f"{database.fingerprint()} {len(database.validate())}" if database.exists() else ""
    except PayloadError as error:
        return str(error)


def _overruled(one: Resolved, override: Override, now: int, last: int) -> Start:
    """Where the user wants a calibration to start, whose row is at one iteration and which came to another.

    Raises:
        ConfigurationError: If what that state promises is not there.
    """
    iteration = now if override.iteration is None else override.iteration
    if override.state not in CHECKPOINTS:
        names = ", ".join(sorted(CHECKPOINTS))
        raise ConfigurationError(
            f"a calibration cannot be started from {override.state}; it can from: {names}."
        )
    if override.state is State.COLLECTOR_COMPLETED and not one.index_path(iteration).exists():
        raise ConfigurationError(
            f"the collector output of calibration {one.name!r}, iteration {iteration}, is not there; start "
            f"it from init instead."
        )
    if override.state is State.COMPLETED and not one.own and not _has_constants(one, iteration, last):
        raise ConfigurationError(
            f"the constants of calibration {one.name!r}, iteration {iteration}, are not in "
            f"{one.final_database}; start it from init instead."
        )
    return Start(
        override.state, iteration, f"started from {override.state}, iteration {iteration}, as you asked"
    )


def _has_constants(one: Resolved, iteration: int, last: int) -> bool:
    return iteration == last and (one.final_database / "database.txt").exists()


def _compare(
    one: Resolved, stored: StoredCalibration, collect: str, algorithms: str, asked_for_more: bool
) -> Start:
    if not stored.collect_fingerprint:
        return Start(State.INIT, 0)
    if stored.collect_fingerprint != collect:
        return Start(
            State.INIT,
            0,
            f"{_COLLECT_CHANGED}: it starts again at iteration 0, and what is not affected is used again",
        )
    if stored.algorithm_fingerprint != algorithms:
        if one.index_path(0).exists():
            return Start(
                State.COLLECTOR_COMPLETED,
                0,
                f"{_ALGORITHMS_CHANGED}: they are executed again on the collected output of iteration 0",
            )
        return Start(
            State.INIT,
            0,
            f"{_ALGORITHMS_CHANGED} and the output of iteration 0 was not kept: it starts again at "
            f"iteration 0",
        )
    if stored.state in (State.FAILED, State.COLLECTOR_FAILED, State.ALGORITHMS_FAILED):
        return Start(
            stored.checkpoint,
            stored.iteration,
            f"it failed before: it goes on from {stored.checkpoint}, iteration {stored.iteration}",
        )
    if stored.state is State.COMPLETED and _wants_more(one, stored, asked_for_more):
        state = State.COLLECTOR_COMPLETED if one.index_path(stored.iteration).exists() else State.INIT
        return Start(state, stored.iteration, "it had not converged: it goes on with the settings of now")
    if stored.state is State.COMPLETED:
        return Start(State.COMPLETED, stored.iteration, "it has completed before, and nothing has changed")
    fresh = stored.state is State.INIT and stored.iteration == 0
    return Start(
        stored.state,
        stored.iteration,
        "" if fresh else f"it goes on from {stored.state}, iteration {stored.iteration}",
    )


def _wants_more(one: Resolved, stored: StoredCalibration, asked_for_more: bool) -> bool:
    """Whether a calibration that ended without convergence would not end there with the settings of now."""
    if stored.convergence in ("", Convergence.CONVERGED):
        return False
    more = asked_for_more and stored.iteration < one.settings["max_iterations"]
    return more or bool(one.settings["require_convergence"])


def _clean(
    shop: Workshop,
    one: Resolved,
    stored: StoredCalibration,
    start: Start,
    *,
    forced: bool,
    collect_changed: bool,
) -> None:
    """Remove what lies behind the start: iterations above it, and what will be done again."""
    if one.own or start.state is State.COMPLETED:
        return
    again_collect = forced and start.state is State.INIT
    again_execute = forced or (collect_changed and bool(stored.collect_fingerprint))
    executions_from = start.iteration + (not again_execute)
    for number in (number for number in _iterations(one.output_dir) if number >= executions_from):
        calibrating.end_plans(shop, shop.store.jobs(one.name, number, calibrating.KIND))
    collectors_from = start.iteration + (not again_collect)
    names = {part.name for part in one.collections}
    busy = {
        number: collecting.end_jobs(shop, one, number, names if number < collectors_from else ())
        for number in _iterations(one.output_dir)
        if number >= start.iteration
    }
    shop.store.drop(
        one.name,
        collectors_from=collectors_from,
        executions_from=executions_from,
    )
    if stored.state in (State.FAILED, State.ALGORITHMS_FAILED):
        shop.store.forget_failures(one.name, start.iteration)
    for number in _iterations(one.output_dir):
        if number >= collectors_from:
            _remove(one, number, busy[number])
        elif number == start.iteration and again_execute:
            shutil.rmtree(one.iteration_dir(number) / "algorithm_output", ignore_errors=True)


def _remove(one: Resolved, number: int, busy: Collection[str]) -> None:
    """Remove an iteration, but the folders of collections in which something may still work."""
    folder, collected = one.iteration_dir(number), one.collector_dir(number)
    if not busy:
        shutil.rmtree(folder)
        return
    for path in [*folder.iterdir(), *collected.iterdir()]:
        if path != collected and not (path.parent == collected and path.name in busy):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _iterations(directory: Path) -> list[int]:
    if not directory.is_dir():
        return []
    return [int(path.name) for path in directory.iterdir() if path.name.isdigit() and path.is_dir()]
