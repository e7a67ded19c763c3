"""The backend contract: the narrow waist between caf and whatever executes tasks.

A backend is asked to start a submission, to tell the states of what it started, to cancel it, and to find it
again by its token. Everything else (cutting jobs into submissions, retries, exit records, restarts) is the
core's work.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import field, frozen

from caf_core import former
from caf_core.errors import BackendError, ConfigurationError
from caf_core.jobs.task import Resources
from caf_core.strict import unknown

if TYPE_CHECKING:
    from caf_core.jobs.batch.settings import Setting
    from caf_core.jobs.model import Job
    from caf_core.jobs.submit import Session


class SchedulerState(StrEnum):
    """What a scheduler says about one task."""

    QUEUED = "queued"
    RUNNING = "running"
    HELD = "held"
    SUSPENDED = "suspended"
    ENDED = "ended"
    UNKNOWN = "unknown"


@frozen
class Report:
    """A scheduler's answer about one task; what it does not know is left at its default.

    Args:
        state: The state in the core's words.
        exit_code: Exit code of the ended task.
        signal: Signal that ended it.
        reason: The scheduler's own words, for people.
        failure: The failure kind that the scheduler's words imply (see ``FailureKind``), if any.
        host: Where it executes or executed.
        peak_memory_mb: Peak memory as accounted [MB].
        record: The exit record itself, from a backend that has it at hand; its file need not be read then.
    """

    state: SchedulerState
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    failure: str | None = None
    host: str = ""
    peak_memory_mb: float | None = None
    record: Mapping[str, Any] | None = None


@frozen
class Capabilities:
    """What a backend can do, as data.

    Args:
        array_limit: Largest number of tasks in one submission; ``None`` for no limit.
        job_limit: Largest number of tasks in the system at once; ``None`` for no limit.
        poll_interval: How often the scheduler may be asked; ``None`` for a backend that notifies and is never
            polled.
        minimum_array: Smallest number of tasks that can be an array; fewer become single jobs.
        grace: How long a task that the scheduler no longer knows may still deliver its record.
        find_again_after: An empty answer of ``find`` counts only when a second search, this much later, is
            empty too: at least one time limit of the scheduler's clients. ``None`` when one empty answer is
            certain.
        needs_script: Whether tasks are started through ``Submission.argv``, so that the script must be
            written.
        jobs_per_check: Largest number of tasks that are submitted between two counts of the user's jobs;
            ``None`` for any number. It matters only with a ``job_limit``.
        check_interval: How often the user's jobs are counted while tasks wait for room.
        submission_interval: Shortest time between two submissions.
        releases: Whether a held task can be given more and released (``release``).
    """

    array_limit: int | None = None
    job_limit: int | None = None
    poll_interval: timedelta | None = timedelta(seconds=60)
    minimum_array: int = 1
    grace: timedelta = timedelta(seconds=60)
    find_again_after: timedelta | None = timedelta(seconds=120)
    needs_script: bool = True
    jobs_per_check: int | None = None
    check_interval: timedelta = timedelta(seconds=30)
    submission_interval: timedelta = timedelta(0)
    releases: bool = False


@frozen
class Submission:
    """Tasks that go to a backend together.

    Args:
        token: Unique name: a letter first, at most 15 characters of letters and digits.
        name: The name for people.
        directory: Holds the script, manifest, claims and records (see ``caf_core.jobs.files``).
        size: Number of tasks; the task at position ``i`` of the manifest is executed by ``argv(i)``.
        resources: What every task of it needs.
        backend_args: The backend's own arguments, defaults already merged in.
        preload: Modules that the tasks' calls would like to find imported.
        path: Folders in front of ``sys.path`` for those imports.
    """

    token: str
    name: str
    directory: Path
    size: int
    resources: Resources = field(factory=Resources)
    backend_args: Mapping[str, Any] = field(factory=dict)
    preload: tuple[str, ...] = ()
    path: tuple[str, ...] = ()

    def argv(self, position: int | str) -> list[str]:
        """The command that executes one task.

        Args:
            position: Position in the manifest from 0, or what a scheduler's script expands to it.
        Returns:
            An argument list; it needs nothing but a POSIX shell.
        """
        return ["/bin/sh", str(self.directory / "task.sh"), str(position)]


Notify = Callable[[str, Mapping[int, Report]], None]
"""Called from any thread: ``notify(token, {position: report})``, for as many tasks at once as are known."""


class Backend(ABC):
    """Executes tasks; the base of every backend plugin.

    The five methods below are all that a plugin has to write; each is called from one worker thread of its
    own, never two at a time; ``capabilities`` must answer at once. What users call (``submit``, ``join``)
    works for all.
    """

    default_backend_args: ClassVar[Mapping[str, Any]] = {}
    user_args: ClassVar[frozenset[str]] = frozenset()
    """The arguments that may be chosen by people for whom another account submits, such as users of a
    service: those that can neither have anything executed nor any file read. Their values are short plain
    text or numbers. Resources are asked for in other ways and need not be among them."""
    session: "Session | None" = None
    """What a program has submitted here without a calibration (see ``caf_core.jobs.submit``)."""

    def __init__(self, *, backend_args: Mapping[str, Any] | None = None) -> None:
        self.backend_args: dict[str, Any] = {**self.default_backend_args, **(backend_args or {})}
        self._chosen = frozenset(backend_args or ())
        self._configured: dict[str, Any] = {}

    def configure(self, args: Mapping[str, Any], *, overrule: bool = False) -> None:
        """Take arguments from outside: those of a site's configuration, or of a command line.

        Args:
            args: The arguments.
            overrule: Whether they win over those that were chosen for this instance.
        Raises:
            ConfigurationError: If it does not know one of them.
        """
        self.check_args(args)
        for name, value in args.items():
            default = self.default_backend_args.get(name)
            chosen = name in self._chosen or self.backend_args.get(name) != default
            if overrule:
                self._chosen |= {name}
            if overrule or not chosen:
                self.backend_args[name] = value
                self._configured[name] = value

    def chosen_args(self) -> dict[str, Any]:
        """The arguments that were chosen for this instance, when it was made, later in a program, or on a
        command line; neither defaults nor those of a site's configuration.
        """
        usual = {**self.default_backend_args, **self._configured}
        return {
            name: value
            for name, value in self.backend_args.items()
            if name in self._chosen or name not in usual or usual[name] != value
        }

    def __setattr__(self, name: str, value: object) -> None:
        """Attributes by which basf2's backends are tuned would do nothing, so they are refused."""
        if name in former.BACKEND:
            raise ConfigurationError(unknown("a backend", name, (), former.BACKEND))
        super().__setattr__(name, value)

    @classmethod
    def known_args(cls) -> "Mapping[str, Setting] | None":
        """The arguments that it knows, name -> what it means; ``None`` if it takes any."""
        return None

    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this backend can do at this site."""

    @abstractmethod
    def start(self, submission: Submission) -> Sequence[str]:
        """Hand a submission over with exactly one command.

        Returns:
            The scheduler's ids, one a task, in the order of the manifest.
        Raises:
            SubmissionError: If it was refused (``transient`` if it may be tried again), or if nobody
                answered: the core then asks ``find`` before it does anything else.
        """

    @abstractmethod
    def poll(self, ids: Sequence[str]) -> Mapping[str, Report]:
        """Ask the scheduler once about all ``ids``; ids that it does not know are left out.

        Raises:
            PollError: If the scheduler did not answer.
        """

    @abstractmethod
    def cancel(self, ids: Sequence[str]) -> None:
        """End tasks; ids that have ended or are unknown are no error."""

    @abstractmethod
    def find(self, token: str) -> Mapping[int, str]:
        """The tasks of a submission that the scheduler knows: position in the manifest -> id; empty when it
        knows none.

        Tasks that have ended and are forgotten may be left out: their records tell what became of them.

        Raises:
            BackendError: If the scheduler did not answer; this is not the same as none.
        """

    def attach(self, notify: Notify) -> None:  # noqa: B027 - only backends that know at once need it
        """Take the callback of the core; a backend without ``poll_interval`` must call it for every task that
        ends.
        """

    def check_args(self, backend_args: Mapping[str, Any]) -> None:  # noqa: B027 - optional
        """Refuse arguments that this backend does not know.

        Args:
            backend_args: Those of a job, with the defaults merged in.
        Raises:
            ConfigurationError: With the name, and those that exist.
        """

    def shares_files(self, backend_args: Mapping[str, Any]) -> bool:  # noqa: ARG002 - for those that carry files
        """Whether its tasks work in the folders that are seen here, so that what they write can be read
        while they go on; algorithms need that.

        Args:
            backend_args: Those of a job, with the defaults merged in.
        """
        return True

    def adopt(self, token: str, directory: Path) -> None:  # noqa: B027 - optional
        """Take over a submission of an earlier process, before it is asked about.

        Args:
            token: Its token.
            directory: Its directory.
        """

    def count(self) -> int | None:
        """How many tasks the user has in the system, whoever submitted them; asked only where there is a
        ``job_limit``. ``None`` if that cannot be told: then only caf's own are counted.

        Raises:
            BackendError: If the scheduler did not answer.
        """
        return None

    def release(self, ids: Sequence[str], resources: Resources) -> None:  # noqa: ARG002 - see ``releases``
        """Let held tasks go on with other resources; only for a backend whose capabilities say so.

        Raises:
            BackendError: If that was not possible; the tasks are then removed and submitted again.
        """
        raise BackendError(f"{type(self).__name__} cannot release held tasks.")

    def close(self) -> None:  # noqa: B027 - most backends hold nothing open
        """Let go of what is held open; tasks that execute go on."""

    def submit(self, jobs: "Job | Iterable[Job]") -> None:
        """Submit one job, or several; returns at once.

        Raises:
            ConfigurationError: If a job cannot be submitted as it is.
        """
        from caf_core.jobs.submit import session_of

        session_of(self).submit(jobs)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until everything that was submitted here has ended.

        Args:
            timeout: Give up after this long [s].
        Returns:
            Whether all has ended.
        """
        from caf_core.jobs.submit import session_of

        return session_of(self).join(timeout)

    def can_submit(self, tasks: int = 1) -> bool:
        """Whether so many further tasks fit under ``job_limit`` now; more may be submitted all the same, and
        wait.
        """
        from caf_core.jobs.submit import session_of

        limit = self.capabilities().job_limit
        return limit is None or session_of(self).unfinished() + tasks <= limit
