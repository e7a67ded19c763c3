"""From the first step to the last: the store, the job service, the controller, and how it stops."""

import logging
import os
import socket
from contextlib import closing
from importlib.metadata import version

from attrs import evolve, frozen

from caf_core.calibration.states import State
from caf_core.control.account import Account, read_account
from caf_core.control.cancelling import end_moved, made
from caf_core.control.catalogue import Catalogue
from caf_core.control.common import merge_all
from caf_core.control.context import Workshop, doors_of
from caf_core.control.crash import CrashPoints
from caf_core.control.deciding import check_override
from caf_core.control.lease import HEARTBEAT
from caf_core.control.loop import Controller, Interrupt
from caf_core.control.outstanding import EXECUTIONS, count_left, left_text, stopped_at_once
from caf_core.control.places import PRIVATE
from caf_core.control.relocating import take_up
from caf_core.control.report import CalibrationReport, Report
from caf_core.control.session import Setup, Wish
from caf_core.control.stopping import LastWords, end_here, stop_signals
from caf_core.control.store.arguments import keep_arguments, kept_arguments
from caf_core.control.store.ledger import StoreLedger
from caf_core.control.store.opening import told_errors
from caf_core.control.store.store import CheckpointStore
from caf_core.errors import CafError
from caf_core.jobs.inbox import Inbox
from caf_core.jobs.input_names import told
from caf_core.jobs.local import ResidentBackend
from caf_core.jobs.service import JobService
from caf_core.plugins.observers import Observers

log = logging.getLogger("caf.control")


def drive(setup: Setup) -> Report:
    """Drive a process to its end, or to an interrupt.

    Raises:
        CafError: If the checkpoint cannot be used or written.
    """
    with told_errors(setup.wish.output_dir), closing(CheckpointStore(setup.wish.output_dir)) as store:
        return _drive(setup, store)


@frozen
class _Parts:
    """What works together while a process is driven."""

    inbox: Inbox[object]
    service: JobService
    controller: Controller
    observers: Observers


def _drive(setup: Setup, store: CheckpointStore) -> Report:
    wish, options, catalogue = setup.wish, setup.options, setup.catalogue
    parts = _assemble(setup, store)
    controller = parts.controller
    process = store.begin_process(socket.gethostname(), os.getpid(), version("caf-core"))
    try:
        _begin(setup, store, parts.service)
        words = LastWords(stopped_at_once(wish.output_dir))
        left: dict[str, int] = {}
        with stop_signals(lambda: parts.inbox.put(Interrupt()), words):
            controller.drive()
            if controller.interrupted:
                left = _stop(setup, store, parts, words)
        if not controller.interrupted:
            completed = [
                one
                for name, one in catalogue.calibrations.items()
                if controller.system[name].state is State.COMPLETED
            ]
            merge_all(wish.output_dir, completed, options.listener.said)
        report = evolve(_report(wish, catalogue, controller), left=left)
        store.end_process(
            process, "interrupted" if report.interrupted else "completed" if report.success else "failed"
        )
        parts.observers.process_finished(
            report.success, {name: str(one.state) for name, one in report.calibrations.items()}
        )
        options.reports.append(report)
        return report
    finally:
        options.listener.ended()
        parts.service.close()
        parts.observers.close()


def _assemble(setup: Setup, store: CheckpointStore) -> _Parts:
    wish, options, registry = setup.wish, setup.options, setup.registry
    crash = CrashPoints.from_environment()
    inbox: Inbox[object] = Inbox()
    service = JobService(StoreLedger(store), inbox.put, crash=crash)
    observers = Observers(registry)
    shop = Workshop(
        wish.output_dir, store, service, registry, doors_of(registry), crash, options.listener.said
    )
    controller = Controller(
        shop,
        setup.catalogue,
        inbox,
        beat=setup.lease.beat,
        beat_interval=HEARTBEAT,
        listener=options.listener,
        observers=observers,
        override=options.override,
    )
    return _Parts(inbox, service, controller, observers)


def _begin(setup: Setup, store: CheckpointStore, service: JobService) -> None:
    """Make the backends and the calibrations known."""
    options, calibrations = setup.options, setup.catalogue.calibrations
    private = setup.wish.output_dir / PRIVATE
    take_up(store, private, lambda: end_moved(store, private, setup.backends.known))
    service.add_backend(EXECUTIONS, setup.executions)
    _add_earlier(setup, store)
    for name, backend in setup.backends.instances.items():
        service.add_backend(name, backend)
        keep_arguments(store, name, backend.chosen_args())
    for position, one in enumerate(calibrations.values()):
        needs = [dependency.name for dependency in one.calibration.dependencies]
        store.enter(one.name, position, one.settings["max_iterations"], needs)
    if options.override is not None:
        check_override(store, calibrations, options.override)
    options.listener.begun({name: one.settings["max_iterations"] for name, one in calibrations.items()})
    for name, one in calibrations.items():
        for part in one.collections:
            if part.files.doubles:
                options.listener.said(f"{name}, collection {part.name!r}: {told(part.files.doubles)}")


def _add_earlier(setup: Setup, store: CheckpointStore) -> None:
    """Make the backends where something of an earlier start may be going on, if nobody names them now."""
    for name in sorted(store.busy_backends() - {EXECUTIONS, *setup.backends.instances}):
        try:
            backend = made(setup.backends.known, name, kept_arguments(store, name))
        except CafError as error:
            log.warning("what an earlier start submitted to the backend %r may go on there: %s", name, error)
            continue
        if isinstance(backend, ResidentBackend):
            backend.max_processes = setup.executions.max_processes
            backend.residence = setup.residence
        setup.backends.instances[name] = backend


def _stop(setup: Setup, store: CheckpointStore, parts: _Parts, words: LastWords) -> dict[str, int]:
    """End what executes on this machine; jobs of batch systems go on.

    Returns:
        How many tasks go on, by backend.
    """
    here = _local(setup)
    left = count_left(store.models, here)
    words.text = f"stopped at once. {left_text(left, setup.wish.output_dir)}".rstrip()
    end_here(parts.service, setup.residence, parts.controller.abandon(here), parts.inbox)
    # It may have to wait for a scheduler's command; whoever does not want to hears the words.
    parts.service.close()
    return left


def _local(setup: Setup) -> set[str]:
    """The names of the backends that execute on this machine."""
    named = {name for name, one in setup.backends.instances.items() if isinstance(one, ResidentBackend)}
    return {EXECUTIONS, *named}


def _report(wish: Wish, catalogue: Catalogue, controller: Controller) -> Report:
    found = {}
    for name, one in catalogue.calibrations.items():
        stage = controller.system[name]
        completed = stage.state is State.COMPLETED
        found[name] = CalibrationReport(
            stage.state,
            stage.iteration,
            str(controller.convergence.get(name, "")) if completed else "",
            controller.reasons.get(name, ""),
            one.final_database,
            read_account(wish.output_dir, name, stage.iteration) if stage.over else Account(),
        )
    return Report(found, wish.output_dir, controller.interrupted)
