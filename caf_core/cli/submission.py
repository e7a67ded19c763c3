"""Jobs without a calibration that can be restarted: a checkpoint, a ledger in it, and the job service."""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from attrs import evolve, field, frozen

from caf_core.clock import steady
from caf_core.control.backends import Backends
from caf_core.control.cancelling import end_moved
from caf_core.control.lease import HEARTBEAT, Lease
from caf_core.control.outstanding import count_left, left_text, stopped_at_once
from caf_core.control.places import PLACE
from caf_core.control.relocating import take_up
from caf_core.control.session import make_private
from caf_core.control.stopping import LastWords, end_here, stop_signals
from caf_core.control.store.arguments import keep_arguments
from caf_core.control.store.ledger import StoreLedger
from caf_core.control.store.opening import told_errors
from caf_core.control.store.store import CheckpointStore, StoredJob
from caf_core.errors import ConfigurationError
from caf_core.jobs.backend import Backend
from caf_core.jobs.config.reading import load_config
from caf_core.jobs.files import task_line
from caf_core.jobs.inbox import Inbox
from caf_core.jobs.ledger import TaskChange
from caf_core.jobs.local import ResidentBackend
from caf_core.jobs.requests import JobRequest, JobStatus
from caf_core.jobs.residence import Residence
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.service import JobService, Tick
from caf_core.jobs.task import Resources, TaskSpec
from caf_core.plugins.registry import Registry

KIND = "submission"
COLLECTION = "tasks"
"""Tasks are named ``tasks/3``, as those of a collection are."""


@frozen(kw_only=True)
class Wish:
    """What is to be executed.

    Args:
        name: The job's name.
        directory: Where everything lies.
        tasks: The tasks, in order.
        backend: Carries them out.
        backend_name: Its name, for those who look at the directory.
        resources: What each of them needs.
        retry: What failures get.
        min_fraction: The part of them that must succeed.
    """

    name: str
    directory: Path
    tasks: Sequence[TaskSpec]
    backend: Backend
    backend_name: str = ""
    resources: Resources = field(factory=Resources)
    retry: RetryPolicy = field(factory=RetryPolicy)
    min_fraction: float = 1.0

    @property
    def line(self) -> str:
        """The backend's name."""
        return self.backend_name or type(self.backend).__name__.lower()


@frozen
class Result:
    """What came of it.

    Args:
        status: The job in numbers.
        changes: The last word on every task.
        interrupted: Whether it was stopped before its end.
        left: How many tasks go on at a batch system all the same.
        folders: Where the last attempt of each task worked, by its index.
    """

    status: JobStatus
    changes: tuple[TaskChange, ...]
    interrupted: bool
    left: Mapping[str, int] = field(factory=dict)
    folders: Mapping[int, Path] = field(factory=dict)


@frozen
class _Stop:
    """Somebody wants it to stop."""


Show = Callable[[JobStatus], None]


def carry_out(wish: Wish, show: Show, *, retry: bool = True, take_over: bool = False) -> Result:
    """Execute the tasks, or go on with them; returns when all have ended or Ctrl-C was pressed.

    Args:
        wish: What is to be executed; if the directory holds the same job already, that one goes on.
        show: Told how it gets on.
        retry: Whether tasks that failed at an earlier time are executed again.
        take_over: Whether a controller on another host is declared dead.
    Raises:
        ConfigurationError: If the directory holds another job.
        CheckpointError: If it cannot be used.
    """
    private = make_private(wish.directory)
    inbox: Inbox[object] = Inbox()
    with told_errors(wish.directory), ExitStack() as stack:
        lease = Lease(private, take_over=take_over)
        stack.callback(lease.release)
        store = CheckpointStore(wish.directory)
        stack.callback(store.close)
        _take_up(wish, store, private)
        process = store.begin_process(socket.gethostname(), os.getpid(), version("caf-core"))
        residence = Residence(private / "resident", take_over=take_over)
        if isinstance(wish.backend, ResidentBackend):
            wish.backend.residence = residence
            residence.claim()
        service = JobService(StoreLedger(store), inbox.put)
        stack.callback(service.close)
        service.add_backend(wish.line, wish.backend)
        keep_arguments(store, wish.line, wish.backend.chosen_args())
        key = _begin(wish, store, service, retry=retry)
        words = LastWords(stopped_at_once(wish.directory))
        left: dict[str, int] = {}
        with stop_signals(lambda: inbox.put(_Stop()), words):
            interrupted = _drive(service, key, inbox, lease, show)
            if interrupted:
                here = isinstance(wish.backend, ResidentBackend) and not service.status(key).ended
                left = {} if here else count_left(store.models, set())
                words.text = f"stopped at once. {left_text(left, wish.directory)}".rstrip()
                if here:
                    service.cancel(key)
                end_here(service, residence, [key] if here else [], inbox)
                # It may have to wait for a scheduler's command; whoever does not want to hears the words.
                service.close()
        status = service.status(key)
        store.end_process(
            process, "interrupted" if interrupted else "completed" if status.success else "failed"
        )
        changes = tuple(service.tasks(key))
        folders = {
            change.index: service.last_folder(key, change.index, wish.tasks[change.index].output_dir)
            for change in changes
            if change.index < len(wish.tasks) and change.attempt
        }
        return Result(status, changes, interrupted, left, folders)


def _take_up(wish: Wish, store: CheckpointStore, private: Path) -> None:
    """Go on where the directory is now; what its tasks are counts without its name."""
    fingerprint = _fingerprint(wish.tasks, wish.directory)
    # As caf 0.1.0 has it.
    places = (wish.directory, Path(store.noted(PLACE) or wish.directory))
    absolute = [_fingerprint(wish.tasks, wish.directory, place) for place in places]
    backends = Backends(Registry.load(), config=load_config())
    backends.instances[wish.line] = wish.backend
    take_up(store, private, lambda: end_moved(store, private, backends.known))
    table = store.models.Job
    with store.batch():
        table.update(fingerprint=fingerprint).where(table.fingerprint.in_(absolute)).execute()


def _begin(wish: Wish, store: CheckpointStore, service: JobService, *, retry: bool) -> str:
    """Submit the job, or take it up again."""
    fingerprint = _fingerprint(wish.tasks, wish.directory)
    known = store.jobs(wish.name, 0, KIND)
    others = [row for row in store.models.Job.select() if row.kind != KIND or row.calibration != wish.name]
    if others or (known and known[-1].fingerprint != fingerprint):
        raise ConfigurationError(
            f"{wish.directory} holds something else already; choose another directory with -o, or give the "
            "same command, files and name to go on with it."
        )
    key = f"{wish.name}/0/{COLLECTION}"
    request = JobRequest(
        key=key,
        name=wish.name,
        directory=wish.directory / ".caf" / "job",
        backend=wish.line,
        resources=wish.resources,
        retry=wish.retry,
        min_fraction=wish.min_fraction,
    )
    if known and service.resume(request):
        if retry and service.status(key).failures:
            service.retry_failed(key)
        return key
    job = StoredJob(key, wish.name, 0, KIND, COLLECTION, request.directory, fingerprint, None)
    store.begin_job(job, wish.line)
    service.submit(request, wish.tasks)
    return key


def _fingerprint(tasks: Sequence[TaskSpec], directory: Path, place: Path = Path()) -> str:
    """What tasks are.

    Args:
        tasks: The tasks.
        directory: Where they lie.
        place: What is taken for that.
    """
    found = sha256()
    for index, given in enumerate(tasks):
        folder, task = given.output_dir, given
        if folder.is_relative_to(directory):
            task = evolve(given, output_dir=place / folder.relative_to(directory))
        found.update(repr(task_line(index, task)).encode(errors="surrogateescape"))
    return found.hexdigest()[:16]


def _drive(service: JobService, key: str, inbox: Inbox[object], lease: Lease, show: Show) -> bool:
    """Take events in until the job has ended; returns whether somebody wanted it to stop."""
    show(service.status(key))
    beat = steady() + HEARTBEAT
    while not service.status(key).ended:
        due = service.next_deadline()
        wake = beat if due is None else min(beat, due)
        event = inbox.get(wake - steady()) or Tick()
        if isinstance(event, _Stop):
            return True
        if service.handle(event, steady()):
            show(service.status(key))
        if steady() >= beat:
            lease.beat()
            beat = steady() + HEARTBEAT
    return False
