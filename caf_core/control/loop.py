"""The controller: one thread, one inbox. It feeds events to ``step``, and carries out the effects."""

import threading
import time
from collections import deque
from collections.abc import Callable, Container, Mapping
from pathlib import Path

from attrs import frozen

from caf_core.calibration.calibration import Calibration, CalibrationBase
from caf_core.calibration.convergence import Convergence
from caf_core.calibration.states import State
from caf_core.clock import steady
from caf_core.control import accounting, collecting, committing, effects, events, gathering, step
from caf_core.control.account import Account, write_account
from caf_core.control.account_words import unconverged_texts
from caf_core.control.calibrating import AlgorithmsStep
from caf_core.control.catalogue import Catalogue
from caf_core.control.common import Owners
from caf_core.control.context import Workshop
from caf_core.control.deciding import decide, own_constants
from caf_core.control.evidence import why_it_failed
from caf_core.control.options import Override
from caf_core.control.report import Listener
from caf_core.control.resolved import Resolved
from caf_core.control.store.starts import OWN
from caf_core.control.store.store import IterationEnd
from caf_core.control.tidying import tidy
from caf_core.errors import CafError, CheckpointError
from caf_core.home import given_path
from caf_core.jobs.inbox import Inbox
from caf_core.jobs.service import JobUpdate, ServiceEvent, Tick
from caf_core.plugins.observers import Observers
from caf_core.text import clause


@frozen
class Interrupt:
    """Somebody wants the process to stop; what was done is kept."""


@frozen
class Posted:
    """An event of a thread of its own: a user's own calibration."""

    event: events.Event


class Controller:
    """Drives all calibrations of a process until they are over.

    Args:
        shop: The tools: store, job service, plugins.
        catalogue: The resolved calibrations.
        inbox: Where other threads and signal handlers put what happened.
        beat: Called now and then, to keep the lease.
        listener: Is told what happens.
        observers: The plugins that want to know too.
        override: Where the user wants calibrations to start, if not where they were.
        clock: Seconds since the epoch, which go on evenly.
    """

    def __init__(
        self,
        shop: Workshop,
        catalogue: Catalogue,
        inbox: Inbox[object],
        *,
        beat: Callable[[], None],
        beat_interval: float,
        listener: Listener,
        observers: Observers,
        override: Override | None = None,
        clock: Callable[[], float] = steady,
    ) -> None:
        self._shop = shop
        self._catalogue = catalogue
        self._inbox = inbox
        self._beat, self._beat_interval = beat, beat_interval
        self._listener = listener
        self._observers = observers
        self._override = override
        self._clock = clock
        self._jobs: dict[str, tuple[str, str]] = {}
        self._steps: dict[str, AlgorithmsStep] = {}
        self._missing: dict[str, tuple[str, ...]] = {}
        self._convergence: dict[str, Convergence] = {}
        self._told: set[str] = set()
        self._accounts: dict[str, Account] = {}
        self._reasons: dict[str, str] = {}
        self._owners = Owners(catalogue.calibrations)
        self._stopped = False
        self.interrupted = False
        self.system: step.System = {name: _stage(one) for name, one in catalogue.calibrations.items()}

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why calibrations failed or did not start."""
        return self._reasons

    @property
    def convergence(self) -> Mapping[str, Convergence]:
        """How calibrations that were driven now have converged."""
        return self._convergence

    def drive(self) -> None:
        """Drive until every calibration is over, or somebody interrupts."""
        next_beat = self._clock() + self._beat_interval
        self._feed(events.Begin())
        while not self._stopped:
            item = self._next(next_beat)
            now = self._clock()
            if now >= next_beat:
                self._beat()
                next_beat = now + self._beat_interval
            if isinstance(item, Interrupt):
                self.interrupted = True
                return
            if isinstance(item, Posted):
                self._feed(item.event)
            elif item is None or isinstance(item, ServiceEvent):
                self._take_updates(self._shop.service.handle(item or Tick(), now))

    def abandon(self, backends: Container[str]) -> list[str]:
        """Cancel the jobs of some backends.

        Args:
            backends: Names of backends.
        Returns:
            The keys of the jobs.
        """
        service = self._shop.service
        plans = [key for algorithms in self._steps.values() for key in algorithms.jobs]
        jobs = [
            key
            for key in (*self._jobs, *plans)
            if service.backend_of(key) in backends and not service.status(key).ended
        ]
        for key in jobs:
            service.cancel(key)
        return jobs

    def _next(self, deadline: float) -> object | None:
        """The next thing in the inbox, or ``None`` when a deadline has come."""
        due = self._shop.service.next_deadline()
        return self._inbox.get(min(deadline, due if due is not None else deadline) - self._clock())

    def _take_updates(self, updates: list[JobUpdate]) -> None:
        if updates:
            self._observers.jobs_changed(updates)
        for update in updates:
            owner = self._jobs.get(update.key)
            if owner is not None:
                name, collection = owner
                self._listener.jobs(name, collection, self._shop.service.status(update.key))
                if update.ended:
                    reason = "" if update.success else self._complaint(update.key, collection)
                    self._feed(events.JobEnded(name, update.key, update.success, reason))
            elif update.ended:
                self._execution_ended(update)

    def _complaint(self, key: str, collection: str) -> str:
        return f"collection {collection!r}: {why_it_failed(self._shop.service, key)}"

    def _execution_ended(self, update: JobUpdate) -> None:
        for name, algorithms in list(self._steps.items()):
            try:
                if algorithms.job_ended(update.key, update.success):
                    self._check_algorithms(name)
                    return
            except CheckpointError:
                raise
            except CafError as error:
                self._give_up(name, str(error))
                return

    def _feed(self, event: events.Event) -> None:
        """Take an event, and all that follows from it at once."""
        happened: deque[events.Event] = deque([event])
        while happened:
            self.system, wanted = step.step(self.system, happened.popleft())
            lost: set[str] = set()
            for effect in wanted:
                name = "" if isinstance(effect, effects.Stop) else effect.name
                if name in lost and not isinstance(effect, effects.Move):
                    continue
                try:
                    happened.extend(self._perform(effect))
                except CheckpointError:
                    raise
                except CafError as error:
                    # What else was to be done for this calibration no longer makes sense; its moves stand.
                    lost.add(name)
                    happened.append(events.Failed(name, str(error)))

    def _perform(self, effect: effects.Effect) -> list[events.Event]:
        """Carry one effect out; what it brings about at once is returned."""
        match effect:
            case effects.Move():
                self._move(effect)
            case effects.Decide(name):
                return self._decide(name)
            case effects.SubmitCollectors(name):
                return self._submit(name)
            case effects.Gather(name):
                return self._gather(name)
            case effects.StartAlgorithms(name):
                return self._start_algorithms(name)
            case effects.Tidy(name, iteration, last):
                tidy(self._catalogue[name], iteration, last=last)
            case effects.Finish(name):
                return self._finish(name)
            case effects.StartOwnRun(name):
                self._start_own(name)
            case effects.NoteIteration(name, iteration, last):
                self._shop.store.update(name, iteration=iteration, max_iterations=last)
            case effects.Skip(name, because):
                self._reasons[name] = f"not started, as {because!r} failed"
                self._listener.said(f"{name}: not started, as {because!r}, on which it depends, failed")
            case effects.Stop():
                self._stopped = True
        return []

    def _move(self, move: effects.Move) -> None:
        crash, label = self._shop.crash, f"move.{move.old}.{move.new}"
        crash(f"{label}.before")
        self._shop.store.move(move.name, move.iteration, move.old, move.new, move.reason)
        crash(f"{label}.after")
        if move.new is State.FAILED:
            self._reasons[move.name] = move.reason
        self._catalogue[move.name].calibration.state = str(move.new)
        self._listener.moved(move)
        self._observers.state_changed(move.name, move.iteration, str(move.old), str(move.new), time.time())

    def _decide(self, name: str) -> list[events.Event]:
        one = self._catalogue[name]
        start = decide(self._shop, self._catalogue, one, self._override)
        one.calibration.state = str(start.state)
        self._listener.placed(name, start.state, start.iteration)
        if start.state is State.COMPLETED:
            stored = self._shop.store.calibration(name)
            self._convergence[name] = (
                Convergence(stored.convergence) if stored and stored.convergence else Convergence.CONVERGED
            )
            return self._completes(name, events.Decided(name, start.state, start.iteration))
        return [events.Decided(name, start.state, start.iteration)]

    def _submit(self, name: str) -> list[events.Event]:
        one, iteration = self._catalogue[name], self.system[name].iteration
        jobs = collecting.submit(self._shop, self._catalogue, one, iteration)
        self._jobs.update({key: (name, collection) for collection, key in jobs.items()})
        return [events.Submitted(name, frozenset(jobs.values()))]

    def _gather(self, name: str) -> list[events.Event]:
        one, iteration = self._catalogue[name], self.system[name].iteration
        gathering.gather(self._shop, self._catalogue, one, iteration)
        for key, (owner, _) in list(self._jobs.items()):
            if owner == name:
                del self._jobs[key]
                self._shop.service.forget(key)
        return [events.Gathered(name)]

    def _start_algorithms(self, name: str) -> list[events.Event]:
        one, iteration = self._catalogue[name], self.system[name].iteration
        past = self._shop.store.commits(name, iteration - 1) if iteration else {}
        self._missing[name] = missing = gathering.missing(one, iteration)
        algorithms = AlgorithmsStep(
            self._shop,
            self._catalogue,
            one,
            iteration,
            past,
            lambda ended: committing.commit(self._shop, ended, missing),
        )
        self._steps[name] = algorithms
        algorithms.start()
        return self._algorithms_over(name)

    def _check_algorithms(self, name: str) -> None:
        for event in self._algorithms_over(name):
            self._feed(event)

    def _algorithms_over(self, name: str) -> list[events.Event]:
        """What it means that the algorithms have ended, if they have."""
        algorithms = self._steps[name]
        if not algorithms.finished:
            return []
        algorithms.cancel()
        del self._steps[name]
        iteration, verdict = algorithms.iteration, committing.overall(algorithms)
        committing.tell_notes(algorithms, self._told, self._shop.say)
        ended = IterationEnd(
            str(verdict.result),
            "",
            self._missing.get(name, ()),
            algorithms.commits,
            committing.payload_rows(algorithms),
            # One that failed has not asked all that its other parts may have asked elsewhere.
            algorithms.asked if verdict.result.success else frozenset(),
        )
        self._shop.store.end_iteration(name, iteration, ended)
        account = accounting.account_of(self._shop.store, algorithms)
        write_account(accounting.path_of(self._catalogue[name], iteration), account)
        self._accounts[name] = account
        convergence = Convergence(account.convergence) if account.convergence else Convergence.CONVERGED
        self._convergence[name] = convergence
        self._observers.iteration_finished(name, iteration, verdict.result, algorithms.metrics)
        unconverged = "; ".join(unconverged_texts(account))
        return [events.AlgorithmsEnded(name, verdict.result, verdict.message, convergence, unconverged)]

    def _give_up(self, name: str, reason: str) -> None:
        algorithms = self._steps.pop(name, None)
        if algorithms is not None:
            algorithms.cancel()
        self._feed(events.Failed(name, reason))

    def _finish(self, name: str) -> list[events.Event]:
        one, iteration = self._catalogue[name], self.system[name].iteration
        if not one.own:
            convergence = self._convergence[name]
            committing.finish(self._shop, one, iteration, self._accounts[name])
            self._shop.store.update(name, convergence=str(convergence))
        else:
            self._shop.store.note(OWN.format(name), own_constants(one))
        return self._completes(name, events.Finished(name))

    def _completes(self, name: str, event: events.Event) -> list[events.Event]:
        """A calibration completes, unless its constants contradict those of one that comes before it; those
        that come after it and have completed already fail instead."""
        clashes = self._owners.enter(self._catalogue[name])
        failed: list[events.Event] = [events.Failed(clash.loser, clash.reason) for clash in clashes]
        return failed if any(clash.loser == name for clash in clashes) else [*failed, event]

    def _start_own(self, name: str) -> None:
        one = self._catalogue[name]
        one.output_dir.mkdir(parents=True, exist_ok=True)
        calibration = one.calibration
        inherited = self._catalogue.inherited(one)
        calibration.dependency_databases = tuple(map(Path, inherited))
        calibration.conditions = self._shop.chain(inherited)
        calibration._counter = lambda number, last: self._inbox.put(
            Posted(events.OwnIteration(name, number, last))
        )
        threading.Thread(
            target=_run_own, args=(calibration, self._inbox), name=f"caf {name}", daemon=True
        ).start()


def _run_own(calibration: CalibrationBase, inbox: Inbox[object]) -> None:
    try:
        calibration.run()
        reason = _own_complaint(calibration)
    except BaseException as error:  # the controller waits for this thread, whatever ends it
        reason = f"its run() raised {type(error).__name__}: {clause(error)}"
    inbox.put(Posted(events.OwnRunEnded(calibration.name, not reason, reason)))


def _own_complaint(calibration: CalibrationBase) -> str:
    """What is wrong after the run of a user's own calibration, if anything."""
    if calibration.state == calibration.fail_state:
        return "its run() set the state to failed"
    folder = calibration.output_database_dir
    if folder is not None and not (given_path(folder) / "database.txt").exists():
        return f"its run() left no database in its output_database_dir, {folder}"
    return ""


def _stage(one: Resolved) -> step.Stage:
    return step.Stage(
        name=one.name,
        depends_on=tuple(dependency.name for dependency in one.calibration.dependencies),
        max_iterations=one.settings["max_iterations"],
        require_convergence=one.settings["require_convergence"],
        own=not isinstance(one.calibration, Calibration),
    )
