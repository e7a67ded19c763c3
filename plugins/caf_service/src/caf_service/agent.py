"""The agent: has the workers submitted, watches over them, submits again what died, and ends them.

What is true is in two places: the service knows which calibrations want workers and which of those are dead,
and the job service knows what became of every submission. The agent compares the two, again and again, and
does what lies between; so it may end at any moment and be started again.
"""

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from os import getpid
from typing import Any

from attrs import evolve, frozen

from caf_core.clock import steady
from caf_core.control.lease import HEARTBEAT, Lease
from caf_core.control.session import make_private
from caf_core.control.store.ledger import StoreLedger
from caf_core.control.store.store import CheckpointStore
from caf_core.errors import CafError
from caf_core.jobs.config.reading import Config, load_config
from caf_core.jobs.inbox import Inbox
from caf_core.jobs.service import JobService, Tick
from caf_core.plugins.registry import Registry
from caf_service.crews import Crews
from caf_service.desk import AgentDesk
from caf_service.quarters import Place, Quarters, Terms
from caf_service.recruiting import Recruiting

__all__ = ["Agent", "Place", "Terms"]

log = logging.getLogger("caf.agent")

WAIT = 30.0
"""How long one request for changes waits [s]."""


@frozen
class _Changed:
    """Something changed at the desk."""


@frozen
class _Stop:
    """The agent shall end; the workers go on."""


class Agent:
    """Looks after the workers of a service.

    Args:
        desk: The service, as an agent sees it.
        place: Where it works.
        backend: What executes workers whose calibration names no backend: a name or an instance; the site's
            default if left out.
        terms: What it keeps to; resources that they leave open are those of the site.
        registry: The plugins; all installed ones if left out.
        config: What holds at this site.
        clock: Seconds since the epoch, which go on evenly.
        take_over: Whether an agent on another host is declared dead that worked here last.
        on_broken: Called in the agent's thread with what ended its work, if anything but ``stop`` does.
    """

    def __init__(
        self,
        desk: AgentDesk,
        place: Place,
        *,
        backend: Any = None,
        terms: Terms | None = None,
        registry: Registry | None = None,
        config: Config | None = None,
        clock: Callable[[], float] = steady,
        take_over: bool = False,
        on_broken: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        self._desk = desk
        self._place = place
        self._config = config or load_config()
        self._backend = backend or self._config.default_backend or "local"
        terms = terms or Terms()
        resources = terms.resources.or_else(self._config.make_resources())
        self._terms = evolve(terms, resources=resources)
        self._registry = registry or Registry.load()
        self._clock = clock
        self._take_over = take_over
        self._on_broken = on_broken
        self._inbox: Inbox[object] = Inbox()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._broken: BaseException | None = None

    def __enter__(self) -> "Agent":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Work in a thread of its own."""
        self._thread = threading.Thread(target=self._run_quietly, name="caf agent", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; the workers go on, and an agent that is started again finds them.

        Raises:
            CafError: What ended the agent's thread before, if anything did.
        """
        self.end()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._broken is not None:
            raise self._broken

    @property
    def alive(self) -> bool:
        """Whether its thread works."""
        return self._thread is not None and self._thread.is_alive()

    def end(self) -> None:
        """Let ``run`` return soon."""
        self._stopping.set()
        self._inbox.put(_Stop())

    def run(self) -> None:
        """Work until ``stop`` is called.

        Raises:
            CheckpointError: If another agent uses the directory.
        """
        with ExitStack() as stack:
            directory = self._place.directory
            directory.mkdir(parents=True, exist_ok=True)
            private = make_private(directory)
            lease = Lease(private, take_over=self._take_over)
            stack.callback(lease.release)
            store = CheckpointStore(directory)
            stack.callback(store.close)
            process = store.begin_process(socket.gethostname(), getpid(), version("caf-core"))
            service = JobService(StoreLedger(store), self._inbox.put)
            stack.callback(service.close)
            recruiting = Recruiting(
                desk=self._desk,
                quarters=Quarters(self._place, self._terms),
                terms=self._terms,
                service=service,
                store=store,
                registry=self._registry,
                config=self._config,
                default=self._backend,
                clock=self._clock,
                take_over=self._take_over,
            )
            crews = Crews(recruiting=recruiting)
            threading.Thread(target=self._watch, name="caf agent desk", daemon=True).start()
            self._drive(service, crews, lease)
            store.end_process(process, "completed")

    def _drive(self, service: JobService, crews: Crews, lease: Lease) -> None:
        look, beat, trouble = 0.0, self._clock() + HEARTBEAT, 0
        while not self._stopping.is_set():
            now = self._clock()
            if now >= look:
                trouble = 0 if self._look(crews) else trouble + 1
                pause = 0.5 * 2.0 ** min(trouble, 6) if trouble else crews.pause
                look = self._clock() + pause
            wake = min(look, beat, service.next_deadline() or beat)
            event = self._inbox.get(wake - self._clock()) or Tick()
            if isinstance(event, _Changed):
                look = 0.0
            updates = service.handle(event, self._clock())
            if any(crews.ended(update) for update in updates):
                look = 0.0
            if self._clock() >= beat:
                lease.beat()
                beat = self._clock() + HEARTBEAT

    def _look(self, crews: Crews) -> bool:
        """Look after everybody; tells whether the desk answered."""
        try:
            crews.look()
        except Exception as error:  # a desk may fail in ways of its own; what is true is looked up again
            log.warning(
                "the agent cannot do its work now: %s", error, exc_info=not isinstance(error, CafError)
            )
            return False
        return True

    def _watch(self) -> None:
        """In a thread: hear what changes at the desk."""
        while not self._stopping.is_set():
            try:
                changed = self._desk.wait(WAIT)
            except Exception as error:  # whatever it is, the agent looks by itself now and then
                log.debug("the desk does not answer: %s", error)
                self._stopping.wait(2.0)
                continue
            if changed:
                self._inbox.put(_Changed())

    def _run_quietly(self) -> None:
        try:
            self.run()
        except BaseException as error:
            log.exception("the agent ended: %s", error)
            self._broken = error
            self._on_broken(error)
