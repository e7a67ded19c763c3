"""Makes the updates of steps, and the results of calibrations, beside the service's own work.

An update uses only what was fixed when the quorum was reached: an interrupted one is made again.
"""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from caf_core.errors import CafError, ConfigurationError
from caf_core.json_text import json_text
from caf_service.conductor import Conductor
from caf_service.config import ServiceConfig
from caf_service.delivery import copy_result, made_folder
from caf_service.engine import advance
from caf_service.events import End, Updated, UpdateFailed
from caf_service.filing import replace_folder, write_zip
from caf_service.plan import Update
from caf_service.plan_processes import PlanProcesses
from caf_service.results import Areas
from caf_service.snapshot import Snapshot, State
from caf_service.store.records import Facts, Step
from caf_service.store.store import Store
from caf_service.store.thread import StoreThread
from caf_service.texts import plain
from caf_service.updating import LOG, PlanError

log = logging.getLogger("caf.service")

AGAIN = 10.0
"""What failed for want of space or of the database is tried again after this time [s]."""
CLOSING = 60.0
"""How long a service that ends waits for what cannot be broken off, such as a copy [s]."""


@frozen
class Task:
    """An update that is to be made."""

    facts: Facts
    snapshot: Snapshot
    step: Step
    earlier: Mapping[str, Step]
    steps: tuple[Step, ...]


class Updates:
    """Executes update functions and writes results.

    Args:
        config: The service's configuration.
        areas: Its folders.
        identity: What tells this service from others.
        clock: Seconds since the epoch.
    """

    def __init__(
        self, config: ServiceConfig, areas: Areas, identity: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._config = config
        self._areas = areas
        self._identity = identity
        self._clock = clock
        self._pool = ThreadPoolExecutor(config.updates, thread_name_prefix="caf-update")
        self._plans = PlanProcesses(config.update_timeout)
        self._closed = threading.Event()
        self._ending = threading.Lock()
        self._work: set[Future[None]] = set()
        self._thread: StoreThread
        self._conductor: Conductor

    def use(self, thread: StoreThread, conductor: Conductor) -> None:
        """Begin, with the thread of the database."""
        self._thread, self._conductor = thread, conductor

    def make(self, calibration: int) -> None:
        """Make the update of the current step, soon."""
        self._soon(self._make, calibration)

    def deliver(self, calibration: int) -> None:
        """Copy the result of an ended calibration to where its owner wants it, soon."""
        self._soon(self._deliver, calibration)

    def close(self) -> None:
        """End what is being made, which the next service makes again, perhaps at once: nobody may work in
        these folders any more then.
        """
        with self._ending:
            self._closed.set()
        self._plans.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        wait(self._work, CLOSING)

    def _soon(self, function: Callable[[int], None], calibration: int) -> None:
        with self._ending:
            if self._closed.is_set():
                return
            self._work = {one for one in self._work if not one.done()}
            self._work.add(self._pool.submit(self._guarded, function, calibration))

    def _guarded(self, function: Callable[[int], None], calibration: int) -> None:
        try:
            function(calibration)
        except (CafError, OSError) as error:
            if self._closed.is_set():
                return
            log.warning("calibration %d waits, for %s; trying again in %g s", calibration, error, AGAIN)
            timer = threading.Timer(AGAIN, self._soon, (function, calibration))
            timer.daemon = True
            timer.start()
        except Exception:
            log.exception("calibration %d: a fault of caf-service", calibration)
            event = UpdateFailed(self._serial(calibration), "a fault of caf-service, which is in its log")
            self._thread.do(lambda store: self._conductor.handle(store, calibration, event))

    def _serial(self, calibration: int) -> int:
        live = self._conductor.live(calibration)
        return live.snapshot.serial if live else 0

    def _make(self, calibration: int) -> None:
        task = self._thread.do(lambda store: self._task(store, calibration))
        if task is None:
            return
        try:
            update = self._updated(task)
            self._finish_if_last(task, update)
        except PlanError as error:
            if self._closed.is_set():
                return  # it was ended from here
            failed = UpdateFailed(task.step.serial, plain(error))
            self._thread.do(lambda store: self._conductor.handle(store, calibration, failed))
            return
        finally:
            self._areas.clear_scratch(calibration)
        self._thread.do(lambda store: self._apply(store, calibration, task.step.serial, update))

    def _apply(self, store: Store, calibration: int, serial: int, update: Update) -> None:
        self._conductor.end_step(store, calibration, serial, update)
        self._conductor.handle(store, calibration, Updated(serial, update))

    def _task(self, store: Store, calibration: int) -> Task | None:
        facts = store.facts(calibration)
        if facts is None:
            return None
        snapshot = self._conductor.snapshot(store, calibration)
        if snapshot.state is not State.UPDATING:
            return None
        steps = store.steps(calibration)
        step = steps[-1]
        # The last step of every phase of this stage that ended before.
        earlier = {
            facts.setup.stages[one.stage][1][one.phase]: one
            for one in steps[:-1]
            if one.at < step.at and one.stage == step.stage
        }
        return Task(facts, snapshot, step, earlier, tuple(steps))

    def _updated(self, task: Task) -> Update:
        step, calibration = task.step, task.facts.id
        folder = self._areas.scratch(calibration)
        files = folder / "files"
        files.mkdir()
        request = {
            **self._common(task.facts),
            "position": asdict(task.snapshot.position),
            "files": self._files(task.facts, step),
            "earlier": {name: self._files(task.facts, one) for name, one in task.earlier.items()},
            "parameters": step.parameters,
            "directory": str(files),
        }
        try:
            answer = self._plans.execute("update", folder, request)
        finally:
            if (folder / LOG).exists():
                (folder / LOG).replace(files / LOG)
            replace_folder(files, self._areas.update_folder(calibration, step.serial))
        return Update(answer["parameters"], answer["metrics"], answer["converged"], answer["message"])

    def _finish_if_last(self, task: Task, update: Update) -> None:
        """Write the result before the calibration counts as finished: a finished one can be fetched."""
        _, effects = advance(task.snapshot, Updated(task.step.serial, update))
        if not any(isinstance(one, End) and one.state is State.FINISHED for one in effects):
            return
        calibration = task.facts.id
        folder = self._areas.scratch(calibration)
        result = folder / "result"
        result.mkdir()
        request = {**self._common(task.facts), "parameters": update.parameters, "directory": str(result)}
        self._plans.execute("finish", folder, request)
        self._write_own(result / "parameters.json", update.parameters)
        self._write_own(result / "steps.json", [*map(_told, task.steps[:-1]), _told(task.step, update)])
        replace_folder(result, self._areas.result_folder(calibration))
        write_zip(self._areas.listing(calibration), self._areas.result_zip(calibration))

    def _write_own(self, path: Path, value: Any) -> None:
        if not path.exists():  # the plan's own files come first
            path.write_text(json_text(value, indent=2) + "\n")

    def _common(self, facts: Facts) -> dict[str, Any]:
        setup = facts.setup
        paths = {
            name: str(self._areas.attached(facts.id, one.number)) for name, one in setup.attached.items()
        }
        return {
            "plan": setup.plan,
            "reference": setup.reference,
            "settings": setup.settings,
            "inputs": paths,
        }

    def _files(self, facts: Facts, step: Step) -> dict[str, str]:
        suffix = facts.setup.suffix
        return {
            str(worker): str(self._areas.result_file(facts.id, step.serial, worker, suffix))
            for worker in step.used
        }

    def _deliver(self, calibration: int) -> None:
        facts = self._thread.do(lambda store: store.facts(calibration))
        live = self._conductor.live(calibration)
        if facts is None or not facts.output or live is None or live.snapshot.state is not State.FINISHED:
            return
        try:
            folder = made_folder(Path(facts.output))
            copy_result(self._areas.listing(calibration), folder, calibration, self._identity)
            kind, text = "copied", f"the result is in {folder}/calibration-{calibration}"
        except (ConfigurationError, OSError, shutil.Error) as error:
            kind, text = "not copied", plain(error)
        self._thread.do(lambda store: store.log(calibration, kind, text, self._clock()))


def _told(step: Step, update: Update | None = None) -> dict[str, Any]:
    values = {
        "serial": step.serial,
        "stage": step.stage,
        "phase": step.phase,
        "step": step.step,
        "parameters": step.parameters,
        "used": step.used,
        "missing": step.missing,
        "metrics": step.metrics,
        "converged": step.converged,
        "message": step.message,
    }
    if update:
        values |= {"metrics": update.metrics, "converged": update.converged, "message": update.message}
    return values
