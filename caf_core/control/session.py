"""One process from beginning to end: the lease, the store, the backends, the controller, and how it stops."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

from attrs import frozen

from caf_core.calibration.calibration import CalibrationBase
from caf_core.calibration.states import State
from caf_core.control.backends import Backends
from caf_core.control.committing import merge_all
from caf_core.control.context import EXECUTIONS, Catalogue, Workshop, doors_of
from caf_core.control.crash import CrashPoints
from caf_core.control.lease import HEARTBEAT, Lease
from caf_core.control.loop import Controller, Inbox, Interrupt
from caf_core.control.options import Options
from caf_core.control.report import CalibrationReport, Report
from caf_core.control.resolve import resolve
from caf_core.control.store.ledger import StoreLedger
from caf_core.control.store.store import CheckpointStore
from caf_core.errors import CheckpointError, ConfigurationError
from caf_core.iov import IoV
from caf_core.jobs.local import ResidentBackend
from caf_core.jobs.residence import Residence
from caf_core.jobs.service import JobService, Tick
from caf_core.plugins.observers import Observers
from caf_core.plugins.registry import Registry

PRIVATE = ".caf"
"""The folder in an output directory for what is nobody's result: lease, resident process."""
_STOPPING = 5.0


@frozen
class Wish:
    """What a CAF wants done.

    Args:
        calibrations: In the order in which they were added.
        output_dir: Where everything lies.
        backend: The backend of calibrations that name none.
        defaults: What holds where a calibration says nothing.
        requested: The interval that is wanted, if not all.
    """

    calibrations: tuple[CalibrationBase, ...]
    output_dir: Path
    backend: Any
    defaults: Mapping[str, Any]
    requested: IoV | None


def prepare(wish: Wish, registry: Registry) -> tuple[Catalogue, Backends]:
    """Resolve a wish.

    Raises:
        ConfigurationError: If anything cannot work as written.
    """
    if not wish.calibrations:
        raise ConfigurationError("this CAF has no calibrations; add one with caf.add_calibration(...).")
    backends = Backends(registry, wish.backend)
    defaults = {**wish.defaults, **({"backend": wish.backend} if wish.backend is not None else {})}
    resolved = resolve(
        wish.calibrations,
        output_dir=wish.output_dir,
        registry=registry,
        backends=backends,
        defaults=defaults,
        requested=wish.requested,
    )
    return Catalogue(resolved), backends


def run(wish: Wish, options: Options) -> Report:
    """Drive a wish to its end, or to an interrupt.

    Raises:
        CafError: If it cannot be started, or the checkpoint cannot be written.
    """
    registry = Registry.load()
    catalogue, backends = prepare(wish, registry)
    private = make_private(wish.output_dir)
    crash = CrashPoints.from_environment()
    lease = Lease(private, take_over=options.take_over)
    try:
        store = CheckpointStore(wish.output_dir)
        try:
            return _drive(wish, options, registry, catalogue, backends, lease, store, crash)
        finally:
            store.close()
    finally:
        lease.release()


def make_private(output_dir: Path) -> Path:
    """Make the output directory and its private folder.

    Raises:
        CheckpointError: If that cannot be done.
    """
    private = output_dir / PRIVATE
    try:
        private.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"the output directory {output_dir} cannot be made ({error.strerror}); choose another one with "
            f"caf.output_dir, or mend its permissions."
        ) from error
    if not os.access(output_dir, os.W_OK):
        raise CheckpointError(
            f"the output directory {output_dir} cannot be written; choose another one, or mend its "
            f"permissions."
        )
    return private


def _drive(
    wish: Wish,
    options: Options,
    registry: Registry,
    catalogue: Catalogue,
    backends: Backends,
    lease: Lease,
    store: CheckpointStore,
    crash: CrashPoints,
) -> Report:
    inbox: Inbox = Inbox()
    residence = Residence(wish.output_dir / PRIVATE / "resident")
    service = JobService(StoreLedger(store), inbox.put, crash=crash)
    observers = Observers(registry)
    shop = Workshop(
        wish.output_dir, store, service, registry, doors_of(registry), crash, options.listener.said
    )
    controller = Controller(
        shop,
        catalogue,
        inbox,
        beat=lease.beat,
        beat_interval=HEARTBEAT,
        listener=options.listener,
        observers=observers,
        override=options.override,
    )
    process = store.begin_process(socket.gethostname(), os.getpid(), version("caf-core"))
    try:
        _add_backends(service, backends, residence)
        for position, one in enumerate(catalogue.calibrations.values()):
            needs = [dependency.name for dependency in one.calibration.dependencies]
            store.enter(one.name, position, one.settings["max_iterations"], needs)
        options.listener.begun(
            {name: one.settings["max_iterations"] for name, one in catalogue.calibrations.items()}
        )
        with _signals(inbox):
            controller.drive()
            if controller.interrupted:
                _stop_here(service, residence, inbox)
        if not controller.interrupted:
            completed = [
                one
                for name, one in catalogue.calibrations.items()
                if controller.system[name].state is State.COMPLETED
            ]
            merge_all(wish.output_dir, completed, options.listener.said)
        report = _report(wish, catalogue, controller)
        store.end_process(
            process, "interrupted" if report.interrupted else "completed" if report.success else "failed"
        )
        observers.process_finished(
            report.success, {name: str(one.state) for name, one in report.calibrations.items()}
        )
        options.reports.append(report)
        return report
    finally:
        options.listener.ended()
        service.close()
        observers.close()


def _add_backends(service: JobService, backends: Backends, residence: Residence) -> None:
    """Hand the backends to the job service; those of this machine share one resident process with the
    algorithms."""
    local = [backend for backend in backends.instances.values() if isinstance(backend, ResidentBackend)]
    for resident in local:
        if resident.residence is None:
            resident.residence = residence
    processes = max((resident.max_processes for resident in local), default=os.cpu_count() or 1)
    service.add_backend(EXECUTIONS, ResidentBackend(processes, residence=residence))
    for name, backend in backends.instances.items():
        service.add_backend(name, backend)


@contextmanager
def _signals(inbox: Inbox) -> Iterator[None]:
    """Ctrl-C and SIGTERM once stop cleanly; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen = 0

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        if seen > 1:
            os._exit(128 + number)
        inbox.put(Interrupt())

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_here(service: JobService, residence: Residence, inbox: Inbox) -> None:
    """End what executes on this machine, and write down that it ended; jobs of batch systems go on."""
    client = residence.attach()
    if client is not None:
        client.shutdown(kill=True)
    end = time.time() + _STOPPING
    while not inbox.empty() and time.time() < end:
        service.handle(inbox.get(), time.time())
    service.handle(Tick(), time.time() + 1.0)


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
        )
    return Report(found, wish.output_dir, controller.interrupted)
